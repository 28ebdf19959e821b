"""Next hops of backends as the kernel gives and changes them: real routes, real ARP and neighbour discovery.

lb has two ports, eth1 and eth2, and eth0, which is none:

    peer 10.0.1.11, .254 ── eth1 ┐
    other 10.0.2.254 ────── eth2 ├ lb
    office 10.9.0.2 ─────── eth0 ┘
"""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

import netns
from netns import End, wait_for

ROOT = Path(__file__).resolve().parents[2]
PEER_MAC = "02:00:00:00:01:11"
OTHER_MAC = "02:00:00:00:02:54"


@dataclass
class Site:
    network: netns.Network
    lb: netns.Namespace
    peer: netns.Namespace
    other: netns.Namespace
    program: object = None

    @property
    def backends_file(self):
        return self.network.directory / "backends"

    def watch(self, *backends, **environment):
        """Starts the program on the ports eth1 and eth2; returns when it has read the kernel's tables."""
        program = ROOT / os.environ.get("SLUICE_BUILD", "build") / "tests" / "e2e" / "next_hops_watch"
        assert program.exists(), f"{program} is not there: build first"
        self.backends_file.write_text("".join(f"{backend}\n" for backend in backends))
        self.program = self.lb.popen([program, self.backends_file, "eth1", "eth2"], env={**os.environ, **environment})
        wait_for(self.lines, what="the first line of next_hops_watch")

    def track(self, *backends):
        self.backends_file.write_text("".join(f"{backend}\n" for backend in backends))
        self.program.send_signal(signal.SIGHUP)

    def lines(self):
        self.program.require_running()
        return [json.loads(line) for line in self.program.output().splitlines(keepends=True)
                if line.startswith("{") and line.endswith("\n")]

    def wait(self, backend, timeout_s=10.0, **expected):
        """Until the latest line has these values for `backend`."""
        def as_expected():
            self.latest = self.lines()[-1]
            return expected.items() <= self.latest[backend].items()
        try:
            wait_for(as_expected, timeout_s)
        except netns.WaitTimeout:
            pytest.fail(f"{backend} never came to {expected}; latest: {self.latest}")
        return self.latest[backend]

    def neighbour(self, address):
        return self.lb.ip("neighbour", "show", "to", address).strip()


@pytest.fixture
def site(network):
    lb, peer, other, office = (network.namespace(name) for name in ("lb", "peer", "other", "office"))
    netns.link(End(lb, "eth1", ["10.0.1.1/24", "fd00:1::1/64"]),
               End(peer, "eth1", ["10.0.1.11/24", "10.0.1.254/24", "fd00:1::11/64", "fd00:1::fe/64"], mac=PEER_MAC))
    netns.link(End(lb, "eth2", ["10.0.2.1/24", "fd00:2::1/64"]),
               End(other, "eth2", ["10.0.2.254/24", "fd00:2::fe/64"], mac=OTHER_MAC), mtu=1400)
    netns.link(End(lb, "eth0", ["10.9.0.1/24"]), End(office, "eth0", ["10.9.0.2/24"]))
    return Site(network, lb, peer, other)


@pytest.mark.parametrize("backend", ["10.0.1.11", "fd00:1::11"])
def test_a_backend_on_the_link_is_resolved_before_start_up_is_over(site, backend):
    site.watch(backend)
    assert "not settled" not in site.program.output()
    assert site.lines()[0][backend] == {"interface": "eth1", "source": site.lb.mac("eth1"), "destination": PEER_MAC,
                                        "mtu": 1500}


@pytest.mark.parametrize("backend, gateway", [("10.7.0.1", "10.0.1.254"), ("fd00:7::1", "fd00:1::fe"),
                                              ("10.7.0.1", "inet6 fd00:1::fe")])
def test_a_backend_behind_a_gateway_has_the_gateways_mac(site, backend, gateway):
    site.lb.ip("route", "add", backend, "via", *gateway.split())
    site.watch(backend)
    site.wait(backend, interface="eth1", destination=PEER_MAC)


def test_one_path_of_a_multipath_route_is_taken(site):
    site.lb.ip("route", "add", "10.7.0.0/24", "nexthop", "via", "10.0.1.254", "nexthop", "via", "10.0.2.254")
    backends = [f"10.7.0.{i}" for i in range(1, 17)]
    site.watch(*backends)
    hops = site.lines()[0].values()
    assert {(hop["interface"], hop["destination"]) for hop in hops} <= {("eth1", PEER_MAC), ("eth2", OTHER_MAC)}


