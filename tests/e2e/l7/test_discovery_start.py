"""What a proxy does before its clusters have heard where their endpoints are."""

import json
import re
import signal

import pytest

from discovery_town import MORE, a_records, endpoints_text, file_at
from name_server import PORT, NameServer, dns
from netns import wait_for
from proxy_site import FRONT


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
    town.start(dns("app:9000", timeout="30s"), proxy={"discovery_wait": "300ms"})
    town.wait_for_event("discovery_late", "waited_ms=300")
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_clients_are_taken_when_all_clusters_have_had_an_answer(site, town):
    """One has its endpoints at once, the other's name server is not heard at first."""
    path = site.network.directory / "app.yaml"
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
