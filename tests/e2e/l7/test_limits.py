"""What a client may not do, and how long and how often it may do the rest: each limit is met, counted, and leaves
others alone."""

import socket
import struct

import h2.events
import pytest

from counters import METRICS, defences, endings, samples, wait_for_defence
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

NO_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 0, 7, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
# :method GET, :scheme http, :path / of the static table, :authority a
GET = b"\x82\x86\x84\x41\x01a"
POST = b"\x83\x86\x84\x41\x01a"


@pytest.fixture
def server(site):
    return site.nginx("n1", server="location = / { return 200 x; }")


def start(site, server, *, proxy=None, **listener):
    site.start_proxy([server.port], listener=listener, more=METRICS | {"proxy": {"name": "p1"} | (proxy or {})})


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class RawClient:
    """A connection on which a test says every byte."""

    def __init__(self, site, first=PREFACE + frame(SETTINGS)):
        self.socket = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", FRONT))
        self.send(first)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # ended by the proxy: to_end() tells how

    def to_end(self):
        """Everything up to the end of the connection, and whether it ended in order."""
        received = b""
        try:
            while data := self.socket.recv(1 << 16):
                received += data
        except ConnectionResetError:
            return received, False
        return received, True

    def last_goaway(self):
        """(last stream, error code, words) of the last GOAWAY before the connection's end."""
        received, _ = self.to_end()
        found = None
        while len(received) >= 9:
            end = 9 + int.from_bytes(received[:3], "big")
            if received[3] == GOAWAY:
                found = (*struct.unpack(">II", received[9:17]), received[17:end].decode())
            received = received[end:]
        assert found, "the connection ended without a GOAWAY"
        return found


# --- numbers

@pytest.mark.parametrize("where,reason", [("listener", "listener_full"), ("proxy", "proxy_full")])
def test_clients_beyond_the_limit_are_refused_and_those_there_go_on(site, server, where, reason):
    limit = {"max_clients": 2}
    # Clients that their listener refuses take no place among the proxy's.
    limits = limit | {"proxy": {"max_clients": 3}} if where == "listener" else {"proxy": limit}
    start(site, server, **limits)
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


# --- time

