"""VIPs announced to a router: real BIRD on both ends, ECMP over two nodes."""

import json
import signal
import time

import pytest

import netns
from announced import (BOTH, announcing_site, check_that_both_nodes_share_the_flows,
                       check_that_kill_9_withdraws_at_once, config_of, wait_hops)
from bgp import GRACEFUL_SHUTDOWN, learned, next_hops, start_bird
from netns import wait_for
from topology import VIP4, VIP6, Site

pytestmark = [pytest.mark.control, pytest.mark.filterwarnings("error")]

VIPS = (VIP4, VIP6)


def configure(site, node, replace=()):
    """The site's config for a node, with `announce`, and texts replaced."""
    text = config_of(site, node)
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    node.config_path.write_text(text)


def reload(site, node, replace=()):
    before = node.status()["generation"]
    configure(site, node, replace)
    node.process.send_signal(signal.SIGHUP)
    wait_for(lambda: node.status()["generation"] != before, 10, f"{node.name} to take the new config")


@pytest.fixture(scope="module")
def bgp_site(build):
    with netns.Network() as network:
        site = announcing_site(network, build)
        site.birds = start_bird(site)
        yield site


@pytest.fixture
def site(bgp_site):
    """Both nodes run and are announced."""
    for node in bgp_site.nodes:
        if node.process.exit_status() is not None:
            configure(bgp_site, node)
            node.start()
        else:
            reload(bgp_site, node)
        node.ctl("node", "undrain")
    wait_hops(bgp_site, BOTH)
    return bgp_site


def test_both_nodes_are_announced_and_share_the_flows(site):
    check_that_both_nodes_share_the_flows(site)


def test_nothing_but_vips_is_exported(site):
    for session in ("lb1_4", "lb1_6", "lb2_4", "lb2_6"):
        routes = site.birds["router"].ctl("show", "route", "protocol", session)
        lines = [line for line in routes.splitlines() if "/" in line.split(" ")[0]]
        assert lines and all(line.startswith((f"{VIP4}/32", f"{VIP6}/128")) for line in lines), routes


def test_kill_9_withdraws_at_once_and_new_connections_succeed(site):
    check_that_kill_9_withdraws_at_once(site)


def test_sigterm_withdraws(site):
    assert site.nodes[1].stop() == 0
    wait_hops(site, {"lb1"})
    assert sum(site.spread(VIP4, 100).values()) == 100


def test_a_pool_without_usable_backends_withdraws_its_vip_only(site):
    # web4 carries VIP4 port 80: an address is announced only while all its VIPs can serve.
    down = [("address: \"10.2.1.2\", weight: 100 }", "address: \"10.2.1.2\", state: down }"),
            ("address: \"10.2.2.2\", weight: 100 }", "address: \"10.2.2.2\", state: down }")]
    reload(site, site.nodes[0], down)
    wait_for(lambda: next_hops(site, VIP4) == {"lb2"}, 10, "VIP4 to be withdrawn by lb1")
    assert "vip_withdrawn" in site.nodes[0].process.output()
    reload(site, site.nodes[0])
    wait_hops(site, BOTH)


def test_draining_a_node_withdraws_it_without_a_failed_request(site):
    first = site.nodes[0]
    # Some clients hold connections, others come and go, while the node drains and comes back.
    holder = site.hold(VIP4, 20)
    assert "withdrawn" in first.ctl("node", "drain").stdout
    wait_hops(site, {"lb2"})
    assert "the node drains" in first.ctl("announce").stdout
    assert sum(site.spread(VIP4, 200).values()) == 200
    first.ctl("node", "undrain")
    wait_hops(site, BOTH)
    assert sum(site.spread(VIP4, 200).values()) == 200
    assert [one["error"] for one in holder.finish() if one["error"]] == []


def test_a_draining_node_first_asks_routers_to_prefer_others(site):
    first, router = site.nodes[0], site.birds["router"]
    assert all(learned(router, first, vip) and GRACEFUL_SHUTDOWN not in learned(router, first, vip) for vip in VIPS)
    started = time.monotonic()
    first.ctl("node", "drain")
    # The way is still there, with the community, and the router takes the other one.
    for vip in VIPS:
        wait_for(lambda vip=vip: GRACEFUL_SHUTDOWN in learned(router, first, vip), 1.5, f"the community on {vip}",
                 interval_s=0.005)
    assert " leaving " in first.ctl("announce").stdout
    wait_hops(site, {"lb2"})
    assert all(GRACEFUL_SHUTDOWN in learned(router, first, vip) for vip in VIPS), "not yet withdrawn"
    for vip in VIPS:
        wait_for(lambda vip=vip: not learned(router, first, vip), 10, f"{vip} to be withdrawn")
    assert time.monotonic() - started >= 2, "drain_delay"
    first.ctl("node", "undrain")
    wait_hops(site, BOTH)
    assert all(GRACEFUL_SHUTDOWN not in learned(router, first, vip) for vip in VIPS)


