"""Health checks with `via: tunnel`: up is only who decapsulates, has the VIP, and answers from it."""

import json
import shutil
import subprocess
import textwrap

import pytest

from netns import wait_for
from topology import VIP4, VIP6, Site

pytestmark = pytest.mark.control

FAST = "interval: 200ms, fast_interval: 50ms, timeout: 200ms, rise: 1, fall: 2"


def configure(site, node, checks, *, extra="", replace=()):
    """The site's config, with {pool: text of its health section}, and texts replaced."""
    text = site.config(node, site.backends)
    for pool, check in checks.items():
        old = f"  - name: {pool}\n"
        assert old in text
        text = text.replace(old, f"{old}    health: {{ {check}, {FAST} }}\n")
    for old, new in replace:
        assert old in text
        text = text.replace(old, new)
    node.config_path.write_text(text + extra)


def health(node, pool, backend):
    """What the node says of a backend."""
    return next(one for one in node.status()["backends"] if one["pool"] == pool and one["name"] == backend.name)


def wait_health(node, pool, backend, wanted, error=""):
    """Until the backend is `wanted` and its last error contains `error`; returns its report."""
    def there():
        found = health(node, pool, backend)
        return found if found["health"] == wanted and error in found["health_error"] and found["checks"] else None
    return wait_for(there, 15, f"{backend.name} in {pool} to be {wanted} with '{error}'")


def tunnel_devices(node):
    return [one["ifname"] for one in json.loads(node.namespace.ip("-j", "link", "show"))
            if one["ifname"].startswith("sluice-hc")]


@pytest.fixture
def site(network, build):
    """One node, not yet configured; two backends with nginx and decapsulation."""
    made = Site(network, build, nodes=1, backends=2)
    for backend in made.backends:
        backend.start_nginx()
        backend.attach()
    return made


@pytest.mark.smoke
def test_a_backend_without_the_vip_or_the_decapsulation_is_down_and_comes_back(site):
    node, (one, two) = site.nodes[0], site.backends
    # The same servers twice: web4 and web6 through the tunnel, one4 and one6 directly.
    configure(site, node, {"web4": "kind: http, via: tunnel, path: /who", "web6": "kind: http, via: tunnel, path: /who",
                           "one4": "kind: http, port: 80, path: /who"}, extra="announce:\n  stop_delay: 0s\n")
    node.start()
    for pool in ("web4", "web6"):
        for backend in site.backends:
            wait_health(node, pool, backend, "healthy")
    wait_health(node, "one4", one, "healthy")
    table = node.ctl("health").stdout
    assert f"tunnel, {VIP4}" in table and f"tunnel, {VIP6}" in table and " direct " in table
    # Nodes announce what they can serve, so the VIP is an address of the node too: checks must get by that.
    wait_for(lambda: VIP4 in node.namespace.ip("address", "show", "dev", "sluice-vips"), 10, "the VIP to be announced")

    # The VIP is missing.
    one.namespace.ip("address", "del", f"{VIP4}/32", "dev", "lo")
    down = wait_health(node, "web4", one, "unhealthy", "through the tunnel")
    assert f"ip address add {VIP4}/32 dev lo" in down["health_error"]
    assert health(node, "one4", one)["health"] == "healthy", "the direct check sees nothing wrong"
    assert health(node, "web4", two)["health"] == "healthy"
    assert health(node, "web6", one)["health"] == "healthy", "the other VIP is there"
    assert site.spread(VIP4, 20) == {"b2": 20}
    one.namespace.add_address("lo", f"{VIP4}/32")
    wait_health(node, "web4", one, "healthy")

    # The decapsulation is missing: its host says so by ICMP.
    one.detach()
    for pool in ("web4", "web6"):
        down = wait_health(node, pool, one, "unhealthy", "refuses GRE")
        assert "sluice-backend attach" in down["health_error"]
    assert health(node, "one4", one)["health"] == "healthy"
    one.attach()
    for pool in ("web4", "web6"):
        wait_health(node, pool, one, "healthy")

    # The server dies: as ever.
    two.nginx.stop()
    wait_health(node, "web4", two, "unhealthy", "connection refused")
    # With nobody up the VIP is withdrawn, and with it the node's own address; checks must get by that too.
    one.nginx.stop()
    wait_health(node, "web4", one, "unhealthy", "connection refused")
    wait_for(lambda: VIP4 not in node.namespace.ip("address", "show", "dev", "sluice-vips"), 10, "the withdrawal")
    two.nginx = two.namespace.popen(["nginx", "-p", two.directory, "-c", two.directory / "nginx.conf"])
    wait_health(node, "web4", two, "healthy")
    wait_health(node, "web6", two, "healthy")