@pytest.mark.parametrize("backend", ["10.0.1.11", "fd00:1::11"])
def test_a_changed_mac_is_followed(site, backend):
    site.watch(backend)
    site.wait(backend, destination=PEER_MAC)
    site.lb.ip("neighbour", "replace", backend, "dev", "eth1", "lladdr", "02:00:00:00:99:99", "nud", "reachable")
    site.wait(backend, destination="02:00:00:00:99:99")


def test_a_peer_that_silently_takes_another_mac_is_found_again(site):
    site.lb.sysctl({"net.ipv4.neigh.eth1.base_reachable_time_ms": 1000, "net.ipv4.neigh.eth1.delay_first_probe_time": 1,
                    "net.ipv4.neigh.eth1.retrans_time_ms": 100})
    site.watch("10.0.1.11", SLUICE_REFRESH_MS="500")
    site.wait("10.0.1.11", destination=PEER_MAC)
    site.peer.ip("link", "set", "eth1", "address", "02:00:00:00:01:22")
    site.wait("10.0.1.11", destination="02:00:00:00:01:22", timeout_s=20)


@pytest.mark.parametrize("prefix, other", [("10.7.0.0/24", "10.0.2.254"), ("fd00:7::/64", "fd00:2::fe")])
def test_a_route_that_moves_to_another_port_is_followed(site, prefix, other):
    backend = prefix.split("/")[0].removesuffix(".0").removesuffix("::") + (".1" if "." in prefix else "::1")
    site.lb.ip("route", "add", prefix, "via", "10.0.1.254" if "." in prefix else "fd00:1::fe")
    site.watch(backend)
    site.wait(backend, interface="eth1", destination=PEER_MAC)
    site.lb.ip("route", "replace", prefix, "via", other)
    site.wait(backend, interface="eth2", source=site.lb.mac("eth2"), destination=OTHER_MAC, mtu=1400)
    site.lb.ip("route", "del", prefix)
    site.wait(backend, why=f"no route to {backend}")


def test_a_more_specific_route_and_a_rule_are_followed(site):
    site.lb.ip("route", "add", "10.7.0.0/16", "via", "10.0.1.254")
    site.watch("10.7.0.1", "10.7.3.1")
    site.wait("10.7.0.1", destination=PEER_MAC)
    site.lb.ip("route", "add", "10.7.0.1", "via", "10.0.2.254")
    site.wait("10.7.0.1", destination=OTHER_MAC)
    site.wait("10.7.3.1", destination=PEER_MAC)
    site.lb.ip("route", "add", "default", "via", "10.0.2.254", "table", "7")
    site.lb.ip("rule", "add", "to", "10.7.3.0/24", "lookup", "7")
    site.wait("10.7.3.1", destination=OTHER_MAC)


def test_a_changed_next_hop_object_is_followed(site):
    site.lb.sysctl({"net.ipv4.nexthop_compat_mode": 0})
    site.lb.ip("nexthop", "add", "id", "1", "via", "10.0.1.254", "dev", "eth1")
    site.lb.ip("route", "add", "10.7.0.0/24", "nhid", "1")
    site.watch("10.7.0.1")
    site.wait("10.7.0.1", destination=PEER_MAC)
    site.lb.ip("nexthop", "replace", "id", "1", "via", "10.0.2.254", "dev", "eth2")
    site.wait("10.7.0.1", destination=OTHER_MAC)


def test_mtu_of_the_route_counts_and_a_changed_mtu_of_the_port_is_followed(site):
    site.lb.ip("route", "add", "10.7.0.1", "via", "10.0.1.254", "mtu", "1300")
    site.watch("10.7.0.1", "10.0.1.11")
    site.wait("10.7.0.1", mtu=1300)
    site.wait("10.0.1.11", mtu=1500)
    site.lb.ip("link", "set", "eth1", "mtu", "1450")
    site.wait("10.0.1.11", mtu=1450)


def test_a_changed_mac_of_the_port_is_followed(site):
    site.watch("10.0.1.11")
    site.wait("10.0.1.11", source=site.lb.mac("eth1"))
    site.lb.ip("link", "set", "eth1", "address", "02:00:00:00:05:05")
    site.wait("10.0.1.11", source="02:00:00:00:05:05", destination=PEER_MAC)


def test_a_port_that_is_set_down_and_up_again(site):
    site.watch("10.0.1.11")
    site.wait("10.0.1.11", destination=PEER_MAC)
    site.lb.ip("link", "set", "eth1", "down")
    site.wait("10.0.1.11", why="no route to 10.0.1.11; eth1 is down")
    site.lb.ip("link", "set", "eth1", "up")
    site.wait("10.0.1.11", destination=PEER_MAC)