def test_the_last_node_serves_until_it_is_withdrawn_and_a_drain_can_be_taken_back(site):
    one, two = site.nodes
    router = site.birds["router"]
    one.ctl("node", "drain")
    wait_for(lambda: one.ctl("announce").stdout.count(" no ") == 2, 10, "lb1 to withdraw")
    wait_hops(site, {"lb2"})
    two.ctl("node", "drain")
    wait_for(lambda: GRACEFUL_SHUTDOWN in learned(router, two, VIP4), 1.5, "the community")
    assert next_hops(site, VIP4) == {"lb2"}, "with nobody else, it still gets the traffic"
    assert sum(site.spread(VIP4, 20).values()) == 20
    two.ctl("node", "undrain")
    wait_for(lambda: learned(router, two, VIP4) and GRACEFUL_SHUTDOWN not in learned(router, two, VIP4), 5,
             "the community to go")
    # The drain that was taken back does not strike later: one that began after it is through before.
    one.ctl("node", "undrain")
    one.ctl("node", "drain")
    wait_for(lambda: one.ctl("announce").stdout.count(" no ") == 2, 10, "lb1 to withdraw again")
    assert next_hops(site, VIP4) == {"lb2"}
    assert " no " not in two.ctl("announce").stdout
    one.ctl("node", "undrain")
    wait_hops(site, BOTH)


def test_backends_that_die_withdraw_the_vip_and_come_back(site):
    checked = [("  - name: web4\n", "  - name: web4\n    health: { kind: tcp, port: 80, interval: 200ms, "
                                    "fast_interval: 50ms, timeout: 200ms, rise: 1, fall: 2 }\n")]
    for node in site.nodes:
        reload(site, node, checked)
    wait_for(lambda: site.nodes[0].ctl("health").stdout.count(" healthy ") == 2, 10, "both backends to be healthy")
    wait_hops(site, BOTH)
    one, two = site.backends
    one.nginx.stop()
    wait_for(lambda: "unhealthy" in site.nodes[0].ctl("health").stdout, 10, "the dead server to be noticed")
    assert "connection refused" in site.nodes[0].ctl("health").stdout
    for node in site.nodes:
        wait_for(lambda node=node: [b["slots_share"] for b in node.status()["backends"]
                                    if b["pool"] == "web4" and b["name"] == "b1"] == [0.0], 10, "b1 to lose its share")
    assert site.spread(VIP4, 100) == {"b2": 100}
    two.nginx.stop()
    # VIP6 too: its port 8080 goes to the same pool, and an address goes as a whole.
    wait_hops(site, set())
    for backend in site.backends:
        backend.nginx = backend.namespace.popen(["nginx", "-p", backend.directory, "-c",
                                                 backend.directory / "nginx.conf"])
    wait_hops(site, BOTH)
    assert sum(site.spread(VIP4, 100).values()) == 100


def test_announce_false_keeps_an_address_quiet(site):
    quiet = [("protocol: tcp, port: 80, pool: web6 }", "protocol: tcp, port: 80, pool: web6, announce: false }"),
             ("port: 8080, pool: web4 }", "port: 8080, pool: web4, announce: false }"),
             ("protocol: tcp, port: 5201, pool: one6 }", "protocol: tcp, port: 5201, pool: one6, announce: false }"),
             ("protocol: udp, port: 5201, pool: one6 }", "protocol: udp, port: 5201, pool: one6, announce: false }")]
    reload(site, site.nodes[0], quiet)
    wait_for(lambda: next_hops(site, VIP6) == {"lb2"}, 10, "VIP6 to be withdrawn by lb1")
    assert next_hops(site, VIP4) == BOTH


def test_the_devices_go_with_the_process(site):
    node = site.nodes[0]

    def ours():
        return {link["ifname"] for link in json.loads(node.namespace.ip("-j", "link"))} & {"sluice-vips", "sluice-drain"}

    assert ours() == {"sluice-vips", "sluice-drain"}
    node.kill()
    wait_for(lambda: not ours(), 3, "the devices to go")


def test_a_second_sluiced_with_the_same_device_is_refused(site, build):
    node = site.nodes[0]
    other = node.config_path.with_name("second.yaml")
    run_dir = node.run_dir / "second"
    run_dir.mkdir(exist_ok=True)
    text = node.config_path.read_text().replace(f"_dir: {node.run_dir}", f"_dir: {run_dir}")
    # Another device for packets, so that the announcement device is what they meet over.
    other.write_text(text.replace("af_xdp: eth0", f"vdev: \"net_null0\"").replace(
        "weight: 100 }", "next_hop: { port: wan, mac: \"02:00:00:00:00:01\" } }"))
    done = node.namespace.run([site.program("sluiced"), "--config", other], check=False, timeout_s=30)
    assert done.returncode == 1
    assert "announce.device" in done.stderr
    assert node.process.exit_status() is None


def test_bfd_finds_out_that_a_silent_node_is_gone(network, build):
    site = Site(network, build, nodes=2, backends=1)
    site.backends[0].start_nginx()
    site.backends[0].attach()
    for node in site.nodes:
        configure(site, node)
        node.start()
    site.birds = start_bird(site, bfd=True)
    wait_hops(site, BOTH)
    router = site.birds["router"]
    wait_for(lambda: router.ctl("show", "bfd", "sessions").count(" Up ") == 4, 10, "BFD to be up")
    # Nobody says goodbye. Without BFD the hold time of 9 s would have to pass.
    site.birds["lb1"].process.send_signal(signal.SIGSTOP)
    for vip in (VIP4, VIP6):
        wait_for(lambda vip=vip: next_hops(site, vip) == {"lb2"}, 4, f"the router to give up lb1 for {vip}")
    site.birds["lb1"].process.send_signal(signal.SIGCONT)
    wait_hops(site, BOTH)
