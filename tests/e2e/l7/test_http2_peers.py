"""HTTP/2 through the proxy, spoken by curl, nghttp, h2load, Node, nginx, nghttpd and Python's h2."""

import json
import os

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT, PEERS, sha256_of

LARGE_BYTES = 32 << 20


@pytest.fixture
def large_file(site):
    """Random bytes, so that a piece out of place shows."""
    path = site.network.directory / "large.bin"
    path.write_bytes(os.urandom(LARGE_BYTES))
    return path


@pytest.mark.smoke
def test_curl_gets_a_page_and_its_head(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    assert site.curl("/who").stdout == "n1\n"
    head = site.curl("/who", "--head").stdout
    assert head.startswith("HTTP/2 200") and "content-length: 3" in head
    assert "404" in site.curl("/nothing", "-o", "/dev/null", "-w", "%{http_code}").stdout


def test_a_large_page_arrives_byte_for_byte(site, large_file):
    server = site.nginx("n1")
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port])
    got = site.network.directory / "got"
    site.curl("/large.bin", "-o", got)
    assert sha256_of(got) == sha256_of(large_file)


def test_a_large_upload_arrives_byte_for_byte(site, large_file):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    site.curl("/uploads/large.bin", "-T", large_file, "-f")
    assert sha256_of(server.www / "uploads" / "large.bin") == sha256_of(large_file)


def test_an_upload_that_waits_for_100_continue(site, large_file):
    """curl waits a second for the answer to its Expect before it sends without: less than that means it was told to."""
    server = site.nginx("n1")
    site.start_proxy([server.port])
    seconds = site.curl("/uploads/a.bin", "-T", large_file, "-f", "-H", "Expect: 100-continue", "--expect100-timeout",
                        "30", "-o", "/dev/null", "-w", "%{time_total}").stdout
    assert float(seconds) < 20
    assert sha256_of(server.www / "uploads" / "a.bin") == sha256_of(large_file)


def test_nghttp_with_trailers_priorities_and_many_streams(site):
    root = site.network.directory / "root"
    root.mkdir()
    (root / "page").write_bytes(b"x" * 1000)
    server = site.nghttpd(root, "--trailer=x-end: here")
    site.start_proxy([server.port])
    # nghttp opens idle streams and sends priorities, as older clients do.
    shown = site.namespace.run(["nghttp", "-v", "-m", "20", f"http://127.0.0.1:{FRONT}/page"]).stdout
    assert shown.count("recv (stream_id=") > 20 and shown.count("x-end: here") == 20
    assert shown.count(":status: 200") == 20


@pytest.mark.parametrize("connections,streams", [(1, 100), (50, 10)])
def test_h2load_sees_no_failure(site, connections, streams):
    servers = [site.nginx(f"n{number}") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers])
    # nginx ends a connection by GOAWAY after 1000 requests: each server does so several times.
    load = site.h2load("/who", "-n", 12_000, "-c", connections, "-m", streams)
    assert load.good == 12_000, load.output


def test_node_client_and_server(site):
    server = site.node_peer("http2_server.js")
    site.start_proxy([server.port])
    done = site.namespace.run(["node", PEERS / "node" / "http2_client.js", FRONT, 5_000_000])
    assert json.loads(done.stdout) == {
        "post": {"status": 200, "same": True, "trailer": "5000000", "cookie": "a=1; b=2"},
        "head": {"status": 200, "method": "HEAD", "bytes": 0},
        "early": {"status": 200, "early": 1},
    }


# --- what one side does reaches the other

@pytest.fixture
def h2(site):
    """A client of the test's own and an h2_server behind the proxy, the server in .server."""
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    client.server = server
    yield client
    client.close()


def test_a_reset_by_the_client_reaches_the_server(h2):
    stream = h2.request("/hang")
    assert h2.finish(h2.request("/who")).body == b"h1"
    h2.reset(stream)
    wait_for(lambda: "reset /hang" in h2.server.output(), 10, "the server to be told")
    assert h2.finish(h2.request("/who")).body == b"h1"


def test_a_client_that_goes_away_resets_its_streams_at_the_server(site, h2):
    h2.request("/hang")
    assert h2.finish(h2.request("/who")).body == b"h1"
    h2.close()
    wait_for(lambda: "reset /hang" in h2.server.output(), 10, "the server to be told")
    assert site.curl("/who").stdout == "h1"


def test_a_client_that_says_goaway_still_gets_its_answers(h2):
    stream = h2.request("/sleep/300")
    h2.socket.sendall(bytes.fromhex("000008070000000000") + bytes(8))
    assert h2.finish(stream).body == b"h1"


def test_an_answer_that_breaks_off_is_reset_and_not_ended(h2):
    """A body cut short must never look whole."""
    answer = h2.finish(h2.request("/half"))
    assert answer.status == 200 and answer.reset is not None and not answer.ended
    assert h2.finish(h2.request("/who")).body == b"h1"


# RFC 9113 section 7. What is said of the request goes on; what is said of the proxy's connection is its own affair, and
# REFUSED_STREAM would promise that nothing has been done.
@pytest.mark.parametrize("code, told", [(8, 8), (11, 11), (10, 10), (2, 2), (1, 2), (7, 2), (3, 2), (0, 2), (99, 2)])
def test_the_code_of_a_reset_goes_on_if_it_is_about_the_request(h2, code, told):
    answer = h2.finish(h2.request(f"/half/{code}"))
    assert answer.status == 200 and answer.reset == told


