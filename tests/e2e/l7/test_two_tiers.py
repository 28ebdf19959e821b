"""Both tiers at once: client, router, sluiced, GRE, proxies that have the VIP on lo, servers behind them.

        client ── router ─┬─ lb1, lb2        sluiced
                          ├─ b1, b2          sluice-backend and sluice-proxy, the answer goes straight to the client
                          └─ apps            the servers, port 9001 and up
"""

import json
import signal
import threading

import pytest

from netns import wait_for
from proxy_site import PEERS, PYTHON, Load, ProxySite
from topology import CLIENT4, VIP4, VIP6, Site

APPS = "10.3.1.2"
PORT = 80
# How sluiced asks the proxies, and what a proxy that leaves is to it.
HEALTH = ("{ kind: http, path: /healthz, leaving_status: [503], interval: 200ms, fast_interval: 50ms, timeout: 500ms, rise: 1, "
          "fall: 2 }")


class TwoTiers(Site):
    """Its backends are proxies."""

    def __init__(self, network, build):
        super().__init__(network, build, nodes=2, backends=2, only_web=True)
        apps = network.namespace("apps")
        self.join(apps, "apps", "10.3.1", "fd00:3:1:", router_tx_offload=True)
        self.apps = ProxySite(network, build, apps)
        self.proxies = {}
        self.health = ""

    def config(self, node, backends):
        """`self.health`: what the proxies are checked by."""
        health = f"    health: {self.health}\n" if self.health else ""
        return super().config(node, backends).replace("  - name: web4\n", f"  - name: web4\n{health}")

    def start(self, ports):
        """Starts everything, the proxies in front of the servers at `ports` of apps."""
        for backend in self.backends:
            self.start_proxy(backend, ports)
            backend.attach()
        self.pool = self.backends
        for node in self.nodes:
            node.configure(self.pool)
            node.start()
        wait_for(lambda: self.health_of(self.backends) <= {"", "healthy"}, 15, "all proxies to be healthy")

    def health_of(self, backends):
        """What the nodes say of them over IPv4, all together."""
        names = {backend.name for backend in backends}
        return {one["health"] for node in self.nodes for one in node.status()["backends"]
                if one["pool"] == "web4" and one["name"] in names}

    def start_proxy(self, backend, ports):
        path = self.network.directory / f"{backend.name}.yaml"
        path.write_text(json.dumps({
            # Longer than a check takes to come and be answered.
            "proxy": {"name": backend.name} | ({"drain_delay": "2s"} if self.health else {}),
            "listeners": [{"name": f"front{version}", "address": address, "port": PORT, "cluster": "app",
                           "health_path": "/healthz"}
                          for version, address in ((4, "0.0.0.0"), (6, VIP6))],
            "clusters": [{"name": "app", "policy": "round_robin",
                          "endpoints": [{"address": APPS, "port": port} for port in ports]}]}))
        process = backend.namespace.popen([self.program("sluice-proxy"), "--config", path,
                                           "--run-dir", self.network.directory / backend.name])
        wait_for(lambda: process.require_running() or
                 backend.namespace.run(["ss", "-Hltn"]).stdout.count(f":{PORT} ") == 2, 10, "the proxy to listen")
        self.proxies[backend] = process

    def h2load(self, address, requests, connections):
        host = f"[{address}]" if ":" in address else address
        done = self.client.run(["h2load", "-n", requests, "-c", connections, "-m", 5, f"http://{host}:{PORT}/who"],
                               check=False)
        return Load(done.stdout + done.stderr)


@pytest.fixture
def tiers(network, build):
    if not (build / "control" / "sluiced").exists():
        pytest.fail(f"{build}/control/sluiced is not there: build first")
    return TwoTiers(network, build)


def test_requests_through_both_tiers_reach_every_proxy_and_every_server(tiers):
    servers = [tiers.apps.nginx(f"n{number}") for number in (1, 2, 3)]
    tiers.start([server.port for server in servers])
    for address in (VIP4, VIP6):
        load = tiers.h2load(address, 1500, 30)
        assert load.good == 1500, load.output
    counts = [len(server.access_log.read_text().splitlines()) for server in servers]
    assert sum(counts) == 3000 and max(counts) - min(counts) <= 4, counts
    for backend in tiers.backends:
        assert backend.decapsulated() > 100


