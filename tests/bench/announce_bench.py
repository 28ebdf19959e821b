"""How long a router goes on sending to a node that was killed: from SIGKILL of sluiced to the last change of the router's
kernel routes, with BIRD and with FRR on the nodes and BIRD on the router, all in network namespaces of this machine."""

import re
import signal
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

import netns  # noqa: E402
from bgp import next_hops, start_bird, start_frr  # noqa: E402
from netns import wait_for  # noqa: E402
from topology import VIP4, VIP6, Site  # noqa: E402

RUNS = {"bird": 15, "frr": 15}
TARGET_MS = 50
BOTH = {"lb1", "lb2"}


class RouteLog:
    """What the router's kernel says of its routes, with the time of each change."""

    def __init__(self, router):
        self.process = router.popen(["ip", "-ts", "monitor", "route"])
        self.router = router
        # A change of our own, to see that it listens.
        wait_for(self._listens, 5, "ip monitor to listen")

    def _listens(self):
        self.router.ip("route", "replace", "blackhole", "192.0.2.254/32")
        self.router.ip("route", "del", "blackhole", "192.0.2.254/32")
        return "192.0.2.254" in self.process.output()

    def last_change(self, address, since):
        """When a route to the address last changed, in seconds since 1970; None: not since then."""
        times = [datetime.fromisoformat(stamp).timestamp() for stamp in
                 re.findall(rf"\[([0-9T:.-]+)\] (?:Deleted )?{re.escape(address)} ", self.process.output())]
        times = [when for when in times if when >= since]
        return max(times) if times else None


def wait_hops(site, nodes, timeout_s=60):
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: next_hops(site, vip) == nodes, timeout_s, f"the router to send {vip} to {sorted(nodes)}",
                 interval_s=0.1)


def measure(build, start_speakers, runs):
    """Milliseconds from SIGKILL to the last VIP's withdrawal, one per run."""
    results = []
    with netns.Network() as network:
        site = Site(network, build, nodes=2, backends=1)
        for node in site.nodes:
            node.config_path.write_text(site.config(node, site.backends) + "announce: {}\n")
            node.start()
        site.speakers = start_speakers(site)
        log = RouteLog(site.router)
        victim = site.nodes[0]
        for run in range(runs):
            if run > 0:
                victim.start()
            wait_hops(site, BOTH)
            # Whatever is still to be said about the announcement has been said.
            wait_for(lambda: time.time() - max(log.last_change(vip, 0) for vip in (VIP4, VIP6)) > 0.5, 10, "quiet")
            killed = time.time()
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            wait_hops(site, {"lb2"})
            changes = wait_for(lambda killed=killed: [when for vip in (VIP4, VIP6)
                                                      if (when := log.last_change(vip, killed))], 5, "the changes")
            if len(changes) != 2:
                raise RuntimeError("the router's routes have changed, and nothing was seen of it")
            results.append((max(changes) - killed) * 1000)
    return results


def bench(build):
    """{speaker: {"median_ms", "max_ms", "runs"}}."""
    figures = {}
    for name, start_speakers in (("bird", start_bird), ("frr", start_frr)):
        results = measure(build, start_speakers, RUNS[name])
        figures[name] = {"median_ms": round(statistics.median(results), 1), "max_ms": round(max(results), 1),
                         "runs": len(results)}
    return figures


def show(figures):
    print(f"From kill -9 of sluiced to the withdrawal of its VIPs at the router, ms (target {TARGET_MS})")
    print(f"  {'on the node':<14}{'runs':>6}{'median':>10}{'longest':>10}")
    for name, row in figures.items():
        print(f"  {name:<14}{row['runs']:>6}{row['median_ms']:>10.1f}{row['max_ms']:>10.1f}")
