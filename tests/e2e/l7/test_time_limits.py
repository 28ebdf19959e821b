"""How long a client may take, and may stay: each limit is met, counted, and leaves others alone."""

import struct

import pytest

from counters import METRICS, defences, endings, samples, start_counted, wait_for_defence
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT
from raw_client import CONTINUATION, END_HEADERS, END_STREAM, GET, HEADERS, PREFACE, SETTINGS, RawClient, frame

NO_ERROR = 0


# --- heads, and the time between requests

def test_a_client_without_requests_is_asked_to_go(site, server):
    # What a first byte is given does not stand before it.
    start_counted(site, server, keepalive_timeout="300ms", header_timeout="10m")
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
    start_counted(site, server, keepalive_timeout="300ms", header_timeout="300ms")
    client = H2Client(site.namespace, FRONT)
    # Its body does not end, nor does the answer to the first request begin to be taken.
    slow = client.request("/uploads/a", method="PUT", end=False)
    client.read_for(1)  # three times each of them
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
    start_counted(site, server, header_timeout="300ms")
    client = RawClient(site, beginning)
    client.to_end()
    wait_for_defence(site, "slow_headers")


def answer_of_slow_head(site, server, *pieces):
    """All that the proxy says to who sends `pieces`, each once the one before was answered, and no more."""
    start_counted(site, server, header_timeout="300ms")
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
    start_counted(site, server, header_timeout="400ms")
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
    for _ in range(8):  # 1.6 s at 1 000 bytes a second, four times the least
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


def test_who_has_got_its_100_continue_and_begun_is_not_waited_for(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port)
    client = H2Client(site.namespace, FRONT)
    begun = client.request("/upload", method="POST", headers=[("expect", "100-continue")], body=b"x", end=False)
    assert client.finish(begun).status == 408
    wait_for_slow_body(site)


def test_the_answer_to_a_whole_body_may_take_its_time(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port)
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/sleep/1000", method="POST", body=b"x")).status == 200
    # Also where its end comes a little later than its head.
    late = client.request("/sleep/1000", method="POST", end=False)
    client.ping()
    client.h2.end_stream(late)
    client.flush()
    assert client.finish(late).status == 200
    assert defences(site, "slow_body") == 0


def test_the_time_of_a_body_that_was_given_up_is_over(site):
    app = site.python_peer("h2_server.py", "app")
    slow_bodies(site, app.port)
    client = H2Client(site.namespace, FRONT)
    client.reset(client.request("/upload", method="POST", end=False))
    client.ping()
    # In its place, and of a kind that has no such time.
    stream = client.request("/upload", method="POST", headers=[("content-type", "application/grpc")], end=False)
    client.read_for(1)  # three times the body's
    client.h2.end_stream(stream)
    client.flush()
    assert client.finish(stream).status == 200
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
    client.read_for(1)  # three times the body's
    client.h2.end_stream(both)
    client.flush()
    assert client.finish(both).reset is None
    assert defences(site, "slow_body") == 0


# --- answers

def test_a_stream_whose_window_stays_shut_is_reset_and_the_others_go_on(site, server):
    (server.www / "large").write_bytes(b"x" * 200_000)
    start_counted(site, server, stall_timeout="1s")
    client = H2Client(site.namespace, FRONT, window=1000)
    shut = client.request("/large")
    answer = client.finish(shut)
    assert answer.status == 200 and answer.reset is not None and len(answer.body) == 1000
    # One that is opened now and then goes on for longer than that.
    slow = client.request("/large")
    for pieces in range(1, 5):
        while len(client.answers[slow].body) < pieces * 1000:
            client.read()
        client.read_for(0.3)  # 1.2 s in all
        client.grant(slow, 1000)
    while len(client.answers[slow].body) < 5000:
        client.read()
    assert client.answers[slow].reset is None
    wait_for_defence(site, "stalled_stream")
    wait_for(lambda: endings(site, "client_stalled") == 1, 10, "the outcome", interval_s=0.1)


def test_what_comes_for_a_stream_does_not_keep_it_open(site):
    """A window that stays shut while the endpoint goes on and on."""
    server = site.python_peer("h2_server.py", "x")
    start_counted(site, server, stall_timeout="400ms")
    client = H2Client(site.namespace, FRONT, window=3)
    answer = client.finish(client.request("/drip/0/100"))
    assert answer.status == 200 and answer.reset is not None and bytes(answer.body) == b"xxx"
    # A server that had said all would not be told.
    wait_for(lambda: "reset /drip/0/100" in server.output(), 10, "the server to be told")


def test_a_client_that_reads_nothing_is_closed(site, server):
    (server.www / "large").write_bytes(b"x" * 8_000_000)
    start_counted(site, server, stall_timeout="500ms", keepalive_timeout="0ms")
    client = H2Client(site.namespace, FRONT, window=1 << 30)
    client.request("/large")
    wait_for_defence(site, "stalled_client")
    wait_for(lambda: samples(site)["sluice_proxy_clients"] == 0, 10, "the client to be gone", interval_s=0.1)


# --- age

def test_an_old_client_is_asked_to_go_in_two_steps(site, server):
    start_counted(site, server, max_client_age="300ms")
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
