"""The proxy asked and told over its control socket, by sluicectl, with servers behind it and under load."""

import json
import re
import signal

import pytest

from h2_client import H2Client
from netns import CommandFailed, wait_for
from proxy_site import FRONT, Load

KEEP = "keepalive_requests 1000000;"


def endpoints(site, cluster="app"):
    """Those of a cluster, by their port."""
    listed = site.ctl_json("clusters", cluster)["clusters"][0]["endpoints"]
    return {int(endpoint["endpoint"].rsplit(":", 1)[1]): endpoint for endpoint in listed}


def explain(site, *words):
    return site.ctl_json("explain", *words)


def fails(site, *words):
    """Runs a command that must fail; returns its exit code and its one line."""
    done = site.namespace.run([site.build / "control" / "sluicectl", "--socket", site.run_dir / "proxy.sock", "proxy",
                               *words], check=False)
    assert done.stdout == "" and done.stderr.count("\n") == 1, done
    return done.returncode, done.stderr


def address(client):
    return "127.0.0.1:%d" % client.socket.getsockname()[1]


def test_what_the_proxy_carries_is_shown(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    assert site.curl("/who").stdout == "h1"
    client = H2Client(site.namespace, FRONT)
    client.request("/hang", "POST", body=b"x" * 5000)

    def connections(*words):
        return site.ctl_json("connections", *words)["connections"]

    wait_for(lambda: [found["bytes_out"] > 5000 for found in connections("--cluster", "app")] == [True], 10,
             "the request to be under way")
    endpoint = endpoints(site)[server.port]
    assert (endpoint["requests"], endpoint["failures"], endpoint["connections"]) == (1, 0, 1)
    assert endpoint["active_requests"] == 1
    (mine,) = wait_for(lambda: len(found := connections("--side", "clients")) == 1 and found, 10, "curl's connection to be over")
    assert (mine["side"], mine["listener"], mine["protocol"], mine["streams"]) == ("client", "front", "http2", 1)
    assert mine["peer"] == address(client)
    assert mine["bytes_in"] > 5000 > mine["bytes_out"] > 0
    (upstream,) = connections("--side", "upstreams")
    assert (upstream["side"], upstream["cluster"], upstream["peer"], upstream["streams"]) == (
        "upstream", "app", f"127.0.0.1:{server.port}", 1)
    assert upstream["bytes_out"] > 5000 > upstream["bytes_in"] > 0
    # The oldest first, and of those as many as are asked for.
    later = H2Client(site.namespace, FRONT)
    wait_for(lambda: len(connections("--side", "clients")) == 2, 10, "another client")
    assert [found["peer"] for found in connections("--side", "clients")] == [address(client), address(later)]
    assert [found["peer"] for found in connections("--side", "clients", "--limit", "1")] == [address(client)]
    assert "1 of 2; --limit shows more" in site.ctl("connections", "--side", "clients", "--limit", "1")
    later.close()
    assert site.ctl_json("status")["outcomes"]["answered"] == 1
    requests = site.ctl_json("stats", "requests_total")["metrics"]
    assert {"outcome": "answered"} in [sample["labels"] for metric in requests for sample in metric["samples"]
                                       if sample["value"] == 1]
    for verb, shown in (("status", "proxy p1, version"), ("clusters", "serves"), ("routes", "forward to app"),
                        ("connections", "upstream"), ("stats", "sluice_proxy_clients")):
        assert shown in site.ctl(verb)
    client.close()


def test_tls_is_shown_with_its_version_and_the_name_asked_for(site):
    key, certificate = (site.network.directory / name for name in ("key.pem", "cert.pem"))
    site.namespace.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-keyout", key, "-out", certificate, "-subj", "/CN=front.test", "-days", "2"])
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], listener={"tls": {"certificates": [{"certificate": str(certificate),
                                                                         "key": str(key)}]}})
    client = site.namespace.popen(["openssl", "s_client", "-connect", f"127.0.0.1:{FRONT}", "-servername", "front.test",
                                   "-alpn", "h2", "-quiet"])

    def shown():
        found = site.ctl_json("connections", "--side", "clients")["connections"]
        return found and found[0]["state"] == "open" and found

    found = wait_for(shown, 10, "the client to be there")
    assert (found[0]["tls"], found[0]["server_name"], found[0]["protocol"]) == ("TLSv1.3", "front.test", "http2")
    client.stop()


