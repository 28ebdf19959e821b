"""Servers that fail under load, and what the clients see of it.

The aim everywhere: none of the requests that may be sent again fails.
"""

import json
import re
import signal
import threading
import time

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT, Load

RATE, SECONDS = 600, 4
# A GET may be sent again whatever became of it.
RETRY = {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
    {"cluster": "app", "retry": {"on": ["connect-failure", "refused-stream", "reset", "gateway-error"], "max_retries": 3}}]}]}
# Of few servers one that is bad meets a third of the requests: more than the fifth that may be retried by default.
BUDGET = {"retry_percent": 100, "retry_min": 100}
CONNECTIONS, STREAMS = 4, 10


def seen(site, server, path, what="/count"):
    """How often an h2_server was asked for `path`, or with /received the bytes that came with it. Not by the proxy."""
    client = H2Client(site.namespace, server.port)
    found = json.loads(client.finish(client.request(what)).body).get(path, 0)
    client.close()
    return found[0] if isinstance(found, list) else found


class Chaos:
    """Three servers behind the proxy, and a load of GETs on it."""

    def __init__(self, site, start_server, **fields):
        self.site = site
        self.servers = [start_server(f"n{number}") for number in (1, 2, 3)]
        site.start_proxy([server.port for server in self.servers], listener=RETRY, **fields)
        assert site.h2load("/who", "-n", 300, "-c", 3, "-m", 10).good == 300

    def under_load(self, harm, path="/who"):
        """Calls `harm` when a quarter of the load has been sent; returns Load when all of it has ended."""
        client = self.site.start_h2load(path, "-n", RATE * SECONDS, "-c", CONNECTIONS, "-m", STREAMS,
                                        f"--rps={RATE // CONNECTIONS}", "-T", SECONDS * 10)
        wait_for(lambda: "progress: 20%" in client.output(), 20, "the load to be under way", interval_s=0.002)
        harm()
        client.wait(SECONDS * 15)
        return Load(client.output())


@pytest.fixture(params=["http2", "http1"])
def protocol(request):
    return request.param


@pytest.fixture
def nginxes(site, protocol):
    """Starts Chaos with nginx as the servers, asked in either protocol."""
    version = {"http2": "http2", "http1": ""}[protocol]

    def start(http="keepalive_requests 1000000;"):
        return Chaos(site, lambda name: site.nginx(name, http=http, version=version), cluster={"protocol": protocol})

    return start


def test_a_server_that_is_killed(site, nginxes):
    chaos = nginxes()
    load = chaos.under_load(lambda: chaos.servers[0].send_signal(signal.SIGKILL))
    assert load.bad == 0, load.output


def test_a_server_that_ends_in_good_order(site, nginxes):
    chaos = nginxes()
    load = chaos.under_load(lambda: chaos.servers[0].send_signal(signal.SIGQUIT))
    assert load.bad == 0, load.output


def test_a_server_that_is_killed_and_comes_back(site, nginxes, protocol):
    chaos = nginxes()
    port = chaos.servers[0].port

    def harm():
        chaos.servers[0].send_signal(signal.SIGKILL)
        chaos.servers[0].wait()
        site.nginx("n1", port=port, version={"http2": "http2", "http1": ""}[protocol])

    load = chaos.under_load(harm)
    assert load.bad == 0, load.output
    before = len(chaos.servers[0].access_log.read_text().splitlines())
    wait_for(lambda: site.curl("/who?back", "-f") and
             len(chaos.servers[0].access_log.read_text().splitlines()) > before, 10, "the server to be used again")


def test_a_server_that_stops_for_a_second(site, nginxes):
    """SIGSTOP: connections stay up and nothing answers. What waits is answered when it goes on."""
    chaos = nginxes()

    def harm():
        chaos.servers[0].send_signal(signal.SIGSTOP)
        time.sleep(1)  # what is tested: an outage of that length
        chaos.servers[0].send_signal(signal.SIGCONT)

    load = chaos.under_load(harm)
    assert load.bad == 0, load.output


def test_servers_that_end_connections_all_the_time(site, nginxes):
    """By GOAWAY, or by "Connection: close"."""
    chaos = nginxes(http="keepalive_requests 50;")
    load = chaos.under_load(lambda: None)
    assert load.bad == 0, load.output


def test_servers_that_end_connections_at_full_speed(site, nginxes):
    nginxes(http="keepalive_requests 100;")
    load = site.h2load("/who", "-n", 12_000, "-c", 10, "-m", 50)
    assert load.bad == 0, load.output


def test_a_slow_server_slows_only_what_it_has(site):
    """One answers after 1.5 s; those who are sent elsewhere do not wait for it."""
    fast = [site.nginx(f"n{number}", http="keepalive_requests 1000000;", server="location /sleep/ { return 200 fast; }")
            for number in (1, 2)]
    slow = site.python_peer("h2_server.py", "slow")
    site.start_proxy([server.port for server in [*fast, slow]], cluster={"policy": "round_robin"})
    client = H2Client(site.namespace, FRONT)
    streams = [client.request("/sleep/1500") for _ in range(30)]

    def ended():
        return [bytes(client.answers[stream].body) for stream in streams if client.answers[stream].ended]

    while len(ended()) < 20:
        client.read()
    assert set(ended()) == {b"fast"}
    for stream in streams:
        client.finish(stream)
    assert ended().count(b"slow") == 10
    client.close()


