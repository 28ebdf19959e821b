"""The kinds of ports, what each carries, and what a worker does between packets."""

import json
import re
import shutil
import time

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, GRE, Ether
from scapy.packet import Raw
from scapy.utils import rdpcap, wrpcap

from netns import wait_for
from one_link import NEIGHBOUR, NODE, TICKS_PER_SECOND, VIP, OneLink, cpu_ticks


@pytest.fixture
def one_link(build, network):
    return OneLink(network, build)


def stop_cleanly(one_link):
    assert one_link.process.stop() == 0, one_link.process.output()
    assert one_link.traces() == []
    log = one_link.process.output()
    assert "level=error" not in log and "level=warn" not in log, log
    assert all(re.match(r"\d{4}-", line) for line in log.splitlines()), log


# --- AF_XDP


def test_af_xdp_without_huge_pages(one_link):
    one_link.write(dpdk={"huge_pages": False})
    one_link.start()
    # Many times round the pool of 5120 buffers: a driver that loses its place there stops after the first.
    assert one_link.probe(flows=100, rounds=300) == 30000
    stop_cleanly(one_link)


@pytest.mark.parametrize("huge_pages", [True, False], ids=["huge", "no-huge"])
@pytest.mark.parametrize("mtu", [1500, 1600, 3000, 3400])
def test_frames_as_large_as_the_interface_lets_through(build, network, mtu, huge_pages):
    one_link = OneLink(network, build, mtu=mtu)
    # The file says nothing of the MTU, so it is 1500 there.
    one_link.write(dpdk={"huge_pages": huge_pages})
    one_link.start()
    gre_over_ipv4 = 24
    for size in (64, mtu - gre_over_ipv4 - 1, mtu - gre_over_ipv4):
        assert one_link.probe(flows=20, size=size, rounds=10) == 200, size
    stop_cleanly(one_link)


def test_small_rings(one_link):
    one_link.write(port={"descriptors": 64})
    one_link.start()
    assert one_link.probe(flows=50, rounds=20) == 1000
    stop_cleanly(one_link)


@pytest.mark.smoke
@pytest.mark.parametrize("huge_pages", [True, False], ids=["huge", "no-huge"])
def test_two_queues_and_two_workers_share_the_flows(build, network, huge_pages):
    one_link = OneLink(network, build, queues=2)
    one_link.write(dpdk={"huge_pages": huge_pages}, workers={"cores": [0, 1]})
    one_link.start()
    assert one_link.probe(flows=200, rounds=5) == 1000
    received = [worker["rx_packets"] for worker in one_link.status()["workers"]]
    # The kernel spreads 200 flows by hash: under 60 on one queue happens once in 100 million runs.
    assert sum(received) == 1000 and min(received) >= 300, received
    assert one_link.status()["ports"][0]["queues"] == 2
    # What is not for a VIP stays with the kernel, on both queues.
    one_link.neighbour.run(["ping", "-c", "3", "-i", "0.2", "-W", "2", NODE])
    stop_cleanly(one_link)


def test_one_worker_serves_all_queues(build, network):
    one_link = OneLink(network, build, queues=3)
    one_link.write()
    one_link.start()
    assert one_link.probe(flows=200, rounds=5) == 1000
    stop_cleanly(one_link)


def test_several_queues_after_kill_9(build, network):
    one_link = OneLink(network, build, queues=2)
    one_link.write(workers={"count": 2})
    one_link.start()
    one_link.process.send_signal(9)
    one_link.process.wait()
    assert "XDP program" in one_link.traces()
    one_link.start()
    assert one_link.probe(flows=200) == 200
    stop_cleanly(one_link)


def test_sighup_with_several_queues(build, network):
    one_link = OneLink(network, build, queues=2)
    one_link.write(workers={"count": 2})
    one_link.start()
    one_link.write(workers={"count": 2}, backend={"weight": 7})
    one_link.process.send_signal(1)
    wait_for(lambda: "event=reloaded" in one_link.process.output(), 10, "sluiced to read its file")
    assert one_link.probe(flows=200) == 200
    stop_cleanly(one_link)


@pytest.mark.parametrize("queues", [1, 2])
def test_sigterm_under_load_leaves_nothing(build, network, queues):
    one_link = OneLink(network, build, queues=queues)
    one_link.write(workers={"count": queues, "idle": "poll"})
    one_link.start()
    load = one_link.neighbour.popen(["/usr/bin/python3", "-c", FLOOD, VIP])
    wait_for(lambda: sum(worker["rx_packets"] for worker in one_link.status()["workers"]) > 20000, 20, "the load")
    stop_cleanly(one_link)
    load.stop()


