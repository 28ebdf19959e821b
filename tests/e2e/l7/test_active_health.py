"""Active health checks of the proxy: every kind against a real server, and what requests make of it."""

import json
import signal

import pytest

from netns import wait_for
from proxy_site import PYTHON

QUICK = {"interval": "100ms", "fast_interval": "50ms", "timeout": "1s", "rise": 2, "fall": 2}
# An endpoint that is unhealthy must not come back because too few are healthy.
CLUSTER = {"policy": "round_robin", "panic_percent": 0}
# For the port of a health check only: takes connections and says nothing.
TCP_SERVER = ("import socket, sys\nlistening = socket.create_server(('0.0.0.0', int(sys.argv[1])))\n"
              "while True: listening.accept()[0].close()")


class Checked:
    """Servers n1 and n2 behind the proxy, which are checked as a test says, and the event log."""

    def __init__(self, site, servers, health, *, health_ports=(None, None), **cluster):
        self.site, self.servers = site, servers
        self.log = site.network.directory / "health.log"
        endpoints = [{"address": "127.0.0.1", "port": server.port} | ({"health_port": port} if port else {})
                     for server, port in zip(servers, health_ports)]
        site.start_proxy([], cluster=CLUSTER | {
            "endpoints": endpoints, "health": QUICK | {"event_log": str(self.log)} | health} | cluster)

    def events(self, server=None):
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if server is None or line["endpoint"] == f"127.0.0.1:{server.port}"]

    def wait_for_event(self, server, event, count=1):
        """The `count`th event of that name; waits for it."""
        def found():
            return [line for line in self.events(server) if line["event"] == event][count - 1:]
        return wait_for(found, 15, f"event {event} of port {server.port}; the log: {self.log}")[0]

    def names(self, count=6):
        # One that meets a server which does not answer gives up soon: what was found is used a moment later.
        return {self.site.curl("/who", "-m", "1").stdout.strip() for _ in range(count)}

    def wait_for_names(self, *names):
        wait_for(lambda: self.names() == set(names), 10, f"requests to reach {names} only")


def nginx_with_health(site, name, more=""):
    """Healthy while www/health is there."""
    server = site.nginx(name, version="", server=f"location = /health {{ {more} try_files /health =503; }}",
                        http="keepalive_requests 1000000;")
    heal(server)
    return server


def heal(server):
    (server.www / "health").write_text("fine\n")


def harm(server):
    (server.www / "health").unlink()


def test_http_with_path_host_and_status(site):
    """And the way back. The host is one that the servers insist on."""
    servers = [nginx_with_health(site, name, "if ($host != health.test) { return 421; }") for name in ("n1", "n2")]
    checked = Checked(site, servers, {"kind": "http", "path": "/health", "host": "health.test", "status": ["200"]},
                      protocol="http1")
    for server in servers:
        assert checked.wait_for_event(server, "healthy")["first_check"]
    checked.wait_for_names("n1", "n2")
    harm(servers[0])
    fell = checked.wait_for_event(servers[0], "unhealthy")
    assert (fell["failure"], fell["error"]) == ("active", "HTTP status 503, expected 200")
    assert (fell["cluster"], fell["checker"], fell["health_port"]) == ("app", "http", servers[0].port)
    checked.wait_for_names("n2")
    heal(servers[0])
    checked.wait_for_event(servers[0], "healthy", 2)
    checked.wait_for_names("n1", "n2")
    assert not [line for line in checked.events(servers[1]) if line["event"] != "healthy"]


def test_http_statuses_that_are_expected(site):
    """A 503 may be what is good."""
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    harm(servers[0])
    checked = Checked(site, servers, {"kind": "http", "path": "/health", "status": ["500-599"]}, protocol="http1")
    checked.wait_for_event(servers[1], "unhealthy")
    checked.wait_for_names("n1")


