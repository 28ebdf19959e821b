"""Outlier detection: what ejects an endpoint, for how long, how many, and that it comes back."""

import json
import signal

import pytest

from netns import wait_for

OFF = {"server_errors": 0, "gateway_errors": 0, "connect_failures": 0, "success_rate": False, "failure_percentage": 0,
       "base_ejection": "60s", "max_ejection_percent": 100}
PERCENTAGE = {"failure_percentage": 80, "failure_percentage_endpoints": 3, "failure_percentage_requests": 20,
              "interval": "300ms"}


class Judged:
    """Servers behind the proxy, one way to be ejected, and the event log."""

    def __init__(self, site, ports, outlier, *, route=None, **cluster):
        self.site, self.ports = site, ports
        self.log = site.network.directory / "ejections.log"
        self.cluster = {"policy": "round_robin", "panic_percent": 0} | cluster
        if outlier is not None:
            self.cluster["outlier"] = self.outlier(outlier)
        self.listener = {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"cluster": "app"} | (route or {})]}]}
        site.start_proxy(ports, cluster=self.cluster, listener=self.listener)

    def outlier(self, fields):
        return OFF | {"event_log": str(self.log)} | fields

    def reload(self, ports, **cluster):
        self.ports = ports
        self.site.configure(ports, cluster=self.cluster | cluster, listener=self.listener)
        self.site.proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: " event=reloaded " in self.site.proxy.output(), 10, "the reload")

    def events(self):
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def wait_for_event(self, event, count=1):
        found = wait_for(lambda: [line for line in self.events() if line["event"] == event][count - 1:], 15,
                         f"{event} number {count}")[0]
        return found["endpoint"], found["reason"]

    def endpoint(self, number):
        return f"127.0.0.1:{self.ports[number]}"

    def names(self, path="/who", count=6):
        return {self.site.curl(path).stdout.strip() for _ in range(count)}


def nginxes(site, count, status, bad=1):
    """The first `bad` ones of them answer /work with `status`."""
    def location(number):
        answer = f"return {status};" if number < bad else "return 200 good;"
        return f"location = /work {{ {answer} }}"
    return [site.nginx(f"n{number}", http="keepalive_requests 1000000;", server=location(number)).port
            for number in range(count)]


def test_server_errors_in_a_row(site):
    judged = Judged(site, nginxes(site, 3, 500), {"server_errors": 5})
    judged.names("/work", 12)
    assert not judged.events(), "four in a row are not five"
    judged.names("/work", 6)
    assert judged.wait_for_event("ejected") == (judged.endpoint(0), "consecutive-server-errors")
    wait_for(lambda: judged.names() == {"n1", "n2"}, 10, "requests to avoid n0")


def test_gateway_errors_in_a_row(site):
    """500 is no gateway error, 503 is."""
    ports = nginxes(site, 2, 500) + nginxes(site, 1, 503)
    judged = Judged(site, ports, {"gateway_errors": 3})
    judged.names("/work", 18)
    assert judged.wait_for_event("ejected") == (judged.endpoint(2), "consecutive-gateway-errors")
    assert len(judged.events()) == 1


def test_connect_failures_in_a_row(site):
    judged = Judged(site, [*nginxes(site, 2, 500), 9999], {"connect_failures": 3})
    # Where nobody listens, connections are tried less and less often.
    wait_for(lambda: judged.names() and judged.events(), 20, "an ejection")
    assert judged.wait_for_event("ejected") == (judged.endpoint(2), "consecutive-connect-failures")


@pytest.mark.parametrize("path, route", [
    ("/reset", {}), ("/hang", {"retry": {"per_try_timeout": "100ms"}}), ("/hang", {"request_timeout": "100ms"})],
    ids=["reset", "try-time-out", "time-out"])
def test_no_answer_is_a_gateway_error(site, path, route):
    good = [site.nginx(f"n{number}", server=f"location = {path} {{ return 200 good; }}").port for number in (1, 2)]
    judged = Judged(site, [*good, site.python_peer("h2_server.py", "bad").port], {"gateway_errors": 2}, route=route)
    judged.names(path, 6)
    assert judged.wait_for_event("ejected") == (judged.endpoint(2), "consecutive-gateway-errors")
    wait_for(lambda: judged.names() == {"n1", "n2"}, 10, "requests to avoid the third")


def test_every_try_of_a_request_is_judged(site):
    """Three requests, each of which both servers fail: one that only failed second tries would not be found."""
    judged = Judged(site, nginxes(site, 2, 503, bad=2), {"gateway_errors": 3},
                    route={"retry": {"on": ["5xx"], "max_retries": 1}})
    judged.names("/work", 3)
    judged.wait_for_event("ejected", 2)
    assert {line["endpoint"] for line in judged.events()} == {judged.endpoint(0), judged.endpoint(1)}