def test_a_client_without_requests_is_asked_to_go(site, server):
    # What a first byte is given does not stand before it.
    start(site, server, keepalive_timeout="300ms", header_timeout="10m")
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request()).status == 200
    with pytest.raises(ConnectionError):
        while True:
            client.read()
    assert [struct.unpack(">II", goaway[:8]) for goaway in client.goaways] == [(1, NO_ERROR)]
    old = RawClient(site, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    received, in_order = old.to_end()
    assert received.startswith(b"HTTP/1.1 200") and in_order
    wait_for_defence(site, "idle_client", 2)


def test_a_client_with_a_request_under_way_is_not_idle(site, server):
    start(site, server, keepalive_timeout="300ms", header_timeout="300ms")
    client = H2Client(site.namespace, FRONT)
    # Its body does not end, nor does the answer to the first request begin to be taken.
    slow = client.request("/uploads/a", method="PUT", end=False)
    client.read_for(1)
    assert client.h2.data_to_send() == b"" and not client.goaways
    client.h2.end_stream(slow)
    client.flush()
    assert client.finish(slow).status == 201


@pytest.mark.parametrize("beginning", [
    b"", b"PRI * HT", b"GET / HTTP/1.1\r\nhost: a\r\nx-", PREFACE + frame(SETTINGS)[:5],
    PREFACE + frame(SETTINGS) + frame(HEADERS, END_STREAM, 1, GET),
    PREFACE + frame(SETTINGS) + frame(HEADERS, END_STREAM | END_HEADERS, 1, GET)[:-3]],
    ids=["nothing", "preface", "http1", "settings", "header-block", "headers"])
def test_a_head_has_its_time(site, server, beginning):
    start(site, server, header_timeout="300ms")
    client = RawClient(site, beginning)
    client.to_end()
    wait_for_defence(site, "slow_headers")


def answer_of_slow_head(site, server, *pieces):
    """All that the proxy says to who sends `pieces`, each once the one before was answered, and no more."""
    start(site, server, header_timeout="300ms")
    client = RawClient(site, pieces[0])
    received = b""
    for piece in pieces[1:]:
        while not received.endswith(b"\r\n\r\nx"):
            received += client.socket.recv(1 << 16)
        client.send(piece)
    rest, in_order = client.to_end()
    wait_for_defence(site, "slow_headers")
    return (received + rest).decode("latin-1"), in_order


@pytest.mark.parametrize("beginning", [b"G", b"GET / HTTP/1.1\r\nhost: a\r\nx-", b"GET / HTTP/1.1\r\nhost: a\r\n\r"])
def test_a_slow_head_of_http1_is_answered_408_and_the_connection_ends_in_order(site, server, beginning):
    answer, in_order = answer_of_slow_head(site, server, beginning)
    head, end = answer.split("\r\n\r\n")
    assert head.startswith("HTTP/1.1 408 Request Timeout\r\n") and "\r\nconnection: close" in head and end == ""
    assert in_order


def test_a_slow_head_behind_a_whole_request_is_answered_408(site, server):
    answer, in_order = answer_of_slow_head(site, server, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /")
    assert answer.startswith("HTTP/1.1 200 OK\r\n") and answer.count("HTTP/1.1 408") == 1 and in_order


@pytest.mark.parametrize("beginning", [b"", b"PRI * HT", PREFACE + frame(SETTINGS)[:5]])
def test_who_has_begun_no_head_of_http1_gets_no_answer_of_it(site, server, beginning):
    assert "HTTP/1.1" not in answer_of_slow_head(site, server, beginning)[0]


def test_frames_in_between_do_not_lengthen_a_header_block(site, server):
    start(site, server, header_timeout="400ms")
    client = RawClient(site, PREFACE + frame(SETTINGS) + frame(HEADERS, END_STREAM, 1, GET))
    client.socket.settimeout(0.15)
    sent = 0
    # As many frames as a block may have would take 2.4 s.
    with pytest.raises(ConnectionError):
        while sent < 16:
            try:
                if not client.socket.recv(1 << 16):
                    raise ConnectionError
            except TimeoutError:
                client.socket.sendall(frame(CONTINUATION, 0, 1, b""))
                sent += 1
    assert sent < 8
    wait_for_defence(site, "slow_headers")


# --- bodies

def slow_bodies(site, port, **route):
    """The proxy with a body_timeout of 300 ms in front of `port`."""
    routes = [{"cluster": "app", "body_timeout": "300ms"} | route]
    site.start_proxy([port], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                     more=METRICS)


def wait_for_slow_body(site):
    wait_for_defence(site, "slow_body")
    wait_for(lambda: endings(site, "client_slow") == 1, 10, "the outcome", interval_s=0.1)


@pytest.mark.parametrize("length,begins,goes_on", [
    (b"content-length: 1000", b"", b"x"), (b"transfer-encoding: chunked", b"", b"1\r\nx\r\n"),
    # A line that does not end is no data either.
    (b"transfer-encoding: chunked", b"1;", b"x")])
def test_a_body_that_comes_byte_by_byte_is_answered_408(site, server, length, begins, goes_on):
    slow_bodies(site, server.port)
    client = RawClient(site, b"PUT /uploads/a HTTP/1.1\r\nhost: a\r\n" + length + b"\r\n\r\n" + begins)
    client.socket.settimeout(0.05)
    received, ended = b"", False
    while not ended:
        try:
            data = client.socket.recv(1 << 16)
            received, ended = received + data, data == b""
        except TimeoutError:
            client.send(goes_on)
    assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b"\r\nconnection: close\r\n" in received
    assert received.endswith(b"the request came too slowly\n")
    wait_for_slow_body(site)


def test_a_slow_body_ends_its_stream_at_both_ends_and_no_other(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port)
    client = H2Client(site.namespace, FRONT)
    slow = client.request("/upload", method="POST", body=b"x", end=False)
    answer = client.finish(slow)
    assert answer.status == 408 and bytes(answer.body) == b"the request came too slowly\n"
    assert client.finish(client.request("/who")).status == 200
    wait_for(lambda: "reset /upload" in app.output(), 10, "the endpoint's stream to be reset", interval_s=0.1)
    wait_for_slow_body(site)


def test_a_body_that_comes_steadily_is_taken_for_as_long_as_it_takes(site, server):
    slow_bodies(site, server.port)
    client = H2Client(site.namespace, FRONT)
    upload = client.request("/uploads/a", method="PUT", end=False)
    for _ in range(8):  # 1.6 s at 1 000 bytes a second
        client.h2.send_data(upload, bytes(200))
        client.flush()
        client.read_for(0.2)
    client.h2.end_stream(upload)
    client.flush()
    assert client.finish(upload).status == 201
    assert defences(site, "slow_body") == 0


def test_a_client_that_waits_for_100_continue_is_not_slow(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port, idle_timeout="1500ms")
    client = RawClient(site, b"POST /hang HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n")
    assert client.to_end()[0].startswith(b"HTTP/1.1 504")
    assert defences(site, "slow_body") == 0


def test_streams_may_be_silent(site):
    app = site.grpc_server("python", "a")
    slow_bodies(site, app.port)
    assert site.client("python", "client_stream", 3, 1, 0.6) == {"same": True}
    assert defences(site, "slow_body") == 0


def test_a_request_whose_answer_has_begun_may_be_silent(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port)
    client = H2Client(site.namespace, FRONT)
    both = client.request("/talk", method="POST", body=b"x", end=False)
    while not client.answers[both].headers:
        client.read()
    client.read_for(1)
    client.h2.end_stream(both)
    client.flush()
    assert client.finish(both).reset is None
    assert defences(site, "slow_body") == 0


def test_a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on(site, server):
    (server.www / "large").write_bytes(b"x" * 200_000)
    start(site, server, stall_timeout="400ms")
    client = H2Client(site.namespace, FRONT, window=1000)
    shut = client.request("/large")
    answer = client.finish(shut)
    assert answer.status == 200 and answer.reset is not None and len(answer.body) == 1000
    # One that is opened now and then goes on for longer than that.
    slow = client.request("/large")
    for _ in range(4):
        client.read_for(0.2)
        client.grant(slow, 1000)
    client.read_for(0.2)
    assert client.answers[slow].reset is None and len(client.answers[slow].body) == 5000
    wait_for_defence(site, "stalled_stream")
    wait_for(lambda: endings(site, "client_stalled") == 1, 10, "the outcome", interval_s=0.1)


def test_what_comes_for_a_stream_does_not_keep_it_open(site):
    """A window that stays shut while the endpoint goes on and on."""
    server = site.python_peer("h2_server.py", "x")
    start(site, server, stall_timeout="400ms")
    client = H2Client(site.namespace, FRONT, window=3)
    answer = client.finish(client.request("/drip/0/100"))
    assert answer.status == 200 and answer.reset is not None and bytes(answer.body) == b"xxx"
    # A server that had said all would not be told.
    wait_for(lambda: "reset /drip/0/100" in server.output(), 10, "the server to be told")


def test_a_client_that_reads_nothing_is_closed(site, server):
    (server.www / "large").write_bytes(b"x" * 8_000_000)
    start(site, server, stall_timeout="500ms", keepalive_timeout="0ms")
    client = H2Client(site.namespace, FRONT, window=1 << 30)
    client.request("/large")
    wait_for_defence(site, "stalled_client")
    wait_for(lambda: samples(site)["sluice_proxy_clients"] == 0, 10, "the client to be gone", interval_s=0.1)


# --- memory of one connection

def opened_uploads(client, count):
    return [client.request("/unread", "POST", end=False) for _ in range(count)]


def wait_for_pong(client):
    """What was sent before has been looked at."""
    seen = []
    take = client.take
    client.take = lambda event: seen.append(event) if isinstance(event, h2.events.PingAckReceived) else take(event)
    client.h2.ping(b"12345678")
    client.flush()
    while not seen:
        client.read()
    client.take = take


def test_a_client_that_holds_much_gets_no_more_until_it_lets_go(site):
    """Neither streams nor window: of 9 MB sent more than half of the connection's 16 MB window is to be given back."""
    server = site.python_peer("h2_server.py", "x")
    start(site, server, max_client_memory=8_000_000)
    client = H2Client(site.namespace, FRONT)
    uploads = opened_uploads(client, 36)
    wait_for_pong(client)
    window = client.h2.outbound_flow_control_window
    for upload in uploads:
        assert client.send_what_fits(upload, bytes(250_000)) == 250_000
        client.read_for(0.01)
    wait_for_pong(client)
    assert client.h2.outbound_flow_control_window == window - 36 * 250_000
    assert client.finish(client.request("/who")).reset == REFUSED_STREAM
    wait_for_defence(site, "client_memory_streams")
    for upload in uploads:
        client.reset(upload)
    wait_for(lambda: client.read_for(0.05) or client.h2.outbound_flow_control_window == window, 10, "the window to open")
    assert client.finish(client.request("/who")).status == 200
    assert defences(site, "client_memory_streams") == 1 and defences(site, "client_memory") == 0


def test_a_client_that_holds_too_much_is_closed(site):
    server = site.python_peer("h2_server.py", "x")
    start(site, server, max_client_memory=1 << 20)
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


# --- age

def test_an_old_client_is_asked_to_go_in_two_steps(site, server):
    start(site, server, max_client_age="300ms")
    client = H2Client(site.namespace, FRONT)
    long = client.request("/uploads/a", method="PUT", end=False)
    while not client.goaways:
        client.read()
    # The announcement: what is sent before the second one is served.
    assert struct.unpack(">II", client.goaways[0][:8]) == ((1 << 31) - 1, NO_ERROR)
    assert client.finish(client.request()).status == 200
    while len(client.goaways) < 2:
        client.read()
    assert struct.unpack(">II", client.goaways[1][:8]) == (3, NO_ERROR)
    client.h2.end_stream(long)
    client.flush()
    assert client.finish(long).status == 201
    with pytest.raises(ConnectionError):
        client.read()
    wait_for_defence(site, "client_age")


def test_a_client_that_has_had_its_requests_is_asked_to_go(site, server):
    start(site, server, max_client_requests=3)
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
    start(site, server)
    good = H2Client(site.namespace, FRONT)
    assert good.finish(good.request()).status == 200
    attacker = RawClient(site)
    attacker.send(ATTACKS[reason])
    _, code, _ = attacker.last_goaway()
    assert code == ENHANCE_YOUR_CALM
    wait_for_defence(site, reason)
    assert good.finish(good.request()).status == 200


def test_useless_frames_and_cancelled_streams_may_be_allowed_more_often(site, server):
    start(site, server, abuse_limit=5000, cancel_limit=1000)
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
    start(site, server)
    client = RawClient(site, request_bytes)
    wait_for_defence(site, "large_headers")
    if status:
        assert client.to_end()[0].startswith(b"HTTP/1.1 " + status)