def test_http2_on_a_health_port_of_each_endpoint(site):
    """The servers are well, what listens on the health ports says who gets requests."""
    servers = [site.nginx(name) for name in ("n1", "n2")]
    health = [site.nginx(f"h{number}", server="location = /health { try_files /health =503; }") for number in (1, 2)]
    for server in health:
        heal(server)
    checked = Checked(site, servers, {"kind": "http2", "path": "/health"}, health_ports=[server.port for server in health])
    checked.wait_for_event(servers[1], "healthy")
    harm(health[1])
    assert checked.wait_for_event(servers[1], "unhealthy")["health_port"] == health[1].port
    checked.wait_for_names("n1")
    heal(health[1])
    checked.wait_for_names("n1", "n2")


def test_tcp_on_a_health_port(site):
    servers = [site.nginx(name) for name in ("n1", "n2")]
    listening = [site.start([PYTHON, "-c", TCP_SERVER, "PORT"]) for _ in servers]
    checked = Checked(site, servers, {"kind": "tcp"}, health_ports=[process.port for process in listening])
    for server in servers:
        checked.wait_for_event(server, "healthy")
    listening[0].send_signal(signal.SIGKILL)
    listening[0].wait()
    fell = checked.wait_for_event(servers[0], "unhealthy")
    assert (fell["failure"], fell["error"], fell["checker"]) == ("network", "connection refused", "tcp")
    checked.wait_for_names("n2")
    site.start([PYTHON, "-c", TCP_SERVER, "PORT"], listening[0].port)
    checked.wait_for_event(servers[0], "healthy", 2)
    checked.wait_for_names("n1", "n2")


def test_grpc_with_a_service_name(site):
    """The server as a whole is well, the service asked about is not."""
    servers = []
    for name in ("s1", "s2"):
        directory = site.network.directory / name
        directory.mkdir()
        for service in ("", "test.Echo"):
            (directory / f"serving-{service}").touch()
        servers.append(site.python_peer("health_server.py", name, directory))
        servers[-1].directory = directory
    checked = Checked(site, servers, {"kind": "grpc", "grpc_service": "test.Echo"})
    for server in servers:
        checked.wait_for_event(server, "healthy")
    serving = servers[0].directory / "serving-test.Echo"
    serving.rename(servers[0].directory / "sick-test.Echo")
    fell = checked.wait_for_event(servers[0], "unhealthy")
    assert (fell["failure"], fell["error"]) == ("active", "gRPC health of service 'test.Echo' is NOT_SERVING")
    wait_for(lambda: set(site.client("python", "spread", 6)) == {"s2"}, 10, "calls to avoid s1")
    (servers[0].directory / "sick-test.Echo").rename(serving)
    checked.wait_for_event(servers[0], "healthy", 2)
    wait_for(lambda: set(site.client("python", "spread", 6)) == {"s1", "s2"}, 10, "calls to return to s1")


def test_thresholds(site):
    """Three bad checks to fall, four good ones to rise; the log has each failure."""
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    checked = Checked(site, servers, {"kind": "http", "path": "/health", "fall": 3, "rise": 4, "log_every_failure": True},
                      protocol="http1")
    checked.wait_for_event(servers[0], "healthy")
    harm(servers[0])
    checked.wait_for_event(servers[0], "check_failed", 3)
    names = [line["event"] for line in checked.events(servers[0])]
    assert names[:5] == ["healthy", "check_failed", "check_failed", "unhealthy", "check_failed"]
    asked = len(servers[0].access_log.read_text().splitlines())
    heal(servers[0])
    checked.wait_for_event(servers[0], "healthy", 2)

    def good():
        answers = servers[0].access_log.read_text().splitlines()[asked:]
        return [line for line in answers if line.startswith("200 GET /health")]

    # nginx writes its line when the answer has gone.
    assert len(wait_for(lambda: len(good()) >= 4 and good(), 10, "the lines of four good checks")) <= 5


def test_a_time_out(site):
    """A server that is stopped accepts and does not answer."""
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    checked = Checked(site, servers, {"kind": "http", "path": "/health", "timeout": "100ms"}, protocol="http1")
    checked.wait_for_event(servers[0], "healthy")
    servers[0].send_signal(signal.SIGSTOP)
    fell = checked.wait_for_event(servers[0], "unhealthy")
    assert (fell["failure"], fell["error"]) == ("timeout", "no answer within 100 ms")
    checked.wait_for_names("n2")
    servers[0].send_signal(signal.SIGCONT)
    checked.wait_for_names("n1", "n2")


