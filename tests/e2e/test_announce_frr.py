"""VIPs announced to a router by FRR on the nodes, with the snippet of packaging/frr."""

import pytest

import netns
from announced import (BOTH, announcing_site, check_that_both_nodes_share_the_flows,
                       check_that_kill_9_withdraws_at_once, wait_hops)
from bgp import GRACEFUL_SHUTDOWN, learned, start_frr
from netns import wait_for
from topology import VIP4, VIP6

pytestmark = pytest.mark.control


@pytest.fixture(scope="module")
def frr_site(build):
    with netns.Network() as network:
        site = announcing_site(network, build)
        site.speakers = start_frr(site)
        yield site


@pytest.fixture
def site(frr_site):
    """Both nodes run and are announced."""
    for node in frr_site.nodes:
        if node.process.exit_status() is not None:
            node.start()
        node.ctl("node", "undrain")
    wait_hops(frr_site, BOTH)
    return frr_site


def test_both_nodes_are_announced_and_share_the_flows(site):
    check_that_both_nodes_share_the_flows(site)


def test_nothing_but_vips_is_exported(site):
    # Something of the node's own that has to stay at home.
    site.nodes[0].namespace.add_address("lo", "203.0.113.99/32")
    for node in site.nodes:
        for family, wanted in (("ipv4", f"{VIP4}/32"), ("ipv6", f"{VIP6}/128")):
            peer = {"ipv4": f"10.1.{node.name[2:]}.1", "ipv6": f"fd00:1:{node.name[2:]}::1"}[family]
            table = site.speakers[node.name].ctl("show", "bgp", family, "unicast", "neighbors", peer,
                                                 "advertised-routes")
            advertised = [word for line in table.splitlines() for word in line.split()[:3] if "/" in word]
            assert advertised == [wanted], table


def test_kill_9_withdraws_at_once_and_new_connections_succeed(site):
    check_that_kill_9_withdraws_at_once(site)


def test_draining_a_node_withdraws_it_without_a_failed_request(site):
    first, router = site.nodes[0], site.speakers["router"]
    holder = site.hold(VIP4, 20)
    first.ctl("node", "drain")
    # First the community, then the withdrawal.
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: GRACEFUL_SHUTDOWN in learned(router, first, vip), 1.5, f"the community on {vip}",
                 interval_s=0.005)
    wait_hops(site, {"lb2"})
    assert sum(site.spread(VIP4, 200).values()) == 200
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: not learned(router, first, vip), 10, f"{vip} to be withdrawn")
    first.ctl("node", "undrain")
    wait_hops(site, BOTH)
    assert sum(site.spread(VIP4, 200).values()) == 200
    assert [one["error"] for one in holder.finish() if one["error"]] == []
