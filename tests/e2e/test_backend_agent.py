"""sluice-backend on a backend of its own: an edge namespace tunnels to it as sluiced does, and the answers are seen."""

import contextlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether

from netns import CommandFailed, End, link, wait_for

HERE = Path(__file__).resolve().parent
BUILD = (HERE.parents[1] / os.environ.get("SLUICE_BUILD", "build")).resolve()
PROGRAM = BUILD / "control" / "sluice-backend"
PYTHON = "/usr/bin/python3"

VIPS = {4: "203.0.113.10", 6: "2001:db8:cafe::10"}
EDGE = {4: "10.0.0.1", 6: "2001:db8::1"}
BACKEND = {4: "10.0.0.2", 6: "2001:db8::2"}
PORT = 5000
MODES = ["native", "generic", "tc"]
PAIRS = [(inner, outer) for inner in (4, 6) for outer in (4, 6)]


class Site:
    """An edge (client and tunnel entry) and a backend with the VIPs on lo, joined by one link."""

    def __init__(self, network):
        self.edge, self.backend = network.namespace("edge"), network.namespace("backend")
        link(End(self.edge, "eth0", [f"{EDGE[4]}/24", f"{EDGE[6]}/64"]),
             End(self.backend, "eth0", [f"{BACKEND[4]}/24", f"{BACKEND[6]}/64"]))
        self.backend.add_address("lo", f"{VIPS[4]}/32")
        self.backend.add_address("lo", f"{VIPS[6]}/128")
        self.ethernet = Ether(src=self.edge.mac("eth0"), dst=self.backend.mac("eth0"))
        self.wire = self.edge.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.wire.bind(("eth0", 0))
        self.servers = {}
        for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            server = self.backend.socket(kind, socket.SOCK_DGRAM)
            server.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
            server.bind((VIPS[family], PORT))
            server.settimeout(5)
            self.servers[family] = server

    def close(self):
        for open_socket in (self.wire, *self.servers.values()):
            open_socket.close()

    def agent(self, *words, **options):
        return self.backend.run([PROGRAM, *words], **options)

    def attach(self, *words, vips=tuple(VIPS.values()), mode="native"):
        return self.agent("attach", "--interface", "eth0", *(w for vip in vips for w in ("--vip", vip)),
                          "--mode", mode, *words)

    def detach(self):
        return self.agent("detach", "--interface", "eth0")

    def status(self):
        (interface,) = json.loads(self.agent("status", "--json").stdout)["interfaces"]
        return interface

    def counters(self):
        """The counters that are not zero, without the one for other traffic (neighbour discovery comes as it likes)."""
        return {name: value for name, value in self.status()["counters"].items() if value and name != "not_gre"}

    def send(self, inner, outer, payload, *, key=None, source=None, vip=None):
        """One UDP datagram to a VIP, in GRE; `inner` and `outer` are IP versions."""
        inner_ip = IP(src="198.51.100.7", dst=vip or VIPS[4]) if inner == 4 else IPv6(src="2001:db8:ffff::7",
                                                                                       dst=vip or VIPS[6])
        outer_ip = (IP if outer == 4 else IPv6)(src=source or EDGE[outer], dst=BACKEND[outer])
        gre = GRE() if key is None else GRE(key_present=1, key=key)
        self.wire.send(bytes(self.ethernet / outer_ip / gre / inner_ip / UDP(sport=7, dport=PORT) / payload))

    def received(self, inner):
        """The next datagram at the VIP's server."""
        return self.servers[inner].recv(2048)

    def links_and_filters(self):
        """What `ip` and `tc` say of the backend's interface, without counters."""
        return [self.backend.run(command).stdout for command in (
            ["ip", "-details", "link", "show", "dev", "eth0"],
            ["tc", "qdisc", "show", "dev", "eth0"],
            ["tc", "filter", "show", "dev", "eth0", "ingress"],
            ["tc", "filter", "show", "dev", "eth0", "egress"])]


@pytest.fixture
def site(network):
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there: build first")
    made = Site(network)
    made.network = network
    yield made
    made.close()


def refused(site, *words):
    """The one line of an agent that fails, and its exit status."""
    done = site.agent(*words, check=False)
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("sluice-backend: "), done.stderr
    assert done.stdout == ""
    return done.returncode, lines[0]