def test_why_an_endpoint_gets_nothing_is_said_and_explained(site):
    good = site.nginx("good")
    nobody = next(site.ports)
    health = {"kind": "tcp", "interval": "200ms", "timeout": "100ms", "fall": 1, "rise": 1}
    site.start_proxy([good.port, nobody], cluster={"health": health, "panic_percent": 0})
    wait_for(lambda: endpoints(site)[nobody]["standing"] == "unhealthy", 10, "the check to fail")
    assert "refused" in endpoints(site)[nobody]["reason"]
    explained = explain(site, f"http://test:{FRONT}/who")
    assert explained["answer"] == {"outcome": "answered", "advice": "", "endpoint": f"app 127.0.0.1:{good.port}"}
    good.stop()
    wait_for(lambda: endpoints(site)[good.port]["standing"] == "unhealthy", 10, "the other one to fail")
    answer = explain(site, f"http://test:{FRONT}/who")["answer"]
    assert (answer["outcome"], answer["status"]) == ("no_endpoint", 503)
    assert "checks" in answer["advice"]
    assert site.curl("/who", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"
    assert "no_endpoint" in site.ctl("explain", f"GET http://test:{FRONT}/who")


def test_a_cluster_that_is_full_is_explained(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], cluster={"max_requests": 1})
    assert explain(site, f"http://test:{FRONT}/who")["answer"]["outcome"] == "answered"
    client = H2Client(site.namespace, FRONT)
    client.request("/hang")
    wait_for(lambda: endpoints(site)[server.port]["active_requests"] == 1, 10, "the request to be under way")
    answer = explain(site, f"http://test:{FRONT}/who")["answer"]
    assert (answer["outcome"], answer["status"]) == ("circuit_open", 503)
    assert answer["advice"] == "cluster app has max_requests open: raise it, or add endpoints"
    # As it says.
    assert site.curl("/who", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"
    client.close()


def test_an_ejection_is_shown_with_its_end(site):
    bad = site.python_peer("h2_server.py", "bad")
    good = site.nginx("good", server="location ~ ^/status { return 200 good; }")
    site.start_proxy([good.port, bad.port], cluster={"policy": "round_robin", "outlier": {
        "server_errors": 3, "base_ejection": "60s", "max_ejection_percent": 50}})

    def ejected():
        site.curl("/status/500", "-o", "/dev/null")
        return endpoints(site)[bad.port]["standing"] == "ejected"

    wait_for(ejected, 20, "the server to be ejected")
    endpoint = endpoints(site)[bad.port]
    assert re.fullmatch(r"ejected for (5\ds|1m 0s) more: consecutive-server-errors \(3\)", endpoint["reason"])
    assert 55 <= endpoint["ejection"]["until"] - endpoint["ejection"]["since"] <= 61


def test_an_endpoint_is_drained_under_load_and_comes_back(site):
    servers = [site.nginx(f"n{number}", http=KEEP) for number in (1, 2)]
    slow = site.python_peer("h2_server.py", "slow")
    site.start_proxy([server.port for server in (*servers, slow)], cluster={"policy": "round_robin"})
    load = site.start_h2load("/who", "-n", 2000, "-c", 2, "-m", 5, "--rps=300")
    wait_for(lambda: "progress: 20%" in load.output(), 20, "the load to be under way")
    first = f"127.0.0.1:{servers[0].port}"
    assert "2 endpoints get requests" in site.ctl("endpoint", "drain", "app", first, "--wait=20s")
    before = endpoints(site)[servers[0].port]
    assert (before["standing"], before["active_requests"]) == ("drain", 0)
    wait_for(lambda: endpoints(site)[servers[1].port]["requests"] > before["requests"] + 20, 20, "the others to go on")
    assert endpoints(site)[servers[0].port]["requests"] == before["requests"]
    site.ctl("endpoint", "undrain", "app", first)
    wait_for(lambda: endpoints(site)[servers[0].port]["requests"] > before["requests"], 20, "it to get requests again")
    load.wait(60)
    assert Load(load.output()).bad == 0, load.output()


def test_a_drain_that_does_not_end_in_time_says_what_is_left(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    client.request("/hang")
    wait_for(lambda: endpoints(site)[server.port]["active_requests"] == 1, 10, "the request to be under way")
    with pytest.raises(CommandFailed, match="1 request left after 0.") as left:
        site.ctl("endpoint", "drain", "app", f"127.0.0.1:{server.port}", "--wait=300ms")
    assert "ended with status 6" in str(left.value)
    client.close()


def test_reload_and_put_under_load_drop_no_stream(site):
    servers = [site.nginx(f"n{number}", http=KEEP) for number in (1, 2, 3)]
    slow = site.python_peer("h2_server.py", "slow")
    routes = [{"prefix": "/upload", "cluster": "slow"}, {"cluster": "app"}]
    listener = {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}

    def settings(ports):
        clusters = [{"name": name, "policy": "round_robin", "endpoints": [{"address": "127.0.0.1", "port": port}
                                                                         for port in of]}
                    for name, of in (("app", ports), ("slow", [slow.port]))]
        return {"listener": listener, "more": {"clusters": clusters}}

    site.start_proxy([], **settings([servers[0].port]))
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/upload", "POST", end=False)
    load = site.start_h2load("/who", "-n", 2000, "-c", 2, "-m", 5, "--rps=400")
    wait_for(lambda: "progress: 20%" in load.output(), 20, "the load to be under way")
    site.configure([], **settings([servers[1].port]))
    assert "generation 2" in site.ctl("reload")
    wait_for(lambda: servers[1].access_log.read_text(), 10, "the file's server to get a request")
    in_file = site.config_path.read_text()
    site.configure([], **settings([servers[2].port]))
    other = site.config_path.with_name("other.yaml")
    other.write_text(site.config_path.read_text())
    site.config_path.write_text(in_file)
    code, line = fails(site, "config", "apply", other)
    assert code == 2 and "--volatile" in line
    site.ctl("config", "apply", other, "--volatile")
    wait_for(lambda: servers[2].access_log.read_text(), 10, "the document's server to get a request")
    assert site.ctl("config", "export") == other.read_text() + "\n"
    site.config_path.write_text(in_file.replace('"app"', '"ap"', 1))
    code, line = fails(site, "reload")
    assert code == 1 and "no such cluster" in line and str(site.config_path) in line
    assert "last reload was refused" in site.ctl("status")
    site.config_path.write_text(in_file)
    site.ctl("reload")
    assert site.ctl_json("status")["config"]["from_file"] is True
    load.wait(60)
    assert Load(load.output()).bad == 0, load.output()
    # Begun under the first configuration, ended under the last.
    client.h2.send_data(stream, b"last", end_stream=True)
    client.flush()
    answer = client.finish(stream)
    assert answer.status == 200 and answer.body == b"slow"


def test_drain_turns_the_health_answer_and_leave_ends_the_proxy(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], listener={"health_path": "/health"})

    def health():
        return site.curl("/health", "-o", "/dev/null", "-w", "%{http_code}").stdout

    assert health() == "200"
    assert "503" in site.ctl("drain")
    assert health() == "503"
    assert site.ctl_json("status")["draining"] is True and "; draining\n" in site.ctl("status")
    assert site.curl("/who").stdout == "h1"
    site.ctl("undrain")
    assert health() == "200"
    assert site.ctl_json("status")["draining"] is False and "; serving\n" in site.ctl("status")
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/upload", "POST", end=False)
    assert client.finish(client.request("/who")).body == b"h1"
    assert site.ctl_json("drain", "--leave")["leaving"] is True
    assert fails(site, "undrain") == (1, "sluicectl: the proxy is about to end: there is no way back\n")
    assert fails(site, "reload") == (1, "sluicectl: this process drains\n")
    client.h2.send_data(stream, b"last", end_stream=True)
    client.flush()
    assert client.finish(stream).body == b"h1"
    assert site.proxy.wait(10) == 0
    assert fails(site, "status") == (3, f"sluicectl: {site.run_dir}/proxy.sock: no such socket; is sluice-proxy running? "
                                        "(--socket names another)\n")
    site.proxy = None


def test_the_log_level_is_changed_and_events_tell_of_it(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    assert site.ctl("log-level") == "info\n"
    site.ctl("log-level", "debug")
    assert site.ctl("log-level") == "debug\n"
    site.proxy.send_signal(signal.SIGHUP)
    sluicectl = [site.build / "control" / "sluicectl", "--socket", site.run_dir / "proxy.sock"]

    def told():
        lines = site.namespace.run([*sluicectl, "events", "--json"]).stdout.splitlines()
        return [json.loads(line)["text"] for line in lines]

    wait_for(lambda: "generation 2, by SIGHUP" in told(), 10, "the reload to be told")
    assert any("level info -> debug by uid" in text for text in told())
    endpoint = f"127.0.0.1:{server.port}"
    for words, said in (("reload", "generation 3, by api, uid"), (f"endpoint drain app {endpoint}", f"app {endpoint} drain by api, uid"),
                        (f"endpoint undrain app {endpoint}", f"app {endpoint} undrain by api, uid"),
                        ("drain", "drain by api, uid"), ("undrain", "undrain by api, uid")):
        site.ctl(*words.split())
        assert any(text.startswith(said) for text in told()), (words, told())


def test_a_reload_takes_another_log_level_and_leaves_what_was_said_otherwise(site):
    server = site.nginx("n1")
    level = {"log": {"level": "debug"}}
    site.start_proxy([server.port], more=level)
    site.ctl("log-level", "warning")
    site.ctl("reload")
    # The file says what it said before.
    assert site.ctl("log-level") == "warning\n"
    site.configure([server.port], more={"log": {"level": "error"}})
    site.ctl("reload")
    assert site.ctl("log-level") == "error\n"
    site.configure([server.port], more=level)
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: site.ctl("log-level") == "debug\n", 10, "the reload", interval_s=0.1)


def test_a_second_proxy_is_refused_and_a_dead_one_is_replaced(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    command = [site.build / "control" / "sluice-proxy", "--config", site.config_path]
    second = site.namespace.run(command, check=False)
    assert second.returncode == 1
    assert second.stderr.endswith(f"{site.run_dir}/proxy.sock: another process listens there; stop it or set another "
                                  "proxy.run_dir\n")
    assert site.ctl_json("status")["pid"] == site.proxy.pid
    other = site.network.directory / "beside.yaml"
    other.write_text(site.config_path.read_text().replace(str(FRONT), "8500"))
    beside = site.namespace.popen([*command[:2], other, "--run-dir", site.network.directory / "beside"])
    wait_for(lambda: (site.network.directory / "beside" / "proxy.sock").exists(), 10, "a proxy of another directory")
    assert beside.stop() == 0
    site.proxy.send_signal(signal.SIGKILL)
    site.proxy.wait(10)
    assert (site.run_dir / "proxy.sock").exists()
    site.start_proxy([server.port])
    assert site.ctl_json("status")["pid"] == site.proxy.pid
    assert (site.run_dir / "proxy.sock").stat().st_mode & 0o777 == 0o660