def test_an_answer_may_decide_at_once(site):
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    checked = Checked(site, servers, {"kind": "http", "path": "/health", "fall": 10, "answer_decides": True,
                                      "log_every_failure": True}, protocol="http1")
    checked.wait_for_event(servers[0], "healthy")
    harm(servers[0])
    checked.wait_for_event(servers[0], "unhealthy")
    assert [line["event"] for line in checked.events(servers[0])][:2] == ["healthy", "unhealthy"]


def test_the_first_check_that_fails_is_told(site):
    """Endpoints are taken for healthy until checks say otherwise, so nothing has changed yet."""
    server = nginx_with_health(site, "n1")
    harm(server)
    checked = Checked(site, [server], {"kind": "http", "path": "/health", "fall": 100}, protocol="http1")
    first = checked.wait_for_event(server, "check_failed")
    assert first["first_check"]
    assert site.curl("/who").stdout.strip() == "n1"


def test_the_event_log_is_opened_anew_by_a_reload(site):
    server = nginx_with_health(site, "n1")
    checked = Checked(site, [server], {"kind": "http", "path": "/health"}, protocol="http1")
    checked.wait_for_event(server, "healthy")
    moved = checked.log.rename(checked.log.with_suffix(".1"))
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(checked.log.exists, 10, "the new log")
    harm(server)
    checked.wait_for_event(server, "unhealthy")
    assert "unhealthy" not in moved.read_text(encoding="utf-8")


@pytest.mark.parametrize("path, reason", [("/nowhere/health.log", "No such file or directory"), ("/proc", "Is a directory")],
                         ids=["no-folder", "folder"])
def test_an_event_log_that_cannot_be_opened(site, path, reason):
    """The proxy does not start; a reload changes nothing."""
    server = nginx_with_health(site, "n1")
    bad = {"protocol": "http1", "health": {"kind": "tcp", "event_log": path}}
    site.configure([server.port], cluster=bad)
    refused = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    assert refused.wait() == 1
    assert f"cluster app: event log {path}: cannot be opened: {reason}" in refused.output()
    site.start_proxy([server.port], cluster={"protocol": "http1"})
    site.configure([server.port], cluster=bad)
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in site.proxy.output(), 10, "the reload to be refused")
    assert site.curl("/who").stdout.strip() == "n1"


def test_a_full_disk_is_survived(site):
    """/dev/full takes nothing."""
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    site.start_proxy([server.port for server in servers], cluster=CLUSTER | {
        "protocol": "http1", "health": QUICK | {"kind": "http", "path": "/health", "event_log": "/dev/full"}})
    wait_for(lambda: "event=event_log_not_written" in site.proxy.output(), 10, "the log to tell of it")
    harm(servers[0])
    wait_for(lambda: {site.curl("/who").stdout.strip() for _ in range(6)} == {"n2"}, 10, "requests to avoid n1")
    assert site.proxy.output().count("event_log_not_written") == 1


def test_what_a_reload_changes_is_asked_from_then_on(site):
    """Another path, which one of the two does not have; and then no check at all."""
    servers = [nginx_with_health(site, name) for name in ("n1", "n2")]
    health = {"kind": "http", "path": "/health"}
    checked = Checked(site, servers, health, protocol="http1")
    for server in servers:
        checked.wait_for_event(server, "healthy")
    (servers[1].www / "other").write_text("fine\n")

    def reload(**cluster):
        before = site.proxy.output().count(" event=reloaded ")
        site.configure([server.port for server in servers], cluster=CLUSTER | {"protocol": "http1"} | cluster)
        site.proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: site.proxy.output().count(" event=reloaded ") > before, 10, "the reload")

    reload(health=QUICK | health | {"path": "/other"})
    checked.wait_for_names("n2")
    reload()
    checked.wait_for_names("n1", "n2")