def test_an_answer_before_a_short_body_is_no_reset(site):
    """Debian's curl takes RST_STREAM(NO_ERROR) that crosses the last bytes of its request for a failure."""
    routes = [{"path": "/no", "respond": {"status": 429, "body": "later"}}, {"cluster": "app"}]
    site.start_proxy([9], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
    client = H2Client(site.namespace, FRONT)
    for size, reset in ((900, None), (10_000_000, 0)):
        stream = client.request("/no", "POST", headers=[("content-length", str(size))], end=False)
        answer = client.finish(stream)
        client.ping()
        assert (answer.status, bytes(answer.body), answer.reset) == (429, b"later", reset)
        if reset is None:
            client.h2.send_data(stream, bytes(size), end_stream=True)
            client.flush()
    assert client.finish(client.request("/no")).status == 429
    client.close()


def test_a_reset_by_the_server_is_an_error_answer(h2):
    answer = h2.finish(h2.request("/reset"))
    assert answer.status in (502, 503) or answer.reset is not None
    assert h2.finish(h2.request("/who")).body == b"h1"


def test_a_gone_server_is_an_error_answer_and_a_new_one_is_found(site, h2):
    assert h2.finish(h2.request("/who")).body == b"h1"
    h2.server.stop()
    assert h2.finish(h2.request("/who")).status in (502, 503)
    site.python_peer("h2_server.py", "again", port=h2.server.port)
    wait_for(lambda: h2.finish(h2.request("/who")).body == b"again", 10, "the restarted server's answer")


def test_goaway_of_the_server_costs_no_request(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    for _ in range(20):
        assert site.curl("/goaway", "-f").stdout == "h1"


# --- flow control from end to end

BACKLOG_KIB = 4096


@pytest.mark.measures("memory")
def test_a_reader_that_stops_holds_only_its_own_stream(site, large_file):
    server = site.nginx("n1")
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/who")).body == b"n1\n"
    before = site.proxy_memory_kib()
    stalled = [client.request("/large.bin") for _ in range(5)]
    while any(len(client.answers[stream].body) < 65535 for stream in stalled):
        client.read()
    for _ in range(200):
        assert client.finish(client.request("/who")).body == b"n1\n"
    assert [len(client.answers[stream].body) for stream in stalled] == [65535] * 5
    assert site.proxy_memory_kib() - before < BACKLOG_KIB, "the proxy took in what its client does not take"
    # And one of them goes on when its reader does.
    answer = client.answers[stalled[0]]
    while not answer.ended:
        client.grant(stalled[0], 1 << 20)
        size = len(answer.body)
        while not answer.ended and len(answer.body) < size + 500_000:
            client.read()
    assert bytes(answer.body) == large_file.read_bytes()
    client.close()


def test_a_small_answer_gets_its_turn_beside_a_large_one(site, large_file):
    """Both wait for the connection's window, which the client opens little by little."""
    server = site.nginx("n1", server='location = /small { return 200 "' + "x" * 3000 + '"; }')
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT, window=1 << 30, narrow=True)
    large = client.answers[client.request("/large.bin")]
    while len(large.body) < 65535:
        client.read()
    small = client.answers[client.request("/small")]
    wait_for(lambda: "/small" in server.access_log.read_text(), 10, "the small answer to be sent")
    # The proxy has it in the same turn as the first PING, or before.
    client.ping()
    client.ping()
    for _ in range(2):
        before = len(large.body) + len(small.body)
        client.grant(None, 8192)
        while len(large.body) + len(small.body) < before + 8192 and not large.ended:
            client.read()
    assert len(small.body) == 3000, "the large answer took all of the window"
    client.close()


@pytest.mark.measures("memory")
def test_a_server_that_does_not_read_holds_only_that_upload(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/who")).body == b"h1"
    before = site.proxy_memory_kib()
    stream = client.request("/unread", method="POST", end=False)
    sent, still_for = 0, 0
    while still_for < 5:
        now = client.send_what_fits(stream, bytes(1 << 20))
        sent += now
        still_for = 0 if now else still_for + 1
        client.read_for(0.05)  # no event says that no more is taken; on a slow machine less is sent, which is no failure
    assert sent < BACKLOG_KIB * 1024, "nothing stopped the sender"
    assert site.proxy_memory_kib() - before < BACKLOG_KIB
    assert client.finish(client.request("/who")).body == b"h1"
    client.close()


def test_an_upload_that_a_server_does_not_read_holds_up_no_other(site):
    """Its connection's window is shut by it, as those of servers are that open it only when a handler reads."""
    server = site.python_peer("h2_server.py", "h1", "narrow")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    stalled = client.request("/unread", method="POST", end=False)
    still_for = 0
    while still_for < 5:
        still_for = 0 if client.send_what_fits(stalled, bytes(1 << 20)) else still_for + 1
        client.read_for(0.05)
    for _ in range(5):
        assert client.finish(client.request("/upload", method="POST", body=b"y" * 900)).body == b"h1"
    # As many connections as it takes, not one for each request; what brings no body stays on the first.
    endpoint = site.ctl_json("clusters")["clusters"][0]["endpoints"][0]
    assert endpoint["connections"] == 2
    assert client.finish(client.request("/who")).body == b"h1"
    assert client.answers[stalled].reset is None
    client.close()


@pytest.mark.measures("memory")
def test_many_slow_readers_are_held_in_bounded_memory(site, large_file):
    server = site.nginx("n1")
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port])
    site.curl("/who")
    before = site.proxy_memory_kib()
    clients = [H2Client(site.namespace, FRONT, window=1000) for _ in range(20)]
    for client in clients:
        for _ in range(20):
            client.request("/large.bin")
    for client in clients:
        while any(len(answer.body) < 1000 for answer in client.answers.values()):
            client.read()
    # 400 streams with a window of 256 KiB each towards the server.
    assert site.proxy_memory_kib() - before < 400 * 256 + BACKLOG_KIB
    assert site.curl("/who").stdout == "n1\n"
    for client in clients:
        client.close()
