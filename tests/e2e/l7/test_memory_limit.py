"""Whatever clients make the proxy hold, its memory has a bound, and those who take little are served meanwhile."""

import json
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


@pytest.mark.measures("memory")
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


SMALL_LIMIT = 16 << 20
HOLDERS, UPLOAD = 120, 240_000
BEGINNING_BYTES = 12_000


class Holders:
    """Clients with uploads to `server`, which takes a window of each; the rest is the proxy's to hold."""

    def __init__(self, site, server, count):
        self.server = H2Client(site.namespace, server.port)
        self.clients = [H2Client(site.namespace, FRONT) for _ in range(count)]
        self.uploads = [[client.request("/unread", "POST", end=False) for _ in range(2)] for client in self.clients]
        self.filled = 0

    def fill(self, client, upload=0):
        """Sends most of what a stream takes, and waits until the server has its part."""
        assert self.send(client, upload) == UPLOAD
        self.filled += 1
        wait_for(lambda: self.received() == self.filled * 65535, 10, "the server to have its part")

    def send(self, client, upload=0):
        # The proxy's SETTINGS say how much it takes.
        self.clients[client].ping()
        return self.clients[client].send_what_fits(self.uploads[client][upload], bytes(UPLOAD))

    def received(self):
        return json.loads(self.server.finish(self.server.request("/received")).body)["/unread"][0]


def settled_memory(site, least):
    """What the proxy says it holds, when that is at least so much and no longer changes."""
    last = [0]

    def settled():
        before, last[0] = last[0], samples(site)["sluice_proxy_memory_bytes"]
        return last[0] >= least and last[0] == before

    wait_for(settled, 15, f"{least} bytes to be held", interval_s=0.6)
    return last[0]


def test_a_proxy_short_of_memory_serves_who_takes_little(site):
    """Above four fifths of the limit, held by many of whom none is worth closing: each kind of refusal, one by one."""
    server = site.python_peer("h2_server.py", "x")
    site.start_proxy([server.port], more=METRICS | {"proxy": {"name": "p1", "memory_limit": SMALL_LIMIT, "drain_time": "1s"}},
                     listener={"max_client_memory": SMALL_LIMIT})
    modest, idle = (H2Client(site.namespace, FRONT) for _ in range(2))
    for client in (modest, idle):
        assert client.finish(client.request("/who")).status == 200
    holders = Holders(site, server, HOLDERS)
    # The first ones take what the proxy has kept.
    held = []
    for number in range(20):
        holders.fill(number)
        if number in (9, 19):
            held.append(settled_memory(site, 1))
    each = (held[1] - held[0]) / 10
    for number in range(20, 20 + int((SMALL_LIMIT * 0.88 - held[1]) / each)):
        holders.fill(number)
        # Who has had no request for a while would be asked to go.
        assert modest.finish(modest.request("/who")).status == 200
    settled_memory(site, SMALL_LIMIT * 4 // 5)

    with pytest.raises(ConnectionError):
        H2Client(site.namespace, FRONT).read()
    wait_for(lambda: defences(site, "memory_clients") > 0, 10, "the client to be counted", interval_s=0.1)
    holder = holders.clients[1]
    assert holder.finish(holder.request("/who")).status == 503
    wait_for(lambda: defences(site, "memory_streams") == 1, 10, "the request to be counted", interval_s=0.1)
    # Who has had no request for a while is asked to go; who has had one is not.
    idle.socket.settimeout(0.2)

    statuses = []

    def asked_to_go():
        statuses.append(modest.finish(modest.request("/who")).status)
        try:
            idle.read()
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return False

    wait_for(asked_to_go, 30, "the idle client to be asked to go", interval_s=0)
    assert set(statuses) == {200}
    assert idle.goaways and not modest.goaways
    wait_for(lambda: defences(site, "memory_idle") == 1, 10, "the idle client to be counted", interval_s=0.1)
    # One of them takes more, and is the biggest.
    assert defences(site, "memory_biggest") == 0
    holders.fill(0, upload=1)
    with pytest.raises(ConnectionError):
        while True:
            holders.clients[0].read()
    wait_for(lambda: defences(site, "memory_biggest") == 1, 10, "the biggest to be counted", interval_s=0.1)
    # At the limit those who hold most go, and only they.
    for number in range(holders.filled, HOLDERS):
        try:
            holders.send(number)
        except ConnectionError:
            break
    wait_for(lambda: defences(site, "memory_biggest") > 1, 10, "the limit to be met", interval_s=0.1)
    assert modest.finish(modest.request("/who")).status == 200
    assert samples(site)["sluice_proxy_clients"] > HOLDERS // 2
    for holder in holders.clients:
        holder.close()
    wait_for(lambda: samples(site)["sluice_proxy_memory_bytes"] < SMALL_LIMIT // 2, 10, "memory to be given back",
             interval_s=0.2)
    new = H2Client(site.namespace, FRONT)
    assert new.finish(new.request("/who")).status == 200


def test_the_beginnings_of_frames_are_counted(site):
    server = site.python_peer("h2_server.py", "x")
    site.start_proxy([server.port], more=METRICS)
    before = samples(site)["sluice_proxy_memory_bytes"]
    clients = [H2Client(site.namespace, FRONT) for _ in range(100)]
    for client in clients:
        client.socket.sendall(bytes.fromhex("004000" "01" "04" "00000001") + bytes(BEGINNING_BYTES))
    settled_memory(site, before + 100 * BEGINNING_BYTES)
    for client in clients:
        client.close()


def test_what_a_burst_has_needed_is_given_back_while_others_go_on(site):
    """What nobody has needed for five seconds and more, also where the proxy is never idle."""
    server = site.nginx("n1", http="keepalive_requests 1000000;")
    (server.www / "large").write_bytes(b"x" * 1_000_000)
    site.start_proxy([server.port], more=METRICS)
    steady = H2Client(site.namespace, FRONT)
    assert steady.finish(steady.request("/who")).status == 200
    before = samples(site)["sluice_proxy_memory_bytes"]
    slow = H2Client(site.namespace, FRONT, window=1000)
    for _ in range(20):
        slow.request("/large")
    wait_for(lambda: samples(site)["sluice_proxy_memory_bytes"] > before + (3 << 20), 10, "much to be held", interval_s=0.1)
    slow.close()

    def given_back():
        assert steady.finish(steady.request("/who")).status == 200
        return samples(site)["sluice_proxy_memory_bytes"] < before + (1 << 20)

    wait_for(given_back, 30, "what is kept to be given back", interval_s=0.1)
