"""Many connections and many streams at once, in bounded memory."""

import contextlib
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from netns import wait_for
from proxy_site import FRONT, PEERS, PYTHON, Load

IDLE_CLIENT = PEERS.parents[2] / "bench" / "l7" / "idle_connections.py"
CONNECTIONS = 5000
# The goal for a cleartext connection that waits.
KIB_PER_CONNECTION = 4
STREAMS = 10_000
# A request under way: its streams on both sides, fields, body buffers.
KIB_PER_STREAM = 16
# What a proxy shall hold where the limit of open files lets it.
MOST_CONNECTIONS = 100_000
# Of the limit, for a client's own files, and for the proxy's connections to its servers.
OTHER_FILES = 200


def wait_for_little(site, before, connections):
    """They have asked all at once; what that has needed beyond what each keeps goes after some seconds."""
    def taken():
        return site.proxy_memory_kib() - before

    at_once = taken()
    wait_for(lambda: taken() < connections * KIB_PER_CONNECTION, 30,
             f"{connections} connections to hold little again; they hold {at_once} KiB")
    # The same on a quiet machine, where requests do not pile up, and on one where they do.
    sys.stdout.write(f"{connections} connections: {at_once} KiB after a request of each, {taken()} KiB some seconds later\n")


@pytest.mark.measures("memory")
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
            wait_for_little(site, before, CONNECTIONS)
            client.stdin.close()
            assert client.wait(30) == 0
        finally:
            client.kill()
    assert site.curl("/").stdout == "x"


@pytest.mark.measures("memory")
def test_as_many_connections_as_the_limit_of_files_allows(site):
    """All idle, from several processes and addresses; then all ask, by and by."""
    server = site.nginx("n1", http="keepalive_requests 1000000;", server="location = / { return 200 x; }")
    site.start_proxy([server.port])
    site.curl("/")
    said = re.search(r"event=file_limit files=(\d+) connections=(\d+)", site.proxy.output())
    files, connections = map(int, said.groups())
    assert files >= resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    # Above nine tenths of the files proxy.max_clients refuses.
    wanted = min(connections - OTHER_FILES, files * 9 // 10 - 1, MOST_CONNECTIONS)
    # A client is bound by the same limit, and each address by its ports.
    each = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1] - OTHER_FILES, 10_000)
    counts = [min(each, wanted - begin) for begin in range(0, wanted, each)]
    before = site.proxy_memory_kib()
    with contextlib.ExitStack() as stack:
        clients = []
        for number, count in enumerate(counts):
            client = stack.enter_context(subprocess.Popen(
                site.namespace.enter([PYTHON, IDLE_CLIENT, FRONT, count, f"127.0.0.{number + 2}"]),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout.readline().strip() == "idle"
        taken = site.proxy_memory_kib() - before
        sys.stdout.write(f"{wanted} idle connections: {taken * 1024 / wanted:.0f} bytes each\n")
        assert taken < wanted * KIB_PER_CONNECTION, f"{taken} KiB for {wanted} connections"
        for client in clients:
            client.stdin.write("ask\n")
            client.stdin.flush()
            assert client.stdout.readline().strip() == "answered"
        wait_for_little(site, before, wanted)
        for client in clients:
            client.stdin.close()
            assert client.wait(30) == 0
    assert site.curl("/").stdout == "x"


def test_a_low_limit_of_files_is_told_of(site):
    site.configure([9])
    site.proxy = site.namespace.popen(["prlimit", "--nofile=1000:1000", site.build / "control" / "sluice-proxy", "--config",
                                       site.config_path])
    wait_for(lambda: "event=started" in site.proxy.output(), 20, "the proxy to start")
    # Who may raise it does.
    capabilities = int(re.search(r"CapEff:\s+(\w+)", Path("/proc/self/status").read_text(encoding="ascii"))[1], 16)
    assert ("event=file_limit_low files=1000 connections=" in site.proxy.output()) == (not capabilities >> 24 & 1)


@pytest.mark.measures("memory")
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
    sys.stdout.write(f"{STREAMS} streams at once: {most * 1024 / STREAMS:.0f} bytes each\n")
    assert most < STREAMS * KIB_PER_STREAM, f"{most} KiB"
    # What so many have needed at once is not kept for ever.
    wait_for(lambda: site.proxy_memory_kib() - before < most / 4, 30, f"the proxy to give back what is left of {most} KiB")