@pytest.mark.parametrize("mode", MODES)
def test_every_combination_of_ip_versions_arrives(site, mode):
    site.attach(mode=mode)
    for key in (None, 42):
        for inner, outer in PAIRS:
            payload = f"IPv{inner} in IPv{outer} key {key} ".encode() * 20
            site.send(inner, outer, payload, key=key)
            assert site.received(inner) == payload
    assert site.status()["mode"] == mode
    assert site.counters() == {"decapsulated": 8}
    size = {4: 20 + 8, 6: 40 + 8}
    for vip in site.status()["vips"]:
        version = 6 if ":" in vip["vip"] else 4
        assert vip["packets"] == 4
        assert vip["bytes"] == 4 * size[version] + 20 * 2 * (len("IPv4 in IPv4 key None ") + len("IPv4 in IPv4 key 42 "))


class EchoHandler(BaseHTTPRequestHandler):
    """Answers a POST with its body."""

    def do_POST(self):  # noqa: N802, the name is http.server's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def echo_server(site, version):
    """An HTTP server on port 80 of the VIP."""
    server = HTTPServer((VIPS[version], 80), EchoHandler, bind_and_activate=False)
    server.socket.close()
    server.socket = site.backend.socket({4: socket.AF_INET, 6: socket.AF_INET6}[version], socket.SOCK_STREAM)
    server.socket.bind((VIPS[version], 80))
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("mode", MODES)
def test_a_real_server_answers_through_the_tunnel(site, mode, outer):
    """Full segments up through the tunnel and the same bytes straight back."""
    upload = site.network.directory / "upload"
    upload.write_bytes(os.urandom(1_000_000))
    encapsulator = site.edge.popen([PYTHON, HERE / "gre_encapsulator.py", "tun0", EDGE[outer], BACKEND[outer]])
    wait_for(lambda: "ready" in encapsulator.output(), what="the encapsulator")
    site.attach(mode=mode)
    for version, vip in VIPS.items():
        site.edge.ip("route", "add", vip, "dev", "tun0", "src", EDGE[version])
        host = f"[{vip}]" if version == 6 else vip
        answer = site.network.directory / f"answer{version}"
        with echo_server(site, version):
            site.edge.run(["curl", "-sS", "--max-time", "20", "--data-binary", f"@{upload}", "-o", answer,
                           f"http://{host}/"])
        assert answer.read_bytes() == upload.read_bytes()
    assert all(vip["bytes"] > 1_000_000 for vip in site.status()["vips"])
    assert site.counters().keys() == {"decapsulated"}


@pytest.mark.parametrize("mode", MODES)
def test_only_given_sources_may_tunnel(site, mode):
    site.attach("--source", "10.0.0.0/30", "--source", EDGE[6], mode=mode)
    assert site.status()["sources"] == ["10.0.0.0/30", EDGE[6]]
    site.send(4, 4, b"refused", source="10.0.0.77")
    site.send(4, 6, b"refused too", source="2001:db8::77")
    site.send(4, 4, b"allowed")
    assert site.received(4) == b"allowed"
    site.send(4, 6, b"allowed too")
    assert site.received(4) == b"allowed too"
    assert site.counters() == {"decapsulated": 2, "bad_source": 2}
    site.attach(mode=mode)
    site.send(4, 4, b"now any", source="10.0.0.77")
    assert site.received(4) == b"now any"


def test_only_the_given_key_is_taken(site):
    site.attach("--key", "0xC0FFEE")
    site.send(4, 4, b"another", key=1)
    site.send(4, 4, b"none")
    site.send(4, 4, b"right", key=0xC0FFEE)
    assert site.received(4) == b"right"
    assert site.counters() == {"decapsulated": 1, "other_key": 2}
    assert site.status()["key"] == 0xC0FFEE


@pytest.mark.parametrize("mode", MODES)
def test_gre_that_is_not_for_a_vip_stays_the_kernels(site, mode):
    site.attach(mode=mode, vips=[VIPS[4]])
    with contextlib.closing(site.backend.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)) as kernel:
        kernel.settimeout(5)
        site.send(4, 4, b"for another tunnel", vip="203.0.113.99")
        assert kernel.recv(2048).endswith(b"for another tunnel")
        site.send(6, 4, b"a VIP that was not given")
        assert kernel.recv(2048).endswith(b"a VIP that was not given")
    assert site.counters() == {"not_vip": 2}