def test_a_reload_lets_nobody_in(site):
    judged = Judged(site, nginxes(site, 3, 500), {"server_errors": 3})
    judged.names("/work", 9)
    judged.wait_for_event("ejected")
    judged.reload(judged.ports, retry_min=7)
    assert judged.names() == {"n1", "n2"}
    assert [line["event"] for line in judged.events()] == ["ejected"]


def test_an_endpoint_that_a_reload_brings_is_judged(site):
    bad, *good = nginxes(site, 3, 500)
    judged = Judged(site, good, {"server_errors": 3})
    judged.reload([bad, *good])
    wait_for(lambda: judged.names("/work") and judged.events(), 10, "an ejection")
    assert judged.wait_for_event("ejected") == (judged.endpoint(0), "consecutive-server-errors")


def test_grpc_status_in_trailers(site):
    """HTTP says 200 and the stream carries a message; only its trailers tell of the failure."""
    servers = []
    for name in ("s1", "s2", "s3"):
        directory = site.network.directory / name
        directory.mkdir()
        servers.append(site.python_peer("health_server.py", name, directory))
    (site.network.directory / "s1" / "failing").touch()
    judged = Judged(site, [server.port for server in servers], {"server_errors": 5})
    ended = site.client("python", "streams", 21)
    assert ended["s1 INTERNAL"] >= 5 and ended["s2"] >= 5 and ended["s3"] >= 5, ended
    assert judged.wait_for_event("ejected") == (judged.endpoint(0), "consecutive-server-errors")
    wait_for(lambda: set(site.client("python", "streams", 6)) == {"s2", "s3"}, 10, "calls to avoid s1")


def test_success_rate(site):
    """Half of the answers of one are bad, never many in a row."""
    good = nginxes(site, 5, 500, bad=0)
    flaky = site.nginx("flaky", http='keepalive_requests 1000000; split_clients "${request_id}" $bad { 50% 1; * 0; }',
                       server="location = /work { if ($bad) { return 500; } return 200 good; }").port
    judged = Judged(site, [*good, flaky], {"success_rate": True, "interval": "500ms", "success_rate_requests": 50})

    def load():
        site.h2load("/work", "-n", 1200, "-c", 2, "-m", 10)
        return judged.events()

    wait_for(load, 20, "an ejection")
    assert judged.wait_for_event("ejected") == (judged.endpoint(5), "success-rate")


def test_failure_percentage(site):
    """Whatever the others do: here two of three are bad."""
    judged = Judged(site, nginxes(site, 3, 500, bad=2), PERCENTAGE)

    def load():
        site.h2load("/work", "-n", 300, "-c", 2, "-m", 10)
        return len(judged.events()) >= 2

    wait_for(load, 20, "two ejections")
    events = judged.events()[:2]
    assert {line["endpoint"] for line in events} == {judged.endpoint(0), judged.endpoint(1)}
    assert all((line["reason"], line["observed"], line["limit"]) == ("failure-percentage", 100, 80) for line in events)


def test_rates_are_judged_once_a_reload_asks_for_it(site):
    judged = Judged(site, nginxes(site, 3, 500), None)
    judged.reload(judged.ports, outlier=judged.outlier(PERCENTAGE))

    def load():
        site.h2load("/work", "-n", 300, "-c", 2, "-m", 10)
        return judged.events()

    wait_for(load, 10, "an ejection")
    assert judged.wait_for_event("ejected") == (judged.endpoint(0), "failure-percentage")


def test_ejections_grow_and_end(site):
    """Each time in a row the endpoint is out for one base time more."""
    judged = Judged(site, nginxes(site, 2, 500), {"server_errors": 2, "base_ejection": "200ms"})

    def load():
        judged.names("/work", 4)
        return len([line for line in judged.events() if line["event"] == "ejected"]) >= 3

    wait_for(load, 20, "three ejections")
    events = judged.events()
    assert [line["event"] for line in events[:5]] == ["ejected", "readmitted", "ejected", "readmitted", "ejected"]
    assert [line["for_ms"] for line in events[:5:2]] == [200, 400, 600]
    judged.wait_for_event("readmitted", 3)
    wait_for(lambda: judged.names() == {"n0", "n1"}, 10, "requests to return to n0")


def test_no_more_than_a_part_are_ejected(site):
    judged = Judged(site, nginxes(site, 4, 500, bad=3), {"server_errors": 3, "max_ejection_percent": 50})

    def load():
        judged.names("/work", 8)
        return [line for line in judged.events() if line["event"] == "ejection_spared"]

    wait_for(load, 20, "an ejection that is not allowed")
    assert len([line for line in judged.events() if line["event"] == "ejected"]) == 2
    assert len(judged.names("/who", 12)) == 2
