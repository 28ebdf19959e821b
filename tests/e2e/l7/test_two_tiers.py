"""Both tiers at once: client, router, sluiced, GRE, proxies that have the VIP on lo, servers behind them.

        client ── router ─┬─ lb1, lb2        sluiced
                          ├─ b1, b2          sluice-backend and sluice-proxy, the answer goes straight to the client
                          └─ apps            the servers, port 9001 and up
"""

import json
import threading

import pytest

from netns import wait_for
from proxy_site import PEERS, PYTHON, Load, ProxySite
from topology import VIP4, VIP6, Site

APPS = "10.3.1.2"
PORT = 80


class TwoTiers(Site):
    """Its backends are proxies."""

    def __init__(self, network, build):
        super().__init__(network, build, nodes=2, backends=2, only_web=True)
        apps = network.namespace("apps")
        self.join(apps, "apps", "10.3.1", "fd00:3:1:", router_tx_offload=True)
        self.apps = ProxySite(network, build, apps)
        self.proxies = {}

    def start(self, ports):
        """Starts everything, the proxies in front of the servers at `ports` of apps."""
        for backend in self.backends:
            self.start_proxy(backend, ports)
            backend.attach()
        self.pool = self.backends
        for node in self.nodes:
            node.configure(self.pool)
            node.start()

    def start_proxy(self, backend, ports):
        path = self.network.directory / f"{backend.name}.yaml"
        path.write_text(json.dumps({
            "proxy": {"name": backend.name},
            "listeners": [{"name": f"front{version}", "address": address, "port": PORT, "cluster": "app"}
                          for version, address in ((4, VIP4), (6, VIP6))],
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
