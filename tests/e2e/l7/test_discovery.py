"""Clusters whose endpoints come from a name server or from a file that change while the proxy runs."""

import json
import os
import re
import signal
import time
from collections import Counter

import pytest

from name_server import PORT, ZONE, NameServer, dns
from netns import wait_for
from proxy_site import FRONT, PYTHON, Load, PEERS

METRICS = 9109
SERVERS = [f"127.0.0.{number}" for number in range(11, 16)] + ["fd00::11", "fd00::12"]
SERVER_PORT = 9000
MORE = {"metrics": {"listen": f"127.0.0.1:{METRICS}"}}


class Town:
    """Servers at all of SERVERS, in one nginx, before the proxy; and who has answered how often."""

    def __init__(self, site):
        self.site = site
        # h2load takes 127.0.0.1 for no address where there is an IPv6 one and no other IPv4 one (AI_ADDRCONFIG).
        for address in ("192.0.2.1", *SERVERS[5:]):
            site.namespace.run(["ip", "address", "add", address, "dev", "lo"])
        self.log = site.network.directory / "answered.log"
        blocks = 'log_format by_address "$server_addr";\n' + "".join(f"""
            server {{
              listen {f'[{address}]' if ':' in address else address}:{SERVER_PORT} http2 backlog=1024;
              access_log {self.log} by_address;
              location / {{ return 200 "{address}\\n"; }}
            }}""" for address in SERVERS)
        self.nginx = site.nginx("town", http="keepalive_requests 10000000;\n" + blocks)

    def start(self, discovery, *, proxy=None, **cluster):
        self.site.start_proxy([], cluster=self.cluster(discovery, **cluster), more=self.more(proxy))

    def reload(self, discovery, *, proxy=None, **cluster):
        before = self.events("reloaded")
        self.site.configure([], cluster=self.cluster(discovery, **cluster), more=self.more(proxy))
        self.site.proxy.send_signal(1)
        wait_for(lambda: len(self.events("reloaded")) > len(before), 10, "the reload")

    @staticmethod
    def cluster(discovery, **fields):
        # None: no list at all, unlike an empty one.
        return {"name": "app", "policy": "round_robin"} | discovery | fields

    @staticmethod
    def more(proxy):
        return MORE | {"proxy": {"name": "p1"} | (proxy or {})}

    def answered(self, path="/", times=60):
        """Who answers `times` requests: Counter of addresses."""
        before = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        load = self.site.h2load(path, "-n", times, "-c", 3, "-m", 5)
        assert load.bad == 0, load.output
        wait_for(lambda: len(self.log.read_text().splitlines()) >= before + times, 5, "the servers' log")
        return Counter(self.log.read_text().splitlines()[before:])

    def expect(self, addresses):
        """Waits until these answer and no others: the log tells of endpoints before each worker has them."""
        wait_for(lambda: set(self.answered()) == addresses, 10, f"{addresses} to answer", interval_s=0.05)

    def events(self, kind):
        """The log's lines of one kind."""
        return [line for line in self.site.proxy.output().splitlines() if f" event={kind} " in line]

    def wait_for_event(self, kind, *words, count=1, timeout_s=10):
        def found():
            self.site.proxy.require_running()
            return len([line for line in self.events(kind) if all(word in line for word in words)]) >= count

        wait_for(found, timeout_s, f"event {kind} with {words}")

    def metric(self, name):
        """Samples by their labels."""
        # They are served a moment after the proxy has begun to listen.
        text = self.site.namespace.run(["curl", "-sS", "--retry", "10", "--retry-delay", "1", "--retry-connrefused",
                                        f"http://127.0.0.1:{METRICS}/metrics"]).stdout
        found = re.findall(rf"^{name}\{{(.*?)\}} (\S+)$", text, re.M)
        return {labels: float(value) for labels, value in found}


