"""What a client may not do, and how often it may do the rest: each limit is met, counted, and leaves others alone."""

import struct

import pytest

from counters import defences, samples, start_counted, wait_for_defence
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT
from raw_client import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, GOAWAY, HEADERS, PING, POST, PREFACE,
                        PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, RawClient, frame)

REFUSED_STREAM, ENHANCE_YOUR_CALM = 7, 11


# --- numbers

@pytest.mark.parametrize("where,reason", [("listener", "listener_full"), ("proxy", "proxy_full")])
def test_clients_beyond_the_limit_are_refused_and_those_there_go_on(site, server, where, reason):
    limit = {"max_clients": 2}
    # Clients that their listener refuses take no place among the proxy's.
    limits = limit | {"proxy": {"max_clients": 3}} if where == "listener" else {"proxy": limit}
    start_counted(site, server, **limits)
    # The site's own look whether the port is open makes no connection.
    there = [H2Client(site.namespace, FRONT) for _ in range(2)]
    assert all(client.finish(client.request()).status == 200 for client in there)
    for _ in range(3):
        refused = RawClient(site, b"")
        assert refused.to_end()[0] == b""
    wait_for_defence(site, reason, 3)
    assert all(client.finish(client.request()).status == 200 for client in there)
    there.pop().close()
    wait_for(lambda: samples(site)["sluice_proxy_clients"] == 1, 10, "the client to be gone", interval_s=0.1)
    new = H2Client(site.namespace, FRONT)
    assert new.finish(new.request()).status == 200


def test_a_client_that_has_had_its_requests_is_asked_to_go(site, server):
    start_counted(site, server, max_client_requests=3)
    client = H2Client(site.namespace, FRONT)
    for _ in range(2):
        assert client.finish(client.request()).status == 200
    assert not client.goaways
    assert client.finish(client.request()).status == 200
    with pytest.raises(ConnectionError):
        while True:
            client.read()
    assert [struct.unpack(">II", goaway[:8])[0] for goaway in client.goaways] == [(1 << 31) - 1, 5]
    old = RawClient(site, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * 3)
    received, in_order = old.to_end()
    assert received.count(b"HTTP/1.1 200") == 3 and received.count(b"connection: close") == 1 and in_order
    wait_for_defence(site, "client_requests", 2)


# --- memory of one connection

def opened_uploads(client, count):
    return [client.request("/unread", "POST", end=False) for _ in range(count)]


def test_a_client_that_holds_much_gets_no_more_until_it_lets_go(site):
    """Neither streams nor window: of 9 MB sent more than half of the connection's 16 MB window is to be given back."""
    server = site.python_peer("h2_server.py", "x")
    start_counted(site, server, max_client_memory=8_000_000)
    client = H2Client(site.namespace, FRONT)
    uploads = opened_uploads(client, 36)
    client.ping()
    window = client.h2.outbound_flow_control_window
    for upload in uploads:
        assert client.send_what_fits(upload, bytes(250_000)) == 250_000
    client.ping()
    assert client.h2.outbound_flow_control_window == window - 36 * 250_000
    assert client.finish(client.request("/who")).reset == REFUSED_STREAM
    wait_for_defence(site, "client_memory_streams")
    for upload in uploads:
        client.reset(upload)
    wait_for(lambda: client.ping() or client.h2.outbound_flow_control_window == window, 10, "the window to open")
    assert client.finish(client.request("/who")).status == 200
    assert defences(site, "client_memory_streams") == 1 and defences(site, "client_memory") == 0


def test_a_client_that_holds_too_much_is_closed(site):
    server = site.python_peer("h2_server.py", "x")
    start_counted(site, server, max_client_memory=1 << 20)
    good = H2Client(site.namespace, FRONT)
    assert good.finish(good.request("/who")).status == 200
    client = RawClient(site)
    client.send(b"".join(frame(HEADERS, END_HEADERS, 2 * number + 1, b"\x83\x86\x44\x07/unread\x41\x01a")
                         for number in range(10)))
    client.send(b"".join(frame(DATA, 0, 2 * number + 1, bytes(16_000)) * 16 for number in range(10)))
    _, code, words = client.last_goaway()
    assert (code, words) == (ENHANCE_YOUR_CALM, "the connection holds too much memory")
    wait_for_defence(site, "client_memory")
    assert good.finish(good.request("/who")).status == 200
    wait_for(lambda: samples(site)["sluice_proxy_clients"] == 1, 10, "the client to be gone", interval_s=0.1)


