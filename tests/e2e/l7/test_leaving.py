"""How a proxy leaves at SIGTERM: those who check learn it first, clients are asked to go one by one, and it says who was left."""

import signal
import socket
import struct
import time

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

MOST_STREAMS = (1 << 31) - 1


def code(site, path):
    """The status of a request on a connection of its own; "000": there was none."""
    return site.curl(path, "-o", "/dev/null", "-w", "%{http_code}", check=False).stdout


def test_the_health_answer_turns_before_the_port_closes(site):
    """So that the tier in front sends nobody here any more, while those who come meanwhile are served."""
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], listener={"health_path": "/health"}, more={"proxy": {"name": "p1", "drain_delay": "2s"}})
    assert code(site, "/health") == "200"
    there = H2Client(site.namespace, FRONT)
    assert there.finish(there.request("/health")).status == 200
    began = time.monotonic()
    site.proxy.send_signal(signal.SIGTERM)
    wait_for(lambda: "event=draining signal=15" in site.proxy.output(), 5, "the signal to be taken")
    wait_for(lambda: code(site, "/health") == "503", 5, "the health answer to turn")
    assert site.curl("/health").stdout == "draining\n"
    # Also for those who are connected; and none of them is asked to go yet.
    assert there.finish(there.request("/health")).status == 503
    assert code(site, "/who") == "200" and there.finish(there.request("/who")).status == 200
    assert not there.goaways
    assert time.monotonic() - began < 2, "too slow a machine to see it"
    wait_for(lambda: code(site, "/who") == "000", 10, "the port to be closed")
    assert time.monotonic() - began > 1.9
    while len(there.goaways) < 2:
        there.read()
    assert site.proxy.wait(10) == 0
    assert 'event=drained clients_left=0 requests_cut=0 listeners=""' in site.proxy.output()
    site.proxy = None


def test_clients_are_asked_to_go_one_by_one(site):
    """All are told at once that the end is near; when to go is another moment for each, so that they do not all connect
    elsewhere in the same one."""
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    clients = [H2Client(site.namespace, FRONT) for _ in range(20)]
    for client in clients:
        assert client.finish(client.request("/who")).status == 200
        client.socket.settimeout(0.005)
    site.proxy.send_signal(signal.SIGTERM)
    times = {}

    def look():
        for number, client in enumerate(clients):
            try:
                client.read()
            except (TimeoutError, ConnectionError):
                pass
            for step in range(len(client.goaways)):
                times.setdefault((number, step), time.monotonic())
        return len(times) == 2 * len(clients)

    wait_for(look, 20, "two GOAWAYs for each", interval_s=0)
    for client in clients:
        assert [struct.unpack(">I", goaway[:4])[0] for goaway in client.goaways] == [MOST_STREAMS, 1]
    first, second = ([times[number, step] for number in range(len(clients))] for step in (0, 1))
    assert min(second) > max(first)
    # All of them within a third of that second: one chance in hundreds of millions.
    assert max(second) - min(second) > 0.33
    assert site.proxy.wait(10) == 0
    site.proxy = None


def test_an_http1_client_is_told_with_its_next_answer(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    old = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    old.settimeout(20)
    old.connect(("127.0.0.1", FRONT))

    def ask():
        old.sendall(b"GET /who HTTP/1.1\r\nhost: a\r\n\r\n")
        received = b""
        while not received.endswith(b"n1\n"):
            data = old.recv(1 << 16)
            assert data, f"cut off after {received!r}"
            received += data
        return received

    assert b"connection: close" not in ask()
    site.proxy.send_signal(signal.SIGTERM)
    wait_for(lambda: "event=draining" in site.proxy.output(), 5, "the signal to be taken")
    assert b"\r\nconnection: close\r\n" in ask()
    assert old.recv(1) == b""
    assert site.proxy.wait(10) == 0
    site.proxy = None


def test_it_says_who_was_left_and_a_second_signal_does_not_wait(site):
    server = site.python_peer("h2_server.py", "h1")
    config = {"more": {"proxy": {"name": "p1", "drain_time": "1s"}}}
    site.start_proxy([server.port], **config)
    clients = [H2Client(site.namespace, FRONT) for _ in range(2)]
    for client in clients:
        client.request("/hang")
        assert client.finish(client.request("/who")).status == 200
    clients[1].request("/hang")
    assert clients[1].finish(clients[1].request("/who")).status == 200
    site.proxy.send_signal(signal.SIGTERM)
    assert site.proxy.wait(10) == 0
    assert ('level=warning event=drained clients_left=2 requests_cut=3 listeners="front: 2 clients, 3 requests"'
            in site.proxy.output())
    config["more"]["proxy"]["drain_time"] = "60s"
    site.start_proxy([server.port], **config)
    client = H2Client(site.namespace, FRONT)
    client.request("/hang")
    assert client.finish(client.request("/who")).status == 200
    site.proxy.send_signal(signal.SIGTERM)
    wait_for(lambda: "event=draining" in site.proxy.output(), 5, "the first signal to be taken")
    site.proxy.send_signal(signal.SIGTERM)
    assert site.proxy.wait(10) == 0
    site.proxy = None
