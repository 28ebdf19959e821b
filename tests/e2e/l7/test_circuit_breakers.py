"""Bounds on what a cluster holds at a time: each refuses what is above it, says so, and counts it."""

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT
from test_metrics import Scraper, metrics

RETRY = {"cluster": None, "hosts": [{"name": "site", "domains": ["*"], "routes": [
    {"name": "all", "cluster": "app", "retry": {"on": ["5xx"], "max_retries": 3}}]}]}


@pytest.fixture
def scraper(site):
    return Scraper(site)


def refused(scraper, limit):
    return scraper.value("cluster_refused_total", cluster="app", limit=limit)


def slow_nginx(site):
    """Answers /slow after a second or so, in pieces, over HTTP/1.1."""
    server = site.nginx("n1", version="", server="location /slow { limit_rate 300; }")
    (server.www / "slow").write_bytes(b"x" * 400)
    return server


def test_requests_above_max_requests_are_refused_at_once(site, scraper):
    server = site.python_peer("h2_server.py", "a")
    site.start_proxy([server.port], cluster={"max_requests": 3}, more=metrics())
    client = H2Client(site.namespace, FRONT)
    held = [client.request("/hang") for _ in range(3)]
    assert client.finish(client.request("/who")).status == 503
    client.reset(held[0])
    assert client.finish(client.request("/who")).status == 200
    scraper.wait_for_value(1, "cluster_requests_total", cluster="app", outcome="circuit_open")
    assert refused(scraper, "max_requests") == 1
    client.close()


def test_requests_above_max_pending_are_refused_and_the_others_wait(site, scraper):
    server = slow_nginx(site)
    site.start_proxy([server.port], more=metrics(),
                     cluster={"protocol": "http1", "endpoint_connections": 1, "max_pending": 2})
    client = H2Client(site.namespace, FRONT)
    served = [client.request("/slow")]
    # Its connection is there: it waits no more.
    scraper.wait_for_value(1, "endpoint_connections", cluster="app", endpoint=f"127.0.0.1:{server.port}")
    scraper.wait_for_value(0, "cluster_pending_requests", cluster="app")
    served += [client.request("/who") for _ in range(2)]
    assert client.finish(client.request("/who")).status == 503
    for stream in served:
        assert client.finish(stream).status == 200
    scraper.wait_for_value(1, "cluster_requests_total", cluster="app", outcome="pending_full")
    assert refused(scraper, "max_pending") == 1
    assert scraper.value("cluster_pending_requests", cluster="app") == 0
    client.close()


def test_connections_stay_within_max_connections_over_all_workers(site, scraper):
    server = site.nginx("n1", version="", http="keepalive_requests 1000000;")
    site.start_proxy([server.port], more=metrics() | {"proxy": {"workers": 2}},
                     cluster={"protocol": "http1", "max_connections": 4})
    assert site.h2load("/who", "-n", 2000, "-c", 20, "-m", 10).good == 2000
    scraper.wait_for_value(2000, "requests_total", outcome="answered")
    # A worker that came last may have its first one above the limit.
    assert 2 <= scraper.value("cluster_connections", cluster="app", protocol="http1") <= 5
    assert scraper.value("cluster_connects_total", cluster="app") <= 5
    assert refused(scraper, "max_connections") > 0


def test_an_endpoint_gets_its_first_connection_at_the_limit(site, scraper):
    servers = [site.nginx(f"n{number}") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], more=metrics(),
                     cluster={"policy": "round_robin", "max_connections": 1})
    assert site.h2load("/who", "-n", 30, "-c", 1).good == 30
    # nginx writes its line when the answer has gone.
    wait_for(lambda: [len(server.access_log.read_text().splitlines()) for server in servers] == [10, 10, 10], 10,
             "ten requests at each")


def test_retries_above_their_budget_are_not_made(site, scraper):
    server = site.python_peer("h2_server.py", "a")
    site.start_proxy([server.port], listener=RETRY, more=metrics(), cluster={"retry_percent": 0, "retry_min": 0})
    client = H2Client(site.namespace, FRONT)
    for _ in range(5):
        assert client.finish(client.request("/status/503")).status == 503
    scraper.wait_for_value(5, "cluster_requests_total", cluster="app", outcome="answered")
    assert refused(scraper, "retry_budget") == 5
    assert scraper.value("cluster_retries_total", cluster="app") == 0
    client.close()


def test_what_ends_is_given_back(site, scraper):
    """Clients that go while their requests wait, run or are retried leave nothing counted."""
    server = slow_nginx(site)
    site.start_proxy([server.port, 9999], more=metrics(), cluster={"protocol": "http1", "endpoint_connections": 1})
    for _ in range(3):
        client = H2Client(site.namespace, FRONT)
        for _ in range(20):
            client.request("/slow")
        client.ping()
        client.close()

    def all_over():
        scraper.read()
        return (scraper.value("listener_requests_total", listener="front", outcome="client_gone") >= 50
                and scraper.value("listener_open_requests", listener="front") == 0)

    wait_for(all_over, 10, "the requests to be given up")
    for name in ("cluster_pending_requests", "cluster_active_requests"):
        assert scraper.value(name, cluster="app") == 0, name
    assert scraper.value("cluster_connections", cluster="app", protocol="http1") == sum(
        scraper.value("endpoint_connections", cluster="app", endpoint=f"127.0.0.1:{port}")
        for port in (server.port, 9999))


def test_retries_that_are_over_are_given_back(site, scraper):
    server = site.python_peer("h2_server.py", "a")
    site.start_proxy([server.port], more=metrics(), cluster={"retry_percent": 0, "retry_min": 1}, listener={
        "cluster": None, "hosts": [{"name": "site", "domains": ["*"], "routes": [
            {"cluster": "app", "retry": {"on": ["5xx"], "max_retries": 1}}]}]})
    for _ in range(4):
        assert site.curl("/status/503", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"
    scraper.wait_for_value(4, "cluster_retries_total", cluster="app")
    assert refused(scraper, "retry_budget") == 0


def test_requests_without_an_endpoint_take_no_place(site):
    health = {"kind": "tcp", "interval": "100ms", "fast_interval": "50ms", "timeout": "1s", "fall": 1}
    site.start_proxy([9999], cluster={"max_requests": 2, "health": health, "panic_percent": 0})
    wait_for(lambda: "unhealthy" in site.ctl("clusters"), 10, "the endpoint to be out")
    assert {site.curl("/").stdout for _ in range(5)} == {"no endpoint can take the request\n"}
