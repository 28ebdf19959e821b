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
DURING_AN_ANSWER = {"trailers": "large_headers", "empty_data": "empty_data"}


@pytest.mark.parametrize("how", [*ATTACKS, *DURING_AN_ANSWER])
def test_an_endpoint_that_attacks_fails_its_request_only(site, how):
    broken = site.python_peer("broken_server.py", how)
    good = site.nginx("good", server="location = / { return 200 x; }")
    routes = [{"prefix": "/broken", "cluster": "app"}, {"cluster": "good"}]
    clusters = [{"name": name, "endpoints": [{"address": "127.0.0.1", "port": server.port}]}
                for name, server in (("app", broken), ("good", good))]
    site.start_proxy([broken.port], more=METRICS | {"clusters": clusters}, listener={
        "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request()).status == 200
    before = site.proxy_memory_kib()
    for _ in range(3):
        answer = client.finish(client.request("/broken"))
        if how in ATTACKS:
            assert answer.status == 502
        else:
            assert answer.status == 200 and answer.reset is not None
        assert client.finish(client.request()).status == 200
    reason = (ATTACKS | DURING_AN_ANSWER)[how]
    # One is enough: what follows the attack on one request may end the connection for other reasons.
    wait_for(lambda: defences(site, reason, "endpoint") > 0, 10, f"endpoint {reason}", interval_s=0.1)
    assert site.proxy_memory_kib() - before < MOST_KIB
    assert samples(site)["sluice_proxy_clients"] == 1