def test_a_port_without_carrier(site):
    site.watch("10.0.1.11")
    site.wait("10.0.1.11", destination=PEER_MAC)
    site.peer.ip("link", "set", "eth1", "down")
    site.wait("10.0.1.11", why="eth1, on the way to 10.0.1.11, has no carrier")
    site.peer.ip("link", "set", "eth1", "up")
    site.wait("10.0.1.11", destination=PEER_MAC)


def test_a_port_that_disappears_and_comes_back(site):
    site.watch("10.0.1.11")
    before = site.wait("10.0.1.11", destination=PEER_MAC)
    site.lb.ip("link", "del", "eth1")
    site.wait("10.0.1.11", why="no route to 10.0.1.11; interface eth1 does not exist")
    netns.link(End(site.lb, "eth1", ["10.0.1.1/24"]), End(site.peer, "eth1", ["10.0.1.11/24"], mac=PEER_MAC))
    after = site.wait("10.0.1.11", destination=PEER_MAC)
    assert after["source"] == site.lb.mac("eth1") != before["source"]


@pytest.mark.parametrize("backend, words", [
    ("192.0.2.77", "no route to 192.0.2.77"),
    ("fd00:77::1", "no route to fd00:77::1"),
    ("10.0.1.1", "10.0.1.1 is an address of this node; a backend has to be elsewhere"),
    ("fd00:1::1", "fd00:1::1 is an address of this node; a backend has to be elsewhere"),
    ("127.0.0.1", "127.0.0.1 is an address of this node; a backend has to be elsewhere"),
    ("10.0.1.255", "10.0.1.255 is a broadcast or anycast address"),
    ("10.9.0.2", "the route to 10.9.0.2 goes out by eth0, which is no port of sluiced; ports are eth1, eth2"),
], ids=["no-route", "no-route-v6", "own", "own-v6", "loopback", "broadcast", "no-port"])
def test_the_reason_in_words(site, backend, words):
    site.watch(backend)
    assert "not settled" not in site.program.output()
    assert site.lines()[0][backend] == {"why": words}


@pytest.mark.parametrize("kind, words", [("blackhole", "the route to {} is a blackhole"),
                                         ("unreachable", "the route to {} is of type unreachable"),
                                         ("prohibit", "the route to {} is of type prohibit")],
                         ids=["blackhole", "unreachable", "prohibit"])
@pytest.mark.parametrize("backend", ["10.7.0.1", "fd00:7::1"])
def test_a_route_that_leads_nowhere_by_intent(site, backend, kind, words):
    site.lb.ip("route", "add", kind, backend)
    site.watch(backend)
    assert site.lines()[0][backend] == {"why": words.format(backend)}


@pytest.mark.parametrize("backend, words", [
    ("10.0.1.66", "10.0.1.66 does not answer ARP on eth1"),
    ("fd00:1::66", "fd00:1::66 does not answer neighbour discovery on eth1"),
    ("10.7.0.1", "10.0.1.67, the gateway to 10.7.0.1, does not answer ARP on eth1"),
], ids=["neighbour", "neighbour-v6", "gateway"])
def test_nobody_answers_and_later_somebody_does(site, backend, words):
    site.lb.sysctl({f"net.{family}.neigh.eth1.retrans_time_ms": 400 for family in ("ipv4", "ipv6")})
    site.lb.ip("route", "add", "10.7.0.1", "via", "10.0.1.67")
    kernel = site.lb.popen(["ip", "monitor", "neigh"])
    site.watch(backend, SLUICE_RETRY_MS="100")
    assert "not settled" in site.program.output()
    assert site.lines()[0][backend] == {"why": "waiting for " + words.replace("does not", "to")}
    site.wait(backend, why=words)
    wait_for(lambda: kernel.output().count("FAILED") >= 3, what="the kernel to have tried more than once")
    silent = words.split()[0].rstrip(",")
    site.peer.add_address("eth1", f"{silent}/{64 if ':' in silent else 24}")
    site.wait(backend, destination=PEER_MAC)
    # One line for the reason, however often the kernel tried in between.
    assert [line[backend].get("why") for line in site.lines()].count(words) == 1