# --- frames

def opened(count, flags=END_STREAM | END_HEADERS, block=GET):
    return [frame(HEADERS, flags, 2 * number + 1, block) for number in range(count)]


def rapid_reset():
    return b"".join(head + frame(RST_STREAM, 0, 2 * number + 1, struct.pack(">I", 8))
                    for number, head in enumerate(opened(400)))


def made_you_reset():
    return b"".join(head + frame(WINDOW_UPDATE, 0, 2 * number + 1, bytes(4)) for number, head in enumerate(opened(400)))


ATTACKS = {
    "rapid_reset": rapid_reset(),
    "made_you_reset": made_you_reset(),
    "malformed_requests": b"".join(opened(400, block=b"\x82")),
    "reset_flood": opened(1)[0] + frame(RST_STREAM, 0, 1, struct.pack(">I", 8)) * 2000,
    "continuation_flood": frame(HEADERS, END_STREAM, 1, GET) + frame(CONTINUATION, 0, 1, b"") * 100,
    "header_block": frame(HEADERS, END_STREAM, 1, GET) + frame(CONTINUATION, 0, 1, bytes(16384)) * 6,
    "empty_data": opened(1, END_HEADERS, POST)[0] + frame(DATA, 0, 1) * 2000,
    # More than the proxy reads at once: what follows the end is nobody's.
    "ping_flood": frame(PING, 0, 0, bytes(8)) * 50_000,
    "pong_flood": frame(PING, ACK, 0, bytes(8)) * 2000,
    "settings_flood": frame(SETTINGS) * 2000,
    "settings_ack_flood": frame(SETTINGS, ACK) * 2000,
    "goaway_flood": frame(GOAWAY, 0, 0, bytes(8)) * 2000,
    "window_update_flood": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2000,
    "useless_frames": frame(PRIORITY, 0, 1, bytes(4) + b"\x10") * 2000,
}


@pytest.mark.parametrize("reason", ATTACKS)
def test_an_attack_by_frames_ends_the_connection_and_is_counted(site, server, reason):
    start_counted(site, server)
    good = H2Client(site.namespace, FRONT)
    assert good.finish(good.request()).status == 200
    attacker = RawClient(site)
    attacker.send(ATTACKS[reason])
    _, code, _ = attacker.last_goaway()
    assert code == ENHANCE_YOUR_CALM
    wait_for_defence(site, reason)
    assert good.finish(good.request()).status == 200


def test_useless_frames_and_cancelled_streams_may_be_allowed_more_often(site, server):
    start_counted(site, server, abuse_limit=5000, cancel_limit=1000)
    client = RawClient(site)
    client.send(frame(PING, 0, 0, bytes(8)) * 2000 + ATTACKS["rapid_reset"] + frame(HEADERS, END_STREAM | END_HEADERS, 2001, GET))
    received = b""
    while struct.pack(">I", 2001) + b"x" not in received:
        data = client.socket.recv(1 << 16)
        assert data, "the connection was ended"
        received += data
    assert defences(site, "ping_flood") == defences(site, "rapid_reset") == 0


@pytest.mark.parametrize("request_bytes,status", [
    (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x-a: b\r\n" * 300 + b"\r\n", b"431"),
    (b"GET / HTTP/1.1\r\nhost: a\r\nx-a: " + b"b" * 40_000, b"431"),
    (PREFACE + frame(SETTINGS) + frame(HEADERS, END_STREAM | END_HEADERS, 1, GET + b"\x00\x01x\x01y" * 300), None)],
    ids=["http1-fields", "http1-large-field", "http2-fields"])
def test_a_request_with_too_many_fields_is_refused(site, server, request_bytes, status):
    start_counted(site, server)
    client = RawClient(site, request_bytes)
    wait_for_defence(site, "large_headers")
    if status:
        assert client.to_end()[0].startswith(b"HTTP/1.1 " + status)