@pytest.mark.parametrize("path", ["/refuse", "/reset"])
def test_a_server_that_resets_every_stream(site, path):
    good = [site.nginx(f"n{number}", http="keepalive_requests 1000000;",
                       server="location ~ ^/(refuse|reset)$ { return 200 good; }") for number in (1, 2)]
    bad = site.python_peer("h2_server.py", "bad")
    site.start_proxy([server.port for server in [*good, bad]], cluster={"policy": "round_robin"} | BUDGET, listener=RETRY)
    load = site.h2load(path, "-n", 1500, "-c", 3, "-m", 10)
    assert load.bad == 0, load.output


def test_a_port_where_nobody_listens_is_avoided(site):
    good = site.nginx("n1", http="keepalive_requests 1000000;")
    site.start_proxy([good.port, 9999], cluster={"policy": "round_robin"} | BUDGET)
    client = H2Client(site.namespace, FRONT)
    for _ in range(100):
        assert client.finish(client.request("/who")).status == 200
    # Half of the turns were its own, and it was left alone for longer each time.
    failures = site.ctl_json("stats", "cluster_connect_failures_total")["metrics"][0]["samples"][0]["value"]
    assert 0 < failures < 20
    load = site.h2load("/who", "-n", 1000, "-c", 3, "-m", 10)
    assert load.bad == 0, load.output


def test_a_retry_goes_elsewhere(site):
    """By their keys, some requests meet the bad server first, and would again."""
    good = site.nginx("good", server="location = /reset { return 200 good; }")
    bad = site.python_peer("h2_server.py", "bad")
    retry = RETRY["hosts"][0]["routes"][0] | {"hash": [{"header": "x-key"}]}
    site.start_proxy([good.port, bad.port], cluster={"policy": "maglev"} | BUDGET, listener={
        "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [retry]}]})
    for key in range(10):
        assert site.curl("/reset", "-H", f"x-key: {key}").stdout == "good"


def test_an_answer_that_has_begun_is_not_begun_again(site):
    """Whatever the route would try again: its client has seen a part of it."""
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    site.start_proxy([server.port for server in servers], cluster={"policy": "round_robin"} | BUDGET, listener=RETRY)
    client = H2Client(site.namespace, FRONT)
    for _ in range(4):
        answer = client.finish(client.request("/half"))
        assert answer.status == 200 and answer.reset is not None
    assert sum(seen(site, server, "/half") for server in servers) == 4
    client.close()


@pytest.mark.parametrize("size, tries", [(60_000, 2), (100_000, 1)])
def test_a_body_is_sent_again_whole_or_not_at_all(site, size, tries):
    """So much of it is kept, and not more."""
    bad, good = (site.python_peer("h2_server.py", name) for name in ("bad", "good"))
    site.start_proxy([bad.port, good.port], cluster={"policy": "round_robin"} | BUDGET,
                     listener=RETRY | {"stream_window": 65535})
    path = f"/lost/{size}"
    client = H2Client(site.namespace, FRONT)
    client.ping()  # the proxy's SETTINGS are there
    while not seen(site, bad, path):
        stream = client.request(path, "PUT", end=False)
        sent = 0
        while sent < size:
            sent += client.send_what_fits(stream, bytes(size - sent))
            if sent < size:
                client.read()
        if tries == 2:
            wait_for(lambda: seen(site, good, path, "/received") == size * seen(site, good, path) > 0, 10,
                     "the body to arrive at the good one")
            client.ping()
            # Sent twice, it has made room for as much as if it had been sent once.
            assert client.h2.local_flow_control_window(stream) <= 65535
        if client.answers[stream].status is None and client.answers[stream].reset is None:
            client.h2.end_stream(stream)
            client.flush()
        answer = client.finish(stream)
    assert (answer.status == 200) == (tries == 2)
    assert seen(site, bad, path, "/received") == size
    client.close()


def test_what_a_server_that_goes_has_taken_is_left_to_it(site):
    """GOAWAY names the last stream that it answers."""
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    site.start_proxy([server.port for server in servers], cluster={"policy": "round_robin"})
    client = H2Client(site.namespace, FRONT)
    for _ in range(4):
        assert client.finish(client.request("/going/200", "POST", body=b"once")).status == 200
    assert sum(seen(site, server, "/going/200") for server in servers) == 4
    client.close()


def test_requests_that_may_not_be_repeated_are_not(site):
    """A POST that a server has taken and not answered is never sent to another."""
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    site.start_proxy([server.port for server in servers], cluster={"policy": "round_robin"})
    client = H2Client(site.namespace, FRONT)
    for _ in range(10):
        answer = client.finish(client.request("/reset", method="POST", body=b"once"))
        assert answer.status in (502, 503) or answer.reset is not None
    counts = [client.finish(client.request("/count")) for _ in servers]
    sent = [int(found[1]) for found in (re.search(rb'"/reset": (\d+)', count.body) for count in counts) if found]
    assert sum(sent) == 10
    client.close()


def test_grpc_calls_outlive_a_server(site):
    """A client that calls all the time, one server killed in between."""
    servers = [site.grpc_server("python", name) for name in ("s1", "s2", "s3")]
    site.start_proxy([server.port for server in servers])
    found = {}
    caller = threading.Thread(target=lambda: found.update(site.client("python", "hold", 4)))
    caller.start()
    # Each has had some calls.
    wait_for(lambda: all(endpoint["requests"] > 5 for endpoint in site.ctl_json("clusters")["clusters"][0]["endpoints"]),
             10, "calls to reach all servers")
    servers[0].send_signal(signal.SIGKILL)
    caller.join()
    assert found.pop("s1", 0) > 0
    # The call that the server was working on cannot be made again: it may have been done.
    assert found.pop("UNAVAILABLE", 0) <= 1, found
    assert set(found) == {"s2", "s3"}, found
