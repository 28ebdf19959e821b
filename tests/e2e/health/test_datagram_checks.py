"""UDP and ICMP checks, and what the network itself says of a host that cannot be reached."""

import socket
import threading

import pytest

import netns
from health_watch import Watch, check
from netns import End

pytestmark = pytest.mark.control


@pytest.fixture
def udp_server():
    """udp_server(answer): answer(datagram) is sent back, nothing if it is None; returns the port."""
    sockets = []

    def start(answer):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sockets.append(server)
        server.bind(("127.0.0.1", 0))
        own = server.getsockname()

        def serve():
            while True:
                try:
                    datagram, peer = server.recvfrom(4096)
                except OSError:
                    return
                if peer == own:
                    return
                if (text := answer(datagram)) is not None:
                    server.sendto(text, peer)
        threading.Thread(target=serve, daemon=True).start()
        return own[1]
    yield start
    for server in sockets:
        server.sendto(b"", server.getsockname())  # wakes its thread
        server.close()


@pytest.mark.parametrize("target, answer, error", [
    ({"udp_payload": "ping", "udp_expected": "pong"}, {b"ping": b"pong 1"}.get, ""),
    ({"udp_payload": "ping"}, {b"ping": b"whatever"}.get, ""),
    ({"udp_payload": "ping"}, {}.get, ""),
    ({}, {}.get, ""),
    ({"udp_payload": "ping", "udp_expected": "pong"}, {b"ping": b"error"}.get,
     "answer does not begin with 'pong', it begins with 'error'"),
    ({"udp_payload": "ping", "udp_expected": "pong"}, {}.get, "no answer within 500 ms"),
], ids=["expected", "any-answer", "silence", "empty-datagram", "wrong", "hangs"])
def test_udp_answers(target, answer, error, tmp_path, udp_server):
    found = check(tmp_path, kind="udp", port=udp_server(answer), **target)
    assert (found["healthy"], found["error"]) == (error == "", error)


@pytest.mark.parametrize("expected", ["", "pong"], ids=["any-answer", "expected"])
def test_udp_port_without_a_server(expected, tmp_path, network):
    host = network.namespace("host")
    found = check(tmp_path, namespace=host, kind="udp", port=9, udp_payload="ping", udp_expected=expected)
    assert (found["healthy"], found["error"]) == (False, "port unreachable (ICMP): nothing listens there")


# --- ICMP and the network

@pytest.mark.parametrize("groups", ["1 0", "0 2147483647"], ids=["raw", "ping-socket"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_icmp_echo(groups, address, tmp_path, network):
    host = network.namespace("host")
    host.sysctl({"net.ipv4.ping_group_range": groups})
    with Watch(tmp_path, {"kind": "icmp", "address": address}, namespace=host) as watch:
        found = watch.wait(settled=True)
        assert found["healthy"] and found["latency_us"] > 0
        host.sysctl({"net.ipv4.icmp_echo_ignore_all": 1, "net.ipv6.icmp.echo_ignore_all": 1})
        assert watch.wait(healthy=False)["error"] == "no echo reply within 500 ms"
        host.sysctl({"net.ipv4.icmp_echo_ignore_all": 0, "net.ipv6.icmp.echo_ignore_all": 0})
        watch.wait(healthy=True)


@pytest.mark.parametrize("kind, address", [("icmp", "192.0.2.9"), ("icmp", "2001:db8::9"), ("tcp", "192.0.2.9"),
                                           ("udp", "192.0.2.9")])
def test_host_that_is_not_there(kind, address, tmp_path, network):
    here, there = network.namespace("here"), network.namespace("there")
    netns.link(End(here, "eth0", ["192.0.2.1/24", "2001:db8::1/64"]),
               End(there, "eth0", ["192.0.2.2/24", "2001:db8::2/64"]))
    # One ARP request a second, three of them, before the kernel gives up: sooner here.
    here.sysctl({"net.ipv4.neigh.eth0.retrans_time_ms": 100, "net.ipv6.neigh.eth0.retrans_time_ms": 100})
    found = check(tmp_path, namespace=here, kind=kind, address=address, port=80, timeout_ms=3000,
                  udp_expected="pong")
    assert (found["healthy"], found["error"]) == (
        False, "host unreachable: no route, or no answer to ARP or neighbour discovery")


@pytest.mark.parametrize("kind", ["tcp", "udp", "icmp"])
def test_no_route(kind, tmp_path, network):
    here = network.namespace("here")
    found = check(tmp_path, namespace=here, kind=kind, address="192.0.2.9", port=80)
    assert (found["healthy"], found["error"]) == (False, "network unreachable: no route")