def test_a_proxy_that_leaves_the_pool_and_ends_fails_no_call(tiers):
    """What an upgrade of a proxy node does: out of the pool, then SIGTERM, while gRPC clients go on calling."""
    servers = [tiers.apps.grpc_server("python", name) for name in ("s1", "s2")]
    tiers.start([server.port for server in servers])
    ended = []

    def call():
        done = tiers.client.run([PYTHON, PEERS / "grpc_client.py", "hold", f"{VIP4}:{PORT}", 8])
        ended.append(json.loads(done.stdout.splitlines()[-1]))

    # So many that they do not all come to the same proxy: one chance in two thousand.
    callers = [threading.Thread(target=call) for _ in range(12)]
    for caller in callers:
        caller.start()
    leaving, staying = tiers.backends
    wait_for(lambda: all(backend.decapsulated() > 50 for backend in tiers.backends), 20, "both proxies to be used")
    tiers.reload({leaving: 0, staying: 100})
    proxy = tiers.proxies[leaving]
    assert proxy.stop(30) == 0
    for caller in callers:
        caller.join()
    assert len(ended) == len(callers)
    for one in ended:
        assert set(one) == {"s1", "s2"}, ended


def hold(tiers, seconds, ended):
    """A thread that calls all the time, for so long, on one connection; what it ends with is put in `ended`."""
    def call():
        done = tiers.client.run([PYTHON, PEERS / "grpc_client.py", "hold", f"{VIP4}:{PORT}", seconds])
        ended.append(json.loads(done.stdout.splitlines()[-1]))

    caller = threading.Thread(target=call)
    caller.start()
    return caller


def ask(tiers, backend, *words):
    """sluicectl proxy WORDS at one of the proxies."""
    socket = tiers.network.directory / backend.name / "proxy.sock"
    return backend.namespace.run([tiers.program("sluicectl"), "--socket", socket, "proxy", *words]).stdout


def callers_of(tiers, backend):
    """How many of the client's connections a proxy has."""
    listed = json.loads(ask(tiers, backend, "connections", "--side", "clients", "--json"))["connections"]
    return sum(connection["peer"].startswith(f"{CLIENT4}:") for connection in listed)


OLD, NEW = 12, 8


@pytest.mark.parametrize("how", ["drain", "sigterm"])
def test_a_proxy_that_says_that_it_leaves_gets_no_new_clients_and_fails_no_call(tiers, how):
    """Nobody tells the tier in front: it learns it from the health answer, and leaves alone who is connected."""
    servers = [tiers.apps.grpc_server("python", name) for name in ("s1", "s2")]
    tiers.health = HEALTH
    tiers.start([server.port for server in servers])
    ended = []
    # So many that they do not all come to the same proxy: one chance in two thousand.
    callers = [hold(tiers, 8, ended) for _ in range(OLD)]
    leaving, staying = tiers.backends
    wait_for(lambda: sum(callers_of(tiers, backend) for backend in tiers.backends) == OLD, 20, "all to be connected")
    there = callers_of(tiers, leaving)
    assert there > 0
    proxy = tiers.proxies[leaving]
    if how == "sigterm":
        proxy.send_signal(signal.SIGTERM)
    else:
        ask(tiers, leaving, "drain")
    wait_for(lambda: tiers.health_of([leaving]) == {"leaving"}, 10, "both nodes to have heard of it", interval_s=0.1)
    assert tiers.health_of([staying]) == {"healthy"}
    callers += [hold(tiers, 3, ended) for _ in range(NEW)]
    wait_for(lambda: callers_of(tiers, staying) >= OLD - there + NEW, 10, "all newcomers to be with the one that stays")
    if how == "drain":
        assert callers_of(tiers, leaving) == there, "those who were there stay"
    else:
        assert proxy.wait(30) == 0
        assert "clients_left=0 requests_cut=0" in proxy.output()
        assert tiers.health_of([leaving]) == {"leaving"}, "its host is there, so flows have their end there"
    for caller in callers:
        caller.join()
    assert len(ended) == len(callers)
    for one in ended:
        assert set(one) == {"s1", "s2"}, ended
