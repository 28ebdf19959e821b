"""Connections to endpoints that have gone without a word: no FIN, no RST."""

import contextlib
import signal
import time

import pytest

from counters import METRICS, samples
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

RECEIVED = 'sluice_proxy_cluster_received_bytes_total{cluster="app"}'
TIMEOUTS = 'sluice_proxy_cluster_ping_timeouts_total{cluster="app"}'


def sockets(site, port):
    """The proxy's ends of its connections to `port`."""
    listed = site.namespace.run(["ss", "-Htn", "state", "established", "dport", "=", f":{port}"]).stdout
    return {line.split()[2] for line in listed.splitlines()}


@contextlib.contextmanager
def cut_off(site, port):
    """Whatever goes to `port` or comes from it is dropped."""
    site.namespace.run(["nft", "-f", "-"], input_text="table inet cut { chain input { type filter hook input priority 0; "
                       f"tcp dport {port} drop; tcp sport {port} drop; }}; }}\n")
    try:
        yield
    finally:
        site.namespace.run(["nft", "delete", "table", "inet", "cut"])


@pytest.mark.parametrize("protocol", ["http2", "http1"])
def test_an_idle_connection_whose_path_has_gone_is_given_up(site, protocol):
    server = site.nginx("n1", version={"http2": "http2", "http1": ""}[protocol])
    site.start_proxy([server.port], cluster={"protocol": protocol, "tcp_timeout": "1s"})
    assert site.curl("/who").stdout == "n1\n"
    assert len(sockets(site, server.port)) == 1
    with cut_off(site, server.port):
        wait_for(lambda: not sockets(site, server.port), 20, "the connection to be given up")
    # The first attempts of a while ago may have failed, and the next one may still be some time off.
    wait_for(lambda: site.curl("/who", check=False).stdout == "n1\n", 20, "the server to be reached again")


def test_a_server_that_answers_pings_keeps_its_connection(site):
    server = site.nginx("n1")
    site.start_proxy([server.port], cluster={"ping_interval": "50ms", "ping_timeout": "10s"}, more=METRICS)
    assert site.curl("/who").stdout == "n1\n"
    before, received = sockets(site, server.port), samples(site)[RECEIVED]
    answer_bytes = 17  # a frame's head and the PING's eight bytes
    wait_for(lambda: samples(site)[RECEIVED] >= received + 10 * answer_bytes, 20, "ten answered PINGs")
    assert sockets(site, server.port) == before
    assert samples(site)[TIMEOUTS] == 0


def test_a_server_that_is_heard_anyway_is_not_asked(site):
    """Only silence counts: some servers end connections that ask too often."""
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], cluster={"ping_interval": "2s"})
    client = H2Client(site.namespace, FRONT)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert client.finish(client.request("/who")).status == 200
        client.read_for(0.02)
    assert "ping" not in server.output()
    wait_for(lambda: "ping" in server.output(), 10, "the PING after two seconds of silence")


def test_a_server_has_its_time_to_answer_a_ping(site):
    server = site.nginx("n1")
    site.start_proxy([server.port], cluster={"ping_interval": "100ms", "ping_timeout": "60s"})
    assert site.curl("/who").stdout == "n1\n"
    before = sockets(site, server.port)
    server.send_signal(signal.SIGSTOP)
    try:
        time.sleep(1)  # ten times what it is asked after, and far from the time-out
        assert sockets(site, server.port) == before
    finally:
        server.send_signal(signal.SIGCONT)
    assert site.curl("/who").stdout == "n1\n"
    assert sockets(site, server.port) == before


def test_a_server_that_leaves_a_ping_unanswered_loses_its_connection(site):
    """Its kernel goes on acknowledging: TCP sees nothing amiss."""
    server = site.nginx("n1")
    site.start_proxy([server.port], cluster={"ping_interval": "100ms", "ping_timeout": "200ms"}, more=METRICS)
    assert site.curl("/who").stdout == "n1\n"
    server.send_signal(signal.SIGSTOP)
    try:
        wait_for(lambda: not sockets(site, server.port), 20, "the connection to be given up")
        wait_for(lambda: samples(site)[TIMEOUTS] == 1, 10, "one time-out to be counted")
    finally:
        server.send_signal(signal.SIGCONT)
    assert site.curl("/who").stdout == "n1\n"


def test_a_request_on_the_lost_connection_goes_to_another_server(site):
    stopped, good = site.nginx("stopped"), site.nginx("good")
    retry = {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"cluster": "app", "retry": {"on": ["reset"], "max_retries": 1}}]}]}
    site.start_proxy([stopped.port, good.port], listener=retry,
                     cluster={"policy": "round_robin", "preconnect": 1, "ping_interval": "100ms", "ping_timeout": "1s"})
    wait_for(lambda: sockets(site, stopped.port) and sockets(site, good.port), 10, "connections to both")
    stopped.send_signal(signal.SIGSTOP)
    try:
        assert [site.curl("/who").stdout for _ in range(2)] == ["good\n"] * 2
    finally:
        stopped.send_signal(signal.SIGCONT)


def test_pings_on_http1_are_refused(site):
    site.configure([9001], cluster={"protocol": "http1", "ping_interval": "1s"})
    done = site.namespace.run([site.build / "control" / "sluice-proxy", "--check", site.config_path], check=False)
    assert done.returncode != 0
    assert "HTTP/1.1 has no PING" in done.stderr