def test_a_vip_and_a_tunnel_of_different_families(site):
    node, one = site.nodes[0], site.backends[0]
    # Without the VIPs on port 80 the first of each pool are the crossed ones.
    configure(site, node, {"web4": "kind: tcp, via: tunnel", "web6": "kind: tcp, via: tunnel"},
              replace=[("port: 80, pool: web4", "port: 80, pool: one4"), ("port: 80, pool: web6", "port: 80, pool: one6")])
    node.start()
    for pool, vip in (("web4", VIP6), ("web6", VIP4)):
        assert wait_health(node, pool, one, "healthy")["checked_at"] == f"tunnel, {vip}"
    one.namespace.ip("address", "del", f"{VIP4}/32", "dev", "lo")
    wait_health(node, "web6", one, "unhealthy", VIP4)
    assert health(node, "web4", one)["health"] == "healthy"


def test_the_outer_header_is_that_of_traffic(site):
    node, one = site.nodes[0], site.backends[0]
    configure(site, node, {"web4": "kind: tcp, via: tunnel"},
              replace=[(f"  source_ipv4: {node.address4}\n",
                        "  source_ipv4: 10.77.0.0/16\n  gre_key: 4711\n  ttl: 17\n  dscp: 10\n")])
    node.start()
    wait_health(node, "web4", one, "healthy")
    frames = site.router.run(["timeout", "20", "tcpdump", "-i", node.name, "-Q", "in", "-c", "12", "-nn", "-v",
                              "--immediate-mode", "ip proto 47"], timeout_s=30).stdout
    # Each packet is two lines: outer header, then addresses, GRE and the inner packet.
    outer = [line for line in frames.splitlines() if "proto GRE" in line]
    assert len(outer) == 12 and all("tos 0x28" in line and "ttl 17" in line and "DF" in line for line in outer), frames
    inner = [line for line in frames.splitlines() if "GREv0" in line]
    assert inner and all(line.strip().startswith("10.77.") and "key=0x1267" in line for line in inner), frames
    # Its free bits differ from flow to flow.
    assert len({line.split()[0] for line in inner}) > 1


def certificate(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", directory / "key.pem", "-out",
                    directory / "cert.pem", "-days", "2", "-subj", "/CN=tunnel"], check=True, capture_output=True)


GRPC_SERVER = """
import time
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(2))
def serving(request, context):
    return b"\\x08\\x01"
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
    "Check": grpc.unary_unary_rpc_method_handler(serving)}),))
server.add_insecure_port("[::]:9005")
server.start()
time.sleep(600)
"""
UDP_SERVER = """
import select
import socket
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
u.bind(("%s", 9006))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
v.bind(("%s", 9006))
while True:
    for ready in select.select([u, v], [], [])[0]:
        data, peer = ready.recvfrom(2048)
        ready.sendto(b"pong " + data, peer)
"""


@pytest.mark.parametrize("family", ["4", "6"])
def test_every_kind_that_connects(site, family):
    """nginx for https, nghttpd for http2, gRPC, and a UDP server on the VIPs."""
    node, one = site.nodes[0], site.backends[0]
    certificate(one.directory)
    https = one.directory / "https.conf"
    text = (one.directory / "nginx.conf").read_text()
    https.write_text(text.replace("listen 80 backlog=4096;",
                                  f"listen 9003 ssl; listen [::]:9003 ssl; ssl_certificate {one.directory}/cert.pem; "
                                  f"ssl_certificate_key {one.directory}/key.pem;")
                     .replace("listen [::]:80 backlog=4096;", "").replace("listen 8080;", "")
                     .replace("listen [::]:8080;", "").replace("nginx.pid", "https.pid"))
    servers = {
        "https": one.namespace.popen(["nginx", "-p", one.directory, "-c", https]),
        "http2": one.namespace.popen(["nghttpd", "--no-tls", "-d", one.directory / "www", "9004"]),
        "grpc": one.namespace.popen(["/usr/bin/python3", "-c", GRPC_SERVER]),
        "udp": one.namespace.popen(["/usr/bin/python3", "-c", UDP_SERVER % (VIP6, VIP4)]),
    }
    pool = f"one{family}"
    kinds = {
        "https": "kind: https, via: tunnel, port: 9003, path: /who, body: b1",
        "http2": "kind: http2, via: tunnel, port: 9004",
        "grpc": "kind: grpc, via: tunnel, port: 9005",
        "udp": "kind: udp, via: tunnel, port: 9006, udp_payload: ping, udp_expected: pong ping",
    }
    errors = {"https": "connection refused", "http2": "connection refused", "grpc": "connection refused",
              "udp": "port unreachable"}
    for kind, check in kinds.items():
        configure(site, node, {pool: check})
        if node.process is None:
            node.start()
        else:
            node.reload()
        wait_health(node, pool, one, "healthy")
        servers[kind].stop()
        wait_health(node, pool, one, "unhealthy", errors[kind])


