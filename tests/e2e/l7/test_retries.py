"""Which answers make a route ask again, of which requests, and after how long."""

import time

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT
from test_chaos import BUDGET, seen

GRPC = [("content-type", "application/grpc")]
UNAVAILABLE, INTERNAL, OK = "14", "13", "0"


def in_this_order(*ports):
    """Endpoints of which the second is asked only by who has asked the first."""
    return [{"address": "127.0.0.1", "port": port, "priority": place} for place, port in enumerate(ports)]


@pytest.fixture
def servers(site):
    """The first one fails, the second one does what it is asked."""
    return [site.python_peer("h2_server.py", name) for name in ("bad", "good")]


def start(site, servers, cluster=None, **retry):
    site.start_proxy([], cluster={"endpoints": in_this_order(*(server.port for server in servers))} | BUDGET | (cluster or {}),
                     listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
                         {"cluster": "app", "retry": retry}]}]})
    return H2Client(site.namespace, FRONT)


def test_a_grpc_status_without_a_message_is_asked_again_if_the_route_lists_it(site, servers):
    """A POST, as every gRPC call is: the operator has said so by naming the status."""
    client = start(site, servers, grpc_statuses=["UNAVAILABLE", "RESOURCE_EXHAUSTED"])

    def status(code):
        answer = client.finish(client.request(f"/grpc/{code}", "POST", body=b"call", headers=GRPC))
        assert answer.status == 200 and answer.ended
        return answer.headers["grpc-status"]

    for code in (UNAVAILABLE, "8"):
        assert status(code) == OK
    assert status(INTERNAL) == INTERNAL
    assert seen(site, servers[1], f"/grpc/{INTERNAL}") == 0
    # What came with it has been sent again, too.
    assert seen(site, servers[1], f"/grpc/{UNAVAILABLE}", "/received") == len(b"call")
    client.close()


def test_an_answer_that_is_no_call_has_no_grpc_status(site, servers):
    client = start(site, servers, grpc_statuses=["UNAVAILABLE"])
    assert client.finish(client.request(f"/grpc/{UNAVAILABLE}")).headers["grpc-status"] == UNAVAILABLE
    assert seen(site, servers[1], f"/grpc/{UNAVAILABLE}") == 0
    client.close()


def test_a_message_that_has_gone_to_the_client_is_not_asked_for_again(site):
    """The same status, but in trailers behind a message."""
    servers = []
    for name in ("s1", "s2"):
        directory = site.network.directory / name
        directory.mkdir()
        servers.append(site.python_peer("health_server.py", name, directory))
    (site.network.directory / "s1" / "failing").touch()
    start(site, servers, grpc_statuses=["INTERNAL"]).close()
    assert site.client("python", "streams", 4) == {"s1 INTERNAL": 4}


@pytest.mark.parametrize("retry,again", [
    ({"on": ["5xx"]}, {"500", "503"}), ({"on": ["gateway-error"]}, {"503"}), ({"statuses": [429, 500]}, {"429", "500"}),
    ({"on": ["reset"]}, set())], ids=["5xx", "gateway-error", "statuses", "others"])
def test_statuses_that_are_asked_again(site, retry, again):
    bad = site.python_peer("h2_server.py", "bad")
    good = site.nginx("good", server="location / { return 200 good; }")
    client = start(site, [bad, good], **retry)
    for status in ("429", "500", "503", "404"):
        answer = client.finish(client.request(f"/status/{status}"))
        assert (answer.status, bytes(answer.body)) == ((200, b"good") if status in again else (int(status), b"bad"))
    client.close()


@pytest.mark.parametrize("any_method", [False, True])
def test_what_may_have_been_done_is_done_again_only_if_the_operator_says_so(site, any_method):
    bad = site.python_peer("h2_server.py", "bad")
    good = site.nginx("good", server="location / { return 200 good; }")
    client = start(site, [bad, good], on=["5xx"], any_method=any_method)
    for method, again in (("GET", True), ("PUT", True), ("DELETE", True), ("POST", any_method), ("PATCH", any_method)):
        body = None if method in ("GET", "DELETE") else b"x"
        assert client.finish(client.request("/status/503", method, body=body)).status == (200 if again else 503), method
    client.close()


def test_no_more_often_than_max_retries(site):
    servers = [site.python_peer("h2_server.py", f"bad{number}") for number in range(4)]
    client = start(site, servers, on=["5xx"], max_retries=2)
    assert client.finish(client.request("/status/503")).status == 503
    assert [seen(site, server, "/status/503") for server in servers] == [1, 1, 1, 0]
    client.close()


def test_retries_wait_each_for_a_time_of_its_own(site):
    """Between nothing and backoff_base: those that failed together do not come back together."""
    bad = site.python_peer("h2_server.py", "bad")
    good = site.nginx("good", server="location / { return 200 good; }")
    client = start(site, [bad, good], on=["5xx"], backoff_base="800ms", backoff_max="800ms")
    streams = [client.request("/status/503") for _ in range(24)]
    began, ended = time.monotonic(), {}
    while len(ended) < len(streams):
        client.read()
        for stream in streams:
            if client.answers[stream].ended:
                ended.setdefault(stream, time.monotonic() - began)
    assert {client.answers[stream].status for stream in streams} == {200}
    # All 24 within a quarter of it, or none in its later half: one chance in millions.
    assert max(ended.values()) - min(ended.values()) > 0.2 and max(ended.values()) > 0.4
    client.close()


def test_a_call_is_asked_again_while_its_deadline_lasts(site):
    """Back-off does not go beyond it: the answer is the deadline's, and it comes in time."""
    servers = [site.python_peer("h2_server.py", name) for name in ("bad", "worse")]
    client = start(site, servers, grpc_statuses=["UNAVAILABLE"], max_retries=10, backoff_base="60s", backoff_max="60s")
    began = time.monotonic()
    answer = client.finish(client.request(f"/grpc/{UNAVAILABLE}", "POST", body=b"", headers=[*GRPC, ("grpc-timeout", "500m")]))
    assert time.monotonic() - began < 10
    assert answer.headers["grpc-status"] == "4"
    wait_for(lambda: site.ctl_json("clusters")["clusters"][0]["endpoints"][0]["active_requests"] == 0, 10, "nothing to be left")
    client.close()
