"""Whatever clients make the proxy hold, its memory has a bound, and those who take little are served meanwhile."""

import socket
import subprocess
import time

import pytest

from counters import METRICS, defences, samples
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT, PEERS, PYTHON

LIMIT = 48 << 20
# What is not counted: what the allocator keeps, buffers of the worker, the growth of one wake-up.
BEYOND_KIB = 24 << 10
ATTACK_S = 4
REASONS = ["memory_streams", "memory_clients", "client_memory_streams", "memory_biggest", "client_memory"]
HOLD_PORT = 9900
# How, connections, and streams on each: more than the limit in any case.
ATTACKS = [("upload", 40, 60), ("fields", 60, 90), ("slow", 60, 60), ("shut", 60, 60)]


@pytest.fixture
def attacked(site):
    """The proxy with a small limit; /hold leads to an endpoint that reads nothing."""
    server = site.nginx("n1", http="keepalive_requests 1000000; http2_max_concurrent_streams 1000;",
                        server="location = / { return 200 x; }")
    (server.www / "large").write_bytes(b"x" * 1_000_000)
    with site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as hold:
        hold.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hold.bind(("127.0.0.1", HOLD_PORT))
        hold.listen(4096)
        clusters = [{"name": "app", "endpoints": [{"address": "127.0.0.1", "port": server.port}], "max_pending": 10_000},
                    {"name": "hold", "endpoints": [{"address": "127.0.0.1", "port": HOLD_PORT}], "protocol": "http1",
                     "max_connections": 1000, "max_pending": 10_000}]
        site.start_proxy([server.port], more=METRICS | {
            "proxy": {"name": "p1", "memory_limit": LIMIT, "drain_time": "1s"}, "clusters": clusters}, listener={
                "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
                    {"prefix": "/hold", "cluster": "hold"}, {"cluster": "app"}]}]})
        yield site


@pytest.mark.parametrize("how,connections,streams", ATTACKS)
def test_an_attack_on_memory_has_a_bound_and_others_are_served(attacked, how, connections, streams):
    site = attacked
    good = H2Client(site.namespace, FRONT)
    assert good.finish(good.request()).status == 200
    before, most, served = site.proxy_memory_kib(), 0, 0
    with subprocess.Popen(site.namespace.enter([PYTHON, PEERS / "memory_attack.py", FRONT, how, connections, streams]),
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as attack:
        try:
            end = time.monotonic() + ATTACK_S
            while time.monotonic() < end:
                answer = good.finish(good.request())
                assert answer.status == 200, "a client that holds nothing is refused"
                served += 1
                most = max(most, site.proxy_memory_kib())
                time.sleep(0.01)
            attack.stdin.close()
            assert attack.wait(20) == 0
        finally:
            attack.kill()
    assert most - before < LIMIT // 1024 + BEYOND_KIB
    assert served > 0
    # The attack did reach the limit, and the counters say what was done about it.
    assert sum(defences(site, reason) for reason in REASONS) > 0
    # Afterwards all is as before.
    wait_for(lambda: samples(site)["sluice_proxy_memory_bytes"] < LIMIT // 4, 10, "memory to be given back", interval_s=0.2)
    new = H2Client(site.namespace, FRONT)
    assert new.finish(new.request()).status == 200