@pytest.mark.parametrize("mode", MODES)
def test_attaching_again_under_load_loses_nothing(site, mode):
    site.attach(mode=mode)
    before = site.status()
    stop, received, failures = threading.Event(), [0], []
    at_once = 32

    def send_and_receive():
        frame = numbered_frame(site)
        try:
            while not stop.is_set():
                numbers = range(received[0], received[0] + at_once)
                for number in numbers:
                    site.wire.send(frame(number))
                assert [int(site.received(4)) for _ in numbers] == list(numbers)
                received[0] += at_once
        except (AssertionError, TimeoutError) as error:
            failures.append(error)

    load = threading.Thread(target=send_and_receive)
    load.start()
    try:
        wait_for(lambda: received[0], what="traffic")
        for extra in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
            site.attach(mode=mode, vips=[VIPS[4], extra])
            site.attach(mode=mode)
    finally:
        stop.set()
        load.join()
    assert not failures
    after = site.status()
    assert after["program_id"] != before["program_id"], "the program was to be replaced under load"
    assert [vip["vip"] for vip in after["vips"]] == list(VIPS.values())
    assert site.counters() == {"decapsulated": received[0]}


def numbered_frame(site):
    """Makes frames whose datagram is a number, fast: scapy builds one, the number is put in (no UDP checksum)."""
    udp = UDP(sport=7, dport=PORT, chksum=0)
    packet = site.ethernet / IP(src=EDGE[4], dst=BACKEND[4]) / GRE() / IP(src="198.51.100.7", dst=VIPS[4]) / udp
    head = bytes(packet / (b"0" * 9))[:-9]
    return lambda number: head + b"%09d" % number


@pytest.mark.parametrize("old", MODES)
@pytest.mark.parametrize("new", MODES)
def test_the_mode_can_be_changed(site, old, new):
    site.attach(mode=old)
    site.send(4, 4, b"before")
    assert site.received(4) == b"before"
    site.attach(mode=new)
    site.send(4, 4, b"after")
    assert site.received(4) == b"after"
    assert site.status()["mode"] == new
    assert site.counters() == {"decapsulated": 2}
    xdp_and_filter = [" xdp" in site.links_and_filters()[0], "sluice_decap_tc" in site.links_and_filters()[2]]
    assert xdp_and_filter == [new != "tc", new == "tc"]


def test_auto_takes_native_where_the_driver_can_and_keeps_what_runs(site):
    site.attach(mode="auto")
    assert site.status()["mode"] == "native"
    site.attach(mode="tc")
    site.attach(mode="auto")
    assert site.status()["mode"] == "tc"


@pytest.mark.parametrize("mode", MODES)
def test_detach_leaves_no_trace(site, mode):
    before = site.links_and_filters()
    site.attach(mode=mode)
    program = site.status()["program_id"]
    assert site.links_and_filters() != before
    assert site.backend.pids() == [], "the agent has gone, the program works on"
    site.send(4, 4, b"after the agent")
    assert site.received(4) == b"after the agent"
    site.detach()
    assert site.links_and_filters() == before
    wait_for(lambda: site.backend.run(["bpftool", "prog", "show", "id", program], check=False).returncode != 0,
             what="the kernel to free the program")
    assert "nothing was attached" in site.detach().stdout
    site.send(4, 4, b"no more")
    site.servers[4].settimeout(0.2)
    with pytest.raises(TimeoutError):
        site.received(4)


def test_a_clsact_qdisc_of_others_survives(site):
    site.backend.run(["tc", "qdisc", "add", "dev", "eth0", "clsact"])
    before = site.links_and_filters()
    site.attach(mode="tc")
    site.detach()
    assert site.links_and_filters() == before


def test_another_xdp_program_is_respected(site):
    foreign = ["ip", "link", "set", "dev", "eth0", "xdp"]
    site.backend.run([*foreign, "obj", BUILD / "dataplane" / "bpf" / "steer.bpf.o", "sec", "xdp"])
    for mode in ("native", "generic"):
        code, line = refused(site, "attach", "--interface", "eth0", "--vip", VIPS[4], "--mode", mode)
        assert code == 1
        assert "sluice_steer" in line and "--mode tc" in line and "ip link set dev eth0 xdp off" in line
    done = site.attach(mode="auto")
    assert "sluice_steer" in done.stderr and site.status()["mode"] == "tc"
    site.detach()
    assert "sluice_steer" in site.backend.run(["bpftool", "prog", "show"]).stdout
    assert " xdp" in site.links_and_filters()[0]
    site.backend.run([*foreign, "off"])