FLOOD = """
import socket, sys
senders = []
for n in range(64):
    senders.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    senders[-1].connect((sys.argv[1], 9000))
while True:
    for sender in senders:
        sender.send(b"x" * 64)
"""


# --- between packets


def ticks_over(one_link, seconds):
    before = cpu_ticks(one_link.process.pid)
    time.sleep(seconds)
    return cpu_ticks(one_link.process.pid) - before


@pytest.mark.parametrize("queues", [1, 2])
def test_an_idle_adaptive_node_leaves_the_cpu_alone(build, network, queues):
    one_link = OneLink(network, build, queues=queues)
    one_link.write(workers={"idle": "adaptive", "count": queues})
    one_link.start()
    assert ticks_over(one_link, 3) < 0.05 * 3 * TICKS_PER_SECOND
    # Awake at once nevertheless.
    assert one_link.probe() == 20


def test_a_polling_node_does_not(one_link):
    one_link.write(workers={"idle": "poll"})
    one_link.start()
    # Far from the other's 5 %, even where others want the CPU too.
    assert ticks_over(one_link, 3) > 0.2 * 3 * TICKS_PER_SECOND


# --- virtual devices, offline


CLIENT4, CLIENT6 = "198.51.100.2", "2001:db8:100::2"
VIP6 = "2001:db8:f00d::10"
TUNNEL6, BACKEND6 = "fd00::1", "fd00::2"
NEXT_HOP = "02:00:00:00:00:bb"
SENDER = "02:00:00:00:00:aa"
PCAP_MAC = "02:70:63:61:70:{:02x}"  # what the driver gives its ports


@pytest.fixture
def workshop(build, network):
    """A directory that anybody may write, with a copy of the program, which `nobody` then may run."""
    directory = network.directory / "offline"
    directory.mkdir()
    directory.chmod(0o777)
    for program in ("sluiced", "sluicectl"):
        shutil.copy(build / "control" / program, directory / program)
    return Workshop(network.namespace("offline"), directory)


class Workshop:
    """Runs sluiced from capture files to capture files."""

    def __init__(self, namespace, directory):
        self.namespace, self.directory = namespace, directory

    def config(self, ports, next_hop_port, workers=1):
        hop = f"next_hop: {{ port: {next_hop_port}, mac: \"{NEXT_HOP}\" }}"
        vips = [(f"{name}-{protocol}", address, protocol, pool) for protocol in ("tcp", "udp")
                for name, address, pool in (("v4", VIP, "v4"), ("v6", VIP6, "v6"))]
        lines = ["node:", f"  run_dir: {self.directory}/run", "  cluster_seed: seed",
                 "dpdk: { huge_pages: false, memory_mb: 64 }", "ports:",
                 *(f"  - {{ name: {name}, vdev: \"{vdev}\" }}" for name, vdev in ports.items()),
                 f"workers: {{ count: {workers}, flow_table_flows: 1024 }}",
                 f"tunnel: {{ source_ipv4: {NODE}, source_ipv6: \"{TUNNEL6}\", ttl: 33 }}", "vips:",
                 *(f"  - {{ name: {name}, address: \"{address}\", protocol: {protocol}, port: 80, pool: {pool} }}"
                   for name, address, protocol, pool in vips), "pools:",
                 f"  - {{ name: v4, backends: [ {{ address: {NEIGHBOUR}, {hop} }} ] }}",
                 f"  - {{ name: v6, backends: [ {{ address: \"{BACKEND6}\", {hop} }} ] }}"]
        path = self.directory / "sluiced.yaml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def run(self, config, frames, user=65534):
        """Until all `frames` are received; returns the last report."""
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--"]
        process = self.namespace.popen([*as_user, self.directory / "sluiced", "--config", config],
                                       env={"PATH": "/usr/bin:/bin"})

        def all_received():
            process.require_running()
            report = self.report(as_user)
            return report if sum(worker["rx_packets"] for worker in report["workers"]) == frames else None

        report = wait_for(all_received, 20, f"sluiced to read {frames} frames")
        assert process.stop() == 0, process.output()
        return report

    def report(self, as_user):
        return json.loads(self.namespace.run([*as_user, self.directory / "sluicectl", "--socket",
                                              self.directory / "run" / "control.sock", "stats", "--json"]).stdout)

    def write(self, name, frames):
        path = self.directory / name
        wrpcap(str(path), frames, linktype=1)
        path.chmod(0o644)
        return path


def vip_frames(flows):
    """TCP, UDP, both families, different sizes and DSCP."""
    frames = []
    for n in range(flows):
        transport = TCP(sport=1024 + n, dport=80, flags="S") if n % 2 else UDP(sport=1024 + n, dport=80)
        ip = IPv6(src=CLIENT6, dst=VIP6, tc=(n % 64) << 2, hlim=60) if n % 3 == 0 else \
            IP(src=CLIENT4, dst=VIP, tos=(n % 64) << 2, ttl=60, id=n)
        # At least 60 bytes: nothing that Ethernet would pad.
        frames.append(Ether(src=SENDER, dst=PCAP_MAC.format(0)) / ip / transport / Raw(bytes(range(20 + n % 200))))
    return frames


