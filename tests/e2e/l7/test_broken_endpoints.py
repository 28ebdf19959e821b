"""An endpoint that attacks the proxy takes no more of it than a client could: its request fails, and all others go on."""

import pytest

from counters import METRICS, defences, samples
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

MOST_KIB = 16 << 10
# What the endpoint does, and the reason that counts it.
ATTACKS = {"informational": "informational_flood", "large_informational": "informational_flood",
           "continuation": "continuation_flood", "large_head": "header_block", "many_fields": "large_headers",
           "push": "push_promise", "settings": "settings_flood", "pings": "ping_flood", "goaways": "goaway_flood"}
# Heads that a client gets to see: a hundred, or 64 KB.
MOST_INFORMATIONAL = {"informational": 100, "large_informational": 6}
DURING_AN_ANSWER = {"trailers": "large_headers", "empty_data": "empty_data"}


def start(site, how):
    """The proxy before a good endpoint, and before one that attacks at /broken."""
    broken = site.python_peer("broken_server.py", how)
    good = site.nginx("good", server="location = / { return 200 x; }")
    routes = [{"prefix": "/broken", "cluster": "app"}, {"cluster": "good"}]
    clusters = [{"name": name, "endpoints": [{"address": "127.0.0.1", "port": server.port}]}
                for name, server in (("app", broken), ("good", good))]
    site.start_proxy([broken.port], more=METRICS | {"clusters": clusters}, listener={
        "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})


@pytest.mark.parametrize("how", [*ATTACKS, *DURING_AN_ANSWER])
def test_an_endpoint_that_attacks_fails_its_request_only(site, how):
    start(site, how)
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request()).status == 200
    for _ in range(3):
        answer = client.finish(client.request("/broken"))
        if how in ATTACKS:
            assert answer.status == 502
            assert answer.informational <= MOST_INFORMATIONAL.get(how, 0)
        else:
            assert answer.status == 200 and answer.reset is not None
        assert client.finish(client.request()).status == 200
    reason = (ATTACKS | DURING_AN_ANSWER)[how]
    # One is enough: what follows the attack on one request may end the connection for other reasons.
    wait_for(lambda: defences(site, reason, "endpoint") > 0, 10, f"endpoint {reason}", interval_s=0.1)
    assert samples(site)["sluice_proxy_clients"] == 1


@pytest.mark.measures("memory")
@pytest.mark.parametrize("how", ["large_informational", "continuation", "large_head", "many_fields", "trailers"])
def test_what_an_endpoint_says_at_length_is_not_held(site, how):
    start(site, how)
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request()).status == 200
    before = site.proxy_memory_kib()
    for _ in range(3):
        client.finish(client.request("/broken"))
    assert site.proxy_memory_kib() - before < MOST_KIB


def test_one_that_floods_is_taken_out(site):
    """Also one that stops by itself, so that nothing else is wrong with it."""
    broken = site.python_peer("broken_server.py", "hints_only")
    good = site.nginx("good")
    site.start_proxy([broken.port, good.port], cluster={
        "policy": "round_robin", "outlier": {"gateway_errors": 2, "max_ejection_percent": 100}})
    client = H2Client(site.namespace, FRONT)
    wait_for(lambda: client.finish(client.request("/who")) and "event=ejected" in site.proxy.output(), 10, "an ejection")
    assert f"endpoint=127.0.0.1:{broken.port} reason=consecutive-gateway-errors" in site.proxy.output()


def test_informational_answers_are_counted_for_each_request(site):
    """More of them in all than one request may have."""
    server = site.python_peer("h2_server.py", "x")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    assert [client.finish(client.request("/early")).status for _ in range(120)] == [200] * 120