@pytest.mark.parametrize("backend", ["10.0.1.11", "fd00:1::11"])
def test_a_stale_neighbour_is_confirmed_without_traffic(site, backend):
    family = "ipv6" if ":" in backend else "ipv4"
    site.lb.sysctl({f"net.{family}.neigh.eth1.delay_first_probe_time": 1})
    site.watch(backend, SLUICE_REFRESH_MS="500")
    site.wait(backend, destination=PEER_MAC)
    for _ in range(2):
        site.lb.ip("neighbour", "change", backend, "dev", "eth1", "nud", "stale")
        wait_for(lambda: "REACHABLE" in site.neighbour(backend), 10, "the neighbour to be confirmed")
    assert all("destination" in line[backend] for line in site.lines()), "it was never without a next hop"


def test_a_deleted_neighbour_is_resolved_at_once(site):
    site.watch("10.0.1.11")
    site.wait("10.0.1.11", destination=PEER_MAC)
    site.lb.ip("neighbour", "del", "10.0.1.11", "dev", "eth1")
    wait_for(lambda: "REACHABLE" in site.neighbour("10.0.1.11"), 0.9, "the neighbour to be resolved again")
    site.wait("10.0.1.11", destination=PEER_MAC)


def test_a_permanent_neighbour_stays_permanent(site):
    site.lb.ip("neighbour", "add", "10.0.1.66", "dev", "eth1", "lladdr", "02:00:00:00:00:66", "nud", "permanent")
    site.watch("10.0.1.66", "10.0.1.11", SLUICE_REFRESH_MS="50", SLUICE_RETRY_MS="50")
    site.wait("10.0.1.66", destination="02:00:00:00:00:66")
    site.lb.ip("link", "set", "eth1", "mtu", "1450")
    site.wait("10.0.1.66", mtu=1450)
    assert "PERMANENT" in site.neighbour("10.0.1.66")


def test_backends_come_and_go(site):
    site.watch("10.0.1.11")
    site.wait("10.0.1.11", destination=PEER_MAC)
    site.track("10.0.1.254", "10.0.2.254")
    site.wait("10.0.1.254", destination=PEER_MAC)
    site.wait("10.0.2.254", destination=OTHER_MAC)
    site.track("10.0.1.11")
    site.wait("10.0.1.11", destination=PEER_MAC)


def storm(site, routes):
    """Adds and removes so many routes."""
    batch = site.network.directory / "storm"
    batch.write_text("".join(f"route {verb} 10.{80 + i // 62500}.{i // 250 % 250}.{i % 250} via 10.0.1.254\n"
                             for verb in ("add", "del") for i in range(routes)))
    site.lb.ip("-batch", str(batch))


def test_ten_thousand_backends_follow_their_route_amid_a_storm_of_others(site):
    site.lb.ip("route", "add", "10.64.0.0/16", "via", "10.0.1.254")
    backends = [f"10.64.{i // 250}.{i % 250 + 1}" for i in range(10_000)]
    site.watch(*backends)
    for backend in (backends[0], backends[-1]):
        site.wait(backend, destination=PEER_MAC)
    storm(site, 20_000)
    site.lb.ip("route", "replace", "10.64.0.0/16", "via", "10.0.2.254")
    wait_for(lambda: all(hop.get("destination") == OTHER_MAC for hop in site.lines()[-1].values()), 20,
             "all backends to follow the route")


def test_lost_notifications_are_made_good(site):
    site.lb.ip("neighbour", "add", "10.0.1.66", "dev", "eth1", "lladdr", "02:00:00:00:00:66", "nud", "permanent")
    site.lb.ip("route", "add", "10.7.0.1", "via", "10.0.1.254")
    site.watch("10.0.1.66", "10.7.0.1", "10.0.2.254")
    site.wait("10.0.1.66", destination="02:00:00:00:00:66")
    site.wait("10.7.0.1", destination=PEER_MAC)
    site.wait("10.0.2.254", destination=OTHER_MAC)

    site.program.send_signal(signal.SIGSTOP)
    storm(site, 10_000)
    def lost():
        table = [line.split() for line in site.lb.run(["cat", "/proc/net/netlink"]).stdout.splitlines()]
        return sum(int(row[table[0].index("Drops")]) for row in table[1:])
    assert lost() > 0, "the storm has to be more than the socket holds"
    site.lb.ip("neighbour", "del", "10.0.1.66", "dev", "eth1")
    site.lb.ip("route", "replace", "10.7.0.1", "via", "10.0.2.254")
    site.lb.ip("link", "del", "eth1")
    site.program.send_signal(signal.SIGCONT)

    site.wait("10.0.1.66", why="no route to 10.0.1.66; interface eth1 does not exist")
    site.wait("10.7.0.1", destination=OTHER_MAC)
