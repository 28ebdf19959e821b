"""Bytes that come before their time on connections of HTTP/1.1."""

from h2_client import H2Client
from proxy_site import FRONT
from raw_server import RawServer, connect

HTTP1 = {"protocol": "http1"}
WEBSOCKET = (b"GET /who HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")


def answer(body, more=b""):
    return b"HTTP/1.1 200 OK\r\n" + more + b"content-length: %d\r\n\r\n" % len(body) + body


def test_what_follows_a_clients_last_request_is_dropped(site):
    """More of it in two reads than there is room for in one."""
    server = RawServer(site)
    site.start_proxy([server.port], cluster=HTTP1)
    for _ in range(3):
        client = connect(site, FRONT)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + b"x" * (60 << 10))
        endpoint = server.accept()
        endpoint.read_until(b"\r\n\r\n")
        client.send(b"x" * (64 << 10))
        endpoint.send(answer(b"the end", b"connection: close\r\n"))
        assert client.read_to_end().endswith(b"\r\n\r\nthe end")


def test_what_stands_behind_an_answer_is_not_that_of_the_next_request(site):
    server = RawServer(site)
    site.start_proxy([server.port], cluster=HTTP1 | {"endpoint_connections": 1})
    client = H2Client(site.namespace, FRONT)
    first = client.request("/first")
    endpoint = server.accept()
    endpoint.read_until(b"GET /first HTTP/1.1\r\n")
    # It waits: there is one connection, and one request at a time on it.
    second = client.request("/second")
    client.h2.ping(b"12345678")
    client.flush()
    client.read()
    endpoint.send(answer(b"of the first") + answer(b"of nobody"))
    assert client.finish(first).body == b"of the first"
    other = server.accept()
    other.read_until(b"GET /second HTTP/1.1\r\n")
    other.send(answer(b"of the second"))
    assert client.finish(second).body == b"of the second"


def test_a_tunnel_begins_with_what_its_client_has_sent_ahead(site):
    server = RawServer(site)
    site.start_proxy([server.port], cluster=HTTP1, more={"proxy": {"drain_time": "1s"}})
    client = connect(site, FRONT)
    client.send(WEBSOCKET + b"ahead of time")
    endpoint = server.accept()
    endpoint.read_until(b"\r\n\r\n")
    endpoint.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Accept: " + endpoint.websocket_accept() + b"\r\n\r\n")
    endpoint.read_until(b"\r\n\r\nahead of time")
    client.read_until(b"HTTP/1.1 101 ")


def test_an_endpoint_that_takes_no_notice_of_an_upgrade_opens_no_tunnel(site):
    """RFC 9110 section 7.8 allows that."""
    server = site.nginx("n1", version="")
    site.start_proxy([server.port], cluster=HTTP1)
    client = connect(site, FRONT)
    for _ in range(2):
        client.send(WEBSOCKET)
        client.read_until(b"the endpoint takes no extended CONNECT\n")
        assert client.received.startswith(b"HTTP/1.1 501 ")
        client.received = b""
    client.send(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n")
    client.read_until(b"n1\n")


def test_an_answer_of_the_proxys_own_opens_no_tunnel(site):
    site.start_proxy([1], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"respond": {"status": 200, "body": "fine"}}]}]})
    client = connect(site, FRONT)
    client.send(WEBSOCKET)
    client.read_until(b"\r\n\r\n")
    assert client.received.startswith(b"HTTP/1.1 501 ")