@pytest.fixture
def town(site, monkeypatch):
    made = Town(site)
    configure = site.configure

    # A cluster with discovery has no list of endpoints.
    def without_endpoints(ports, **fields):
        configure(ports, **fields)
        config = json.loads(site.config_path.read_text())
        for cluster in config["clusters"]:
            if "discovery" in cluster:
                del cluster["endpoints"]
        site.config_path.write_text(json.dumps(config, indent=1))

    monkeypatch.setattr(site, "configure", without_endpoints)
    return made


def a_records(*numbers, name="app", ttl=0):
    return [f"{name} {ttl} A 127.0.0.{number}" for number in numbers]


def background_load(site, seconds, rate=400):
    return site.start_h2load("/", "-n", rate * seconds, "-c", 4, "-m", 10, f"--rps={rate // 4}", "-T", 60)


def finish(client):
    client.wait(60)
    load = Load(client.output())
    assert load.bad == 0 and load.total > 0, load.output


# --- DNS


def test_a_record_set_that_grows_and_shrinks_under_load(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    town.expect({"127.0.0.11", "127.0.0.12"})
    client = background_load(site, 3)
    server.serve(a_records(11, 12, 13, 14))
    town.wait_for_event("endpoints_changed", "endpoints=4", 'added="127.0.0.13:9000 127.0.0.14:9000"')
    server.serve(a_records(14))
    town.wait_for_event("endpoints_changed", "endpoints=1")
    server.serve(a_records(12, 15))
    town.wait_for_event("endpoints_changed", "endpoints=2", 'removed="127.0.0.14:9000"')
    finish(client)
    town.expect({"127.0.0.12", "127.0.0.15"})


def test_endpoints_that_flap_under_load(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    client = background_load(site, 3)
    for turn in range(1, 7):
        server.serve(a_records(11, 12) if turn % 2 == 0 else a_records(13))
        town.wait_for_event("endpoints_changed", count=1 + turn)
    finish(client)


def test_a_time_to_live_is_waited_for(site, town):
    """With a long one nothing is asked again; that of a CNAME counts as well as those of the addresses."""
    server = NameServer(site, ["app 1 CNAME real", *a_records(11, name="real", ttl=600)])
    town.start(dns("app:9000", "long:9000", when_empty="remove"))
    server.serve(["app 600 CNAME real", *a_records(12, name="real", ttl=600)])
    town.wait_for_event("endpoints_changed", 'added="127.0.0.12:9000" removed="127.0.0.11:9000"')
    server.serve([*a_records(13), *a_records(14, name="long")])
    town.wait_for_event("endpoints_changed", 'added="127.0.0.14:9000"')
    town.expect({"127.0.0.12", "127.0.0.14"})


def test_the_shortest_time_to_live_of_a_services_hosts_counts(site, town):
    def zone(number):
        records = [f"_s._tcp 600 SRV 0 0 {SERVER_PORT} {name}" for name in ("a", "b", "c")]
        return [*records, *a_records(11, name="a", ttl=600), *a_records(number, name="b", ttl=1),
                *a_records(12, name="c", ttl=600)]

    server = NameServer(site, zone(13))
    town.start(dns("_s._tcp"))
    town.expect({"127.0.0.11", "127.0.0.12", "127.0.0.13"})
    server.serve(zone(14))
    town.wait_for_event("endpoints_changed", 'added="127.0.0.14:9000" removed="127.0.0.13:9000"')


def test_a_name_server_that_dies_takes_no_endpoint_with_it(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    client = background_load(site, 3)
    server.kill()
    town.wait_for_event("discovery_failed", "cluster=app", "endpoints_kept=2", f"A app.{ZONE}")
    town.expect({"127.0.0.11", "127.0.0.12"})
    wait_for(lambda: town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"'] >= 2, 10)
    wait_for(lambda: town.metric("sluice_proxy_discovery_age_seconds")['cluster="app"'] > 0.5, 10)
    assert len(town.events("discovery_failed")) <= 2, "once for each error"
    server.write(a_records(12, 13))
    server.start()
    town.wait_for_event("discovery_recovered", "cluster=app", f'source="app.{ZONE}."')
    town.wait_for_event("endpoints_changed", "endpoints=2", 'added="127.0.0.13:9000"')
    finish(client)
    town.expect({"127.0.0.12", "127.0.0.13"})


def test_failures_after_a_good_answer_count_from_the_first(site, town):
    """Each waits twice as long as the one before it: those of the first outage would make it 11 s and more."""
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000", failure_max="60s"))

    def failed():
        return town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"']

    server.kill()
    wait_for(lambda: failed() >= 5, 20, "five failures")
    server.start()
    town.wait_for_event("discovery_recovered")
    server.kill()
    before = failed()
    wait_for(lambda: failed() >= before + 4, 10, "four more")


def test_service_records_give_ports_weights_and_priorities(site, town):
    def service(priority, weight, host):
        return f"_http._tcp.app 0 SRV {priority} {weight} {SERVER_PORT} {host}"

    hosts = [record for number in (11, 12, 13) for record in a_records(number, name=f"h{number}")]
    server = NameServer(site, [service(10, 30, "h11"), service(10, 10, "h12"), service(20, 1, "h13"), *hosts])
    town.start(dns("_http._tcp.app"), policy="weighted_round_robin")
    assert town.answered(times=120) == {"127.0.0.11": 90, "127.0.0.12": 30}
    server.serve([service(10, 10, "h11"), service(10, 10, "h13"), *hosts])
    town.wait_for_event("endpoints_changed", "endpoints=2")
    town.expect({"127.0.0.11", "127.0.0.13"})
    assert town.answered(times=120) == {"127.0.0.11": 60, "127.0.0.13": 60}
    # A target that is gone keeps its address as long as the service names it.
    server.serve([service(10, 10, "h11"), service(10, 10, "h13"), *hosts[:2]])
    town.wait_for_event("discovery_empty", f"h13.{ZONE}")
    town.expect({"127.0.0.11", "127.0.0.13"})


def test_both_families(site, town):
    server = NameServer(site, [*a_records(11), "app 0 AAAA fd00::11", "app 0 AAAA fd00::12"])
    town.start(dns("app:9000", family="both"))
    town.expect({"127.0.0.11", "fd00::11", "fd00::12"})
    server.serve(["app 0 AAAA fd00::12"])
    town.wait_for_event("endpoints_changed", "endpoints=1")
    town.expect({"fd00::12"})
    town.reload(dns("app:9000", family="ipv6"))
    town.expect({"fd00::12"})


def test_an_answer_that_is_too_long_for_a_datagram(site, town):
    NameServer(site, [f"app 0 A 127.0.1.{number}" for number in range(1, 201)])
    town.start(dns("app:9000"))
    assert town.metric("sluice_proxy_discovery_endpoints") == {'cluster="app"': 200}


def test_a_name_that_is_not_there_at_the_start(site, town):
    """The proxy starts, says why there is no endpoint, and goes on when the name is there."""
    server = NameServer(site, [])
    town.start(dns("app:9000"))
    town.wait_for_event("discovery_empty", "cluster=app", "endpoints_kept=0", "not found")
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"
    requests = town.metric("sluice_proxy_requests_total")
    assert requests['outcome="no_endpoint"'] == 1
    assert town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="empty"'] >= 1
    server.serve(a_records(11))
    town.wait_for_event("endpoints_changed", 'added="127.0.0.11:9000"')
    town.expect({"127.0.0.11"})
    server.serve([])
    town.wait_for_event("discovery_empty", "endpoints_kept=1")
    town.expect({"127.0.0.11"})


def test_without_a_name_server_clients_are_taken_after_discovery_wait(site, town):
    # Not even the kernel says that nobody is there.
    site.namespace.run(["nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
                              f"add rule ip t in udp dport {PORT} drop"])
    began = time.monotonic()
    town.start(dns("app:9000", timeout="30s"), proxy={"discovery_wait": "300ms"})
    assert time.monotonic() - began < 20
    town.wait_for_event("discovery_late", "waited_ms=300")
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_clients_are_taken_when_all_clusters_have_had_an_answer(site, town, path):
    """One has its endpoints at once, the other's name server is not heard at first."""
    path.write_text(endpoints_text(12))
    NameServer(site, a_records(11))
    chain = "table ip t; add chain ip t in { type filter hook input priority 0; }; add rule ip t in udp dport "
    site.namespace.run(["nft", f"add {chain}{PORT} counter drop"])
    config = {"proxy": {"name": "p1", "discovery_wait": "20s"}}
    site.configure([], cluster=town.cluster(dns("app:9000", timeout="4s")), more=MORE | config)
    config = json.loads(site.config_path.read_text())
    config["clusters"].append({"name": "other"} | file_at(path))
    site.config_path.write_text(json.dumps(config))
    site.proxy = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])

    def questions():
        return int(re.search(r"counter packets (\d+)", site.namespace.run(["nft", "list", "table", "ip", "t"]).stdout)[1])

    # It is asked again a second later, a quarter of the time-out.
    wait_for(lambda: questions() == 1, 20, "a question to be lost")
    site.namespace.run(["nft", "delete", "table", "ip", "t"])
    site.wait_for_port(FRONT, site.proxy)
    assert site.curl("/").stdout == "127.0.0.11\n"
    assert not town.events("discovery_late")


@pytest.fixture
def waiting(site, town):
    """A proxy that waits for discovery, longer than any test does."""
    site.namespace.run(["nft", "add table ip t; add chain ip t in { type filter hook input priority 0; }; "
                              f"add rule ip t in udp dport {PORT} counter drop"])
    site.configure([], cluster=town.cluster(dns("app:9000", timeout="60s")), more=town.more({"discovery_wait": "60s"}))
    process = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    wait_for(lambda: process.require_running() or " packets 0 " not in
             site.namespace.run(["nft", "list", "table", "ip", "t"]).stdout, 20, "the first question")
    assert f":{FRONT} " not in site.namespace.run(["ss", "-Hltn"]).stdout
    return process


def test_a_proxy_that_waits_for_discovery_says_so(site, waiting):
    done = site.namespace.run(["curl", "-sS", "-m", "10", "-w", " %{http_code}", "--unix-socket", site.run_dir / "proxy.sock",
                               "http://localhost/v1/status"])
    assert done.stdout == '{"error":"discovery of cluster app has not settled; try again"} 503'
    asked = site.namespace.run([site.build / "control" / "sluicectl", "--socket", site.run_dir / "proxy.sock", "proxy",
                                "status"], check=False)
    assert asked.returncode == 1 and asked.stdout == ""
    assert "discovery of cluster app has not settled; try again" in asked.stderr
    assert waiting.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_proxy_that_waits_for_discovery_is_stopped_at_once(site, waiting, number):
    waiting.send_signal(number)
    assert waiting.wait(5) == 0
    assert "event=stopped" in waiting.output() and "event=started" not in waiting.output()
    assert not (site.run_dir / "proxy.sock").exists()


def test_a_name_that_is_gone_takes_its_endpoints_along_if_told_so(site, town):
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000", when_empty="remove"))
    town.expect({"127.0.0.11"})
    server.serve([])
    town.wait_for_event("endpoints_changed", "endpoints=0", 'removed="127.0.0.11:9000"')
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_health_checks_follow_the_names(site, town):
    """A new endpoint is checked, and one where nobody listens is found out."""
    server = NameServer(site, a_records(11))
    health = {"kind": "tcp", "interval": "100ms", "fast_interval": "50ms", "timeout": "500ms", "fall": 2}
    town.start(dns("app:9000"), health=health, panic_percent=0)
    server.serve(a_records(11, 99))
    town.wait_for_event("backend_unhealthy", "127.0.0.99:9000")
    town.expect({"127.0.0.11"})


def test_outlier_detection_follows_the_names(site, town):
    """A new endpoint is judged, too: nobody listens there."""
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000"), outlier={"connect_failures": 2, "max_ejection_percent": 100})
    server.serve(a_records(11, 99))
    town.wait_for_event("endpoints_changed", "endpoints=2")
    wait_for(lambda: town.answered() and town.events("ejected"), 10, "an ejection")
    town.wait_for_event("ejected", "endpoint=127.0.0.99:9000 reason=consecutive-connect-failures")


def test_a_reload_changes_where_endpoints_come_from(site, town):
    """What the cluster has is kept until the new source has answered."""
    server = NameServer(site, a_records(11, 12))
    listed = {"endpoints": [{"address": "127.0.0.15", "port": SERVER_PORT}]}
    town.start(listed)
    client = background_load(site, 3)
    town.reload(dns("app:9000"))
    town.wait_for_event("endpoints_changed", 'removed="127.0.0.15:9000"')
    town.expect({"127.0.0.11", "127.0.0.12"})
    server.kill()
    town.reload(dns("other:9000", "app:9000"))
    town.expect({"127.0.0.11", "127.0.0.12"})
    town.reload(listed)
    town.expect({"127.0.0.15"})
    finish(client)


def test_a_name_server_that_answers_garbage(site, town):
    """Also where SRV records are asked for. What was good is kept, and a good server is believed again."""
    good = NameServer(site, [*a_records(11), f"_s._tcp 0 SRV 0 0 {SERVER_PORT} app"])
    town.start(dns("app:9000", "_s._tcp", family="both", timeout="400ms"))
    # On a busy machine even a good server may take longer than that.
    answers = "sluice_proxy_discovery_answers_total"
    wait_for(lambda: town.metric(answers)['cluster="app",result="good"'] >= 4, 10)
    town.expect({"127.0.0.11"})
    good.kill()
    bad = site.namespace.popen([PYTHON, "-u", PEERS / "bad_name_server.py", PORT, 7])
    wait_for(lambda: int((bad.output().split() or ["0"])[-1]) > 60, 30, "many bad answers")
    town.wait_for_event("discovery_failed", "cluster=app")
    site.proxy.require_running()
    bad.stop()
    good.write(a_records(12))
    good.start()
    town.wait_for_event("endpoints_changed", 'added="127.0.0.12:9000"')
    wait_for(lambda: "127.0.0.12" in town.answered(), 10)


# --- files


def endpoints_text(*numbers, **fields):
    return json.dumps({"endpoints": [{"address": f"127.0.0.{number}", "port": SERVER_PORT} | fields
                                     for number in numbers]})


def file_at(path):
    return {"discovery": {"kind": "file", "path": str(path)}}


def replace(path, text):
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def path(site):
    directory = site.network.directory / "endpoints"
    directory.mkdir()
    return directory / "app.yaml"


def test_a_file_that_is_replaced_under_load(site, town, path):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    town.expect({"127.0.0.11"})
    client = background_load(site, 2)
    replace(path, endpoints_text(12, 13))
    town.wait_for_event("endpoints_changed", "endpoints=2", 'removed="127.0.0.11:9000"')
    town.expect({"127.0.0.12", "127.0.0.13"})
    replace(path, "# YAML, too\nendpoints:\n  - {address: 127.0.0.14, port: 9000, weight: 3}\n"
                  "  - {address: 127.0.0.15, port: 9000}\n")
    town.wait_for_event("endpoints_changed", "endpoints=2", 'added="127.0.0.14:9000 127.0.0.15:9000"')
    finish(client)
    town.reload(file_at(path), policy="weighted_round_robin")
    wait_for(lambda: town.answered(times=120) == {"127.0.0.14": 90, "127.0.0.15": 30}, 10)


@pytest.mark.parametrize("bad, error", [
    ('{"endpoints": [{"address": "127.0.0.12", "port": 9', "app.yaml:1:"),
    ("endpoints:\n  - {address: 127.0.0.12, port: 9000}\n  - {address: 127.0.0.13, prt: 9000}\n",
     "app.yaml:3:27: endpoints[1]: found unknown field 'prt', did you mean 'port'?"),
    ("", "the file holds nothing"),
    ("\x00\x01\xff garbage \xfe", "app.yaml:1:"),
    (None, "No such file"),
], ids=["half-written", "mistake", "empty", "garbage", "removed"])
def test_a_bad_file_keeps_what_was_good(site, town, path, bad, error):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    if bad is None:
        path.unlink()
    else:
        path.write_bytes(bad.encode("latin-1"))
    town.wait_for_event("discovery_failed", "cluster=app", "endpoints_kept=1", error)
    town.expect({"127.0.0.11"})
    wait_for(lambda: town.metric("sluice_proxy_discovery_age_seconds")['cluster="app"'] > 0, 5)
    replace(path, endpoints_text(12))
    town.wait_for_event("discovery_recovered", "cluster=app")
    town.expect({"127.0.0.12"})
    assert town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"'] >= 1


def test_a_file_that_is_written_in_place(site, town, path):
    """Taken when its writer closes it, not before."""
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    text = endpoints_text(12, 13)
    with open(path, "w", encoding="ascii") as file:
        file.write(text[:30])
        file.flush()
        os.fsync(file.fileno())
        town.expect({"127.0.0.11"})
        file.write(text[30:])
    town.wait_for_event("endpoints_changed", "endpoints=2")
    assert not town.events("discovery_failed")


def test_an_empty_list_is_meant(site, town, path):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    replace(path, endpoints_text())
    town.wait_for_event("endpoints_changed", "endpoints=0")
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_links_are_swapped_as_kubernetes_does_it(site, town, path):
    """The file is a link through ..data, which is a link to a directory that is replaced."""
    def publish(name, text):
        (path.parent / name).mkdir()
        (path.parent / name / path.name).write_text(text)
        (path.parent / "..data_tmp").symlink_to(name)
        (path.parent / "..data_tmp").rename(path.parent / "..data")

    publish("..2026_1", endpoints_text(11))
    path.symlink_to(f"..data/{path.name}")
    town.start(file_at(path))
    for turn, number in enumerate((12, 13, 14), start=2):
        publish(f"..2026_{turn}", endpoints_text(number))
        town.wait_for_event("endpoints_changed", f'added="127.0.0.{number}:9000"')
    town.expect({"127.0.0.14"})


def test_a_folder_that_is_not_there_at_the_start(site, town, path):
    folder = path.parent / "later"
    town.start(file_at(folder / "deep" / "app.yaml"))
    town.wait_for_event("discovery_failed", "No such file", "endpoints_kept=0")
    (folder / "deep").mkdir(parents=True)
    replace(folder / "deep" / "app.yaml", endpoints_text(11))
    town.wait_for_event("endpoints_changed", 'added="127.0.0.11:9000"')
    town.expect({"127.0.0.11"})


def test_a_file_and_names_side_by_side(site, town, path):
    """Two clusters, each with its own source, one bad."""
    path.write_text("nonsense")
    NameServer(site, a_records(11))
    site.configure([], cluster=town.cluster(dns("app:9000")), more=MORE)
    config = json.loads(site.config_path.read_text())
    config["clusters"].append({"name": "other"} | file_at(path))
    site.config_path.write_text(json.dumps(config))
    site.proxy = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    site.wait_for_port(FRONT, site.proxy)
    town.wait_for_event("discovery_failed", "cluster=other")
    town.expect({"127.0.0.11"})
    assert town.metric("sluice_proxy_discovery_endpoints") == {'cluster="app"': 1, 'cluster="other"': 0}
