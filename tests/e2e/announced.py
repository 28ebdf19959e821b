"""What holds of VIPs that two nodes announce to a router, whichever BGP daemon does it."""

from bgp import next_hops
from netns import wait_for
from topology import VIP4, VIP6, Site

BOTH = {"lb1", "lb2"}


def config_of(site, node):
    return site.config(node, site.backends) + "announce:\n  stop_delay: 0s\n  drain_delay: 2s\n"


def announcing_site(network, build):
    """Two nodes that announce and two web servers; no BGP daemon runs yet."""
    site = Site(network, build, nodes=2, backends=2)
    for backend in site.backends:
        backend.start_nginx()
        backend.attach()
    for node in site.nodes:
        node.config_path.write_text(config_of(site, node))
        node.start()
    return site


def wait_hops(site, nodes):
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: next_hops(site, vip) == nodes, 40, f"the router to send {vip} to {sorted(nodes)}")


def check_that_both_nodes_share_the_flows(site):
    before = [sum(vip["packets"] for vip in node.stats()["vips"]) for node in site.nodes]
    assert sum(site.spread(VIP4, 100).values()) == 100
    assert sum(site.spread(VIP6, 100).values()) == 100
    after = [sum(vip["packets"] for vip in node.stats()["vips"]) for node in site.nodes]
    assert all(now > then for now, then in zip(after, before)), "ECMP uses both nodes"


def check_that_kill_9_withdraws_at_once(site):
    """Far below the hold time of 9 s: the kernel takes the device away, and the daemon tells the router."""
    site.nodes[0].kill()
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: next_hops(site, vip) == {"lb2"}, 3, f"{vip} to be withdrawn")
    assert sum(site.spread(VIP4, 200).values()) == 200
    assert sum(site.spread(VIP6, 200).values()) == 200
