"""Many connections and many streams at once, in bounded memory."""

import subprocess

from netns import wait_for
from proxy_site import FRONT, PEERS, PYTHON, Load

IDLE_CLIENT = PEERS.parents[2] / "bench" / "l7" / "idle_connections.py"
CONNECTIONS = 5000
# The goal for a cleartext connection that waits.
KIB_PER_CONNECTION = 4
STREAMS = 10_000
# A request under way: its streams on both sides, fields, body buffers.
KIB_PER_STREAM = 16


def test_thousands_of_connections_cost_little_and_all_are_served(site):
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;", server="location = / { return 200 x; }")
               for number in (1, 2)]
    site.start_proxy([server.port for server in servers])
    site.curl("/")
    before = site.proxy_memory_kib()
    with subprocess.Popen(site.namespace.enter([PYTHON, IDLE_CLIENT, FRONT, CONNECTIONS]), stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as client:
        try:
            assert client.stdout.readline().strip() == "idle"
            assert site.proxy_memory_kib() - before < CONNECTIONS * KIB_PER_CONNECTION
            client.stdin.write("ask\n")
            client.stdin.flush()
            assert client.stdout.readline().strip() == "answered"
            assert site.proxy_memory_kib() - before < CONNECTIONS * KIB_PER_CONNECTION
            client.stdin.close()
            assert client.wait(30) == 0
        finally:
            client.kill()
    assert site.curl("/").stdout == "x"


def test_ten_thousand_streams_at_once(site):
    """nginx lets each answer trickle for two seconds or more, so that all of them are open together."""
    servers = []
    for number in (1, 2, 3):
        server = site.nginx(f"n{number}", http="keepalive_requests 1000000; http2_max_concurrent_streams 1000;",
                            server="location /slow/ { limit_rate 100; }")
        (server.www / "slow").mkdir()
        (server.www / "slow" / "page").write_bytes(b"x" * 400)
        servers.append(server)
    # They come all at once, before there are connections for them: the limits' defaults have room for such a burst.
    site.start_proxy([server.port for server in servers])
    site.curl("/who")
    before = site.proxy_memory_kib()
    load = site.start_h2load("/slow/page", "-n", STREAMS, "-c", 100, "-m", 100)
    most = 0

    def ended():
        nonlocal most
        most = max(most, site.proxy_memory_kib() - before)
        return load.exit_status() is not None

    wait_for(ended, 90, "all streams to end", interval_s=0.05)
    result = Load(load.output())
    assert result.good == STREAMS, result.output
    assert most < STREAMS * KIB_PER_STREAM, f"{most} KiB"