def tunnelled(frame, mac):
    """What has to come out for a frame to a VIP."""
    inner = frame.payload
    if inner.version == 4:
        outer = IP(src=NODE, dst=NEIGHBOUR, ttl=33, id=0, flags="DF", tos=inner.tos) / GRE(proto=0x0800)
    else:
        outer = IPv6(src=TUNNEL6, dst=BACKEND6, hlim=33, tc=inner.tc, nh=47) / GRE(proto=0x86dd)
    return Ether(src=mac, dst=NEXT_HOP) / outer / inner


def without_flow_label(frame):
    """The outer flow label is a hash of the flow, with the cluster's key."""
    frame = Ether(bytes(frame))
    if frame.type == 0x86dd:
        frame.payload.fl = 0
    return bytes(frame)


def assert_tunnelled(path, frames, mac):
    sent = [without_flow_label(frame) for frame in rdpcap(str(path))]
    assert sorted(sent) == sorted(without_flow_label(tunnelled(frame, mac)) for frame in frames)


@pytest.mark.smoke
@pytest.mark.parametrize("user", [0, 65534], ids=["root", "nobody"])
def test_frames_of_a_capture_file_come_out_encapsulated(workshop, user):
    frames = vip_frames(120)
    source, sink = workshop.write("in.pcap", frames), workshop.directory / "out.pcap"
    config = workshop.config({"file": f"net_pcap0,rx_pcap={source},tx_pcap={sink}"}, "file")
    workshop.run(config, len(frames), user)
    assert_tunnelled(sink, frames, PCAP_MAC.format(0))
    assert list((workshop.directory / "run").iterdir()) == []


def test_what_is_not_for_a_vip_is_counted_and_goes_nowhere(workshop):
    to = Ether(src=SENDER, dst=PCAP_MAC.format(0))
    good = vip_frames(5)
    frames = [to / IP(src=CLIENT4, dst="192.0.2.99") / UDP(sport=1, dport=80) / Raw(bytes(40)),
              to / ARP(psrc=CLIENT4, pdst=NODE), *good, to / IP(src=CLIENT4, dst=VIP) / UDP(dport=81) / Raw(bytes(40)),
              to / IP(src=CLIENT4, dst=VIP) / ICMP() / Raw(bytes(40))]
    source, sink = workshop.write("in.pcap", frames), workshop.directory / "out.pcap"
    config = workshop.config({"file": f"net_pcap0,rx_pcap={source},tx_pcap={sink}"}, "file")
    report = workshop.run(config, len(frames))
    sent = rdpcap(str(sink))
    # The VIP answers the ping itself.
    assert sum(ICMP in frame and frame[ICMP].type == 0 for frame in sent) == 1
    dropped = {drop["reason"]: drop["packets"] for drop in report["drops"] if drop["packets"]}
    assert len(sent) == len(good) + 1, dropped
    assert sum(dropped.values()) == 3 and dropped["unknown_service"] == 1, dropped


def test_two_arms(workshop):
    frames = vip_frames(40)
    inside = workshop.directory / "inside.pcap"
    outside = workshop.directory / "outside.pcap"
    empty = workshop.write("empty.pcap", vip_frames(1)[:0])
    source = workshop.write("in.pcap", frames)
    config = workshop.config({"outside": f"net_pcap0,rx_pcap={source},tx_pcap={outside}",
                              "inside": f"net_pcap1,rx_pcap={empty},tx_pcap={inside}"}, "inside")
    workshop.run(config, len(frames))
    assert_tunnelled(inside, frames, PCAP_MAC.format(1))
    assert len(rdpcap(str(outside))) == 0


def test_two_queues_and_two_workers(workshop):
    frames = vip_frames(60)
    sources = [workshop.write(f"in{n}.pcap", half) for n, half in enumerate((frames[:30], frames[30:]))]
    sinks = [workshop.directory / f"out{n}.pcap" for n in range(2)]
    devices = ",".join([*(f"rx_pcap={path}" for path in sources), *(f"tx_pcap={path}" for path in sinks)])
    config = workshop.config({"file": f"net_pcap0,{devices}"}, "file", workers=2)
    report = workshop.run(config, len(frames))
    assert [worker["rx_packets"] for worker in report["workers"]] == [30, 30]
    for sink, half in zip(sinks, (frames[:30], frames[30:])):
        assert_tunnelled(sink, half, PCAP_MAC.format(0))