def test_status_tells_people_and_machines(site):
    done = site.agent("status", check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "nothing is attached" in done.stderr
    assert json.loads(site.agent("status", "--json", check=False).stdout) == {"interfaces": []}
    site.attach("--source", EDGE[4])
    site.send(4, 4, b"one")
    site.received(4)
    text = site.agent("status", "--interface", "eth0").stdout
    assert f"eth0: native, program {site.status()['program_id']}, sources: {EDGE[4]}, key: any" in text
    assert any(line.split() == ["vip", VIPS[4], "1", "packets", "31", "bytes"] for line in text.splitlines())
    assert any(line.split()[:2] == ["decapsulated", "1"] for line in text.splitlines())
    assert site.agent("status", "--interface", "lo", check=False).returncode == 3


def test_what_would_keep_packets_from_the_server_is_said(site):
    site.backend.ip("address", "del", f"{VIPS[6]}/128", "dev", "lo")
    site.backend.sysctl({"net.ipv4.conf.eth0.rp_filter": 1})
    for warnings in (site.attach().stderr.splitlines(), site.agent("status").stderr.splitlines()):
        assert len(warnings) == 2
        assert f"`ip addr add {VIPS[6]}/128 dev lo`" in warnings[0]
        assert "rp_filter on eth0 is strict" in warnings[1]
    site.backend.add_address("lo", f"{VIPS[6]}/128")
    site.backend.sysctl({"net.ipv4.conf.eth0.rp_filter": 2})
    assert site.attach().stderr == ""
    assert site.status()["warnings"] == []


@pytest.mark.parametrize("words, code, says", [
    (["attach", "--interface", "eth9", "--vip", "192.0.2.1"], 1, "no interface eth9"),
    (["detach", "--interface", "eth9"], 1, "no interface eth9"),
    (["status", "--interface", "eth9"], 1, "no interface eth9"),
    (["attach", "--interface", "eth0"], 2, "--vip"),
    (["attach", "--vip", "192.0.2.1"], 2, "--interface"),
    (["attach", "--interface", "eth0", "--vip", "vip.example"], 2, "vip.example"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "--source", "192.0.2.1/33"], 2, "--source"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "--key", "4294967296"], 2, "--key"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "--key", "0x"], 2, "--key"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "--mode", "fast"], 2, "native, generic, tc and auto"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "surplus"], 2, "attach --help"),
    (["attach", "--interface", "eth0", "--vip", "192.0.2.1", "--quick"], 2, "attach --help"),
    (["dettach"], 2, "attach, status and detach"),
], ids=["attach-nowhere", "detach-nowhere", "status-nowhere", "no-vip", "no-interface", "vip", "source", "large-key",
        "half-a-key", "mode", "surplus-word", "option", "verb"])
def test_a_wrong_command_line_is_one_line(site, words, code, says):
    got, line = refused(site, *words)
    assert got == code
    assert says in line


def test_without_rights_the_error_says_so(site):
    # The build may lie where only root can go: run a copy.
    copy = site.network.directory / "sluice-backend"
    copy.write_bytes(PROGRAM.read_bytes())
    copy.chmod(0o755)
    done = site.backend.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", copy, "attach",
                             "--interface", "eth0", "--vip", VIPS[4]], check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "run as root" in done.stderr


def test_a_native_refusal_carries_the_kernels_words(site):
    # A driver cannot run our program when frames may span pages.
    site.edge.ip("link", "set", "eth0", "mtu", "9000")
    site.backend.ip("link", "set", "eth0", "mtu", "9000")
    with pytest.raises(CommandFailed, match="does not take an XDP program in native mode"):
        site.attach(mode="native")
    done = site.attach(mode="auto")
    assert site.status()["mode"] == "tc" and "using tc" in done.stderr
    payload = b"x" * 4000
    site.send(4, 4, payload)
    assert site.servers[4].recv(9000) == payload