def test_a_check_leaves_no_connection_behind_and_nothing_outside_the_tunnel(site):
    node, one = site.nodes[0], site.backends[0]
    # The first pool that is checked so comes with a reload, when sluiced has given up most of its rights.
    configure(site, node, {})
    node.start()
    assert not tunnel_devices(node)
    configure(site, node, {"web4": "kind: tcp, via: tunnel"})
    node.reload()
    wait_health(node, "web4", one, "healthy")
    # The node's own kernel knows nothing of these connections: what it has to say to them must not get out.
    stray = site.router.popen(["tcpdump", "-i", node.name, "-Q", "in", "-nn", "-l", "--immediate-mode",
                               f"dst host {VIP4} or icmp"])
    wait_for(lambda: "listening on" in stray.output(), 10, "tcpdump to listen")
    seen = health(node, "web4", one)["checks"]
    wait_for(lambda: health(node, "web4", one)["checks"] > seen + 10, 15, "some checks")
    assert VIP4 not in stray.output() and "ICMP" not in stray.output()
    configure(site, node, {})
    node.reload()
    # Closed by reset, which has to get through the tunnel as well.
    wait_for(lambda: "ESTAB" not in one.namespace.run(["ss", "-Htn", "sport = :80"]).stdout, 5, "them to be closed")


def test_kill_9_leaves_nothing_and_the_next_start_works(site):
    node, one = site.nodes[0], site.backends[0]
    configure(site, node, {"web4": "kind: tcp, via: tunnel", "web6": "kind: tcp, via: tunnel"})
    before = [node.namespace.ip(*words) for words in (("-4", "rule"), ("-6", "rule"), ("route", "show", "table", "all"),
                                                      ("-6", "route", "show", "table", "all"))]
    node.start()
    wait_health(node, "web4", one, "healthy")
    assert len(tunnel_devices(node)) == 1
    node.kill()
    wait_for(lambda: not tunnel_devices(node), 5, "the device to go")
    after = [node.namespace.ip(*words) for words in (("-4", "rule"), ("-6", "rule"), ("route", "show", "table", "all"),
                                                     ("-6", "route", "show", "table", "all"))]
    assert after == before
    node.start()
    wait_health(node, "web4", one, "healthy")
    wait_health(node, "web6", one, "healthy")
    assert node.stop() == 0
    assert not tunnel_devices(node)


def test_a_strict_host_with_a_firewall_needs_no_exception(site):
    """rp_filter strict everywhere, and a firewall that only knows connections of the host itself."""
    if shutil.which("nft") is None:
        pytest.fail("nft is not there: sudo scripts/setup")
    node, one = site.nodes[0], site.backends[0]
    node.namespace.sysctl({"net.ipv4.conf.all.rp_filter": 1, "net.ipv4.conf.default.rp_filter": 1})
    node.namespace.run(["nft", "-f", "-"], input_text=textwrap.dedent("""\
        table inet filter {
          chain input {
            type filter hook input priority 0; policy drop;
            ct state established,related accept
            iifname "lo" accept
            meta l4proto { icmp, ipv6-icmp } accept
          }
        }
        """))
    configure(site, node, {"web4": "kind: http, via: tunnel", "web6": "kind: http, via: tunnel"},
              extra="announce:\n  stop_delay: 0s\n")
    node.start()
    wait_health(node, "web4", one, "healthy")
    wait_health(node, "web6", one, "healthy")


def test_what_cannot_go_through_the_tunnel_is_refused(site):
    node = site.nodes[0]
    for check, words in (("kind: icmp, via: tunnel", "which icmp and external cannot use"),
                         ("kind: external, via: tunnel, command: [/bin/true]", "which icmp and external cannot use"),
                         ("kind: udp, via: tunnel", "without udp_expected")):
        configure(site, node, {"web4": check})
        done = node.namespace.run([site.program("sluiced"), "--check", node.config_path], check=False)
        assert done.returncode == 3 and words in done.stderr, done.stderr
    configure(site, node, {"web4": "kind: tcp, via: tunnel, port: 80"},
              replace=[(f'"{VIP4}", protocol: tcp, port: 80, pool: web4', '"203.0.113.64/28", protocol: tcp, port: 80, '
                        'pool: web4'), (f'port: 8080, pool: web4', 'port: 8080, pool: web6')])
    done = node.namespace.run([site.program("sluiced"), "--check", node.config_path], check=False)
    assert done.returncode == 3 and "single address" in done.stderr, done.stderr
