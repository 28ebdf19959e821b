"""How long a request may take: to connect, to wait, to be answered, to be silent; and what is a stream, which may."""

import contextlib
import json
import time

import pytest

from counters import METRICS, endings
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT, PYTHON

GRPC = ("content-type", "application/grpc")
CANCEL, DEADLINE_EXCEEDED = 8, "4"
# Takes connections and says nothing.
SILENT_SERVER = "import socket, sys, time\nlistening = socket.create_server(('0.0.0.0', int(sys.argv[1])))\ntime.sleep(600)\n"
ONCE = {"retry": {"max_retries": 0}}


def start(site, ports, *, cluster=None, **route):
    site.start_proxy(ports, cluster=cluster, more=METRICS, listener={
        "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [{"cluster": "app"} | route]}]})


def status_of(site, path="/who"):
    return site.curl(path, "-o", "/dev/null", "-w", "%{http_code}").stdout


def wait_for_ending(site, outcome):
    wait_for(lambda: endings(site, outcome) == 1, 10, f"the outcome {outcome}", interval_s=0.1)


@pytest.fixture
def app(site):
    return site.python_peer("h2_server.py", "app")


@pytest.fixture
def client(site):
    """Made when it is first called, as the proxy has to be there."""
    with contextlib.ExitStack() as stack:
        made = []

        def connect():
            if not made:
                made.append(H2Client(site.namespace, FRONT))
                stack.callback(made[0].close)
            return made[0]

        yield connect


# --- until there is a connection

@pytest.mark.parametrize("tls", [False, True], ids=["no-syn-ack", "no-handshake"])
def test_a_connection_that_does_not_come_about_ends_with_connect_timeout(site, tls):
    server = site.start([PYTHON, "-c", SILENT_SERVER, "PORT"])
    if not tls:
        site.namespace.run(["nft", "-f", "-"], input_text="table inet cut { chain input { type filter hook input priority 0; "
                           f"tcp dport {server.port} drop; }}; }}\n")
    # Whatever else has a time has a longer one.
    start(site, [server.port], cluster={"connect_timeout": "200ms", "pending_timeout": "60s"} | ({"tls": {}} if tls else {}),
          request_timeout="60s", **ONCE)
    assert status_of(site) == "503"
    wait_for_ending(site, "connect_failed")
    good = site.nginx("good")
    site.proxy.stop()
    start(site, [server.port, good.port], cluster={"connect_timeout": "200ms", "policy": "round_robin"})
    if not tls:
        assert {site.curl("/who").stdout for _ in range(4)} == {"good\n"}


def test_a_request_waits_for_a_connection_for_pending_timeout(site):
    """The only one there may be has a request that does not end; and one that is about to be made stays so."""
    server = site.nginx("n1", version="", server="location /slow { limit_rate 100; }")
    (server.www / "slow").write_bytes(b"x" * 100_000)
    start(site, [server.port], cluster={"protocol": "http1", "endpoint_connections": 1, "pending_timeout": "300ms"}, **ONCE)
    client = H2Client(site.namespace, FRONT)
    held = client.request("/slow")
    while client.answers[held].status is None:
        client.read()
    answer = client.finish(client.request("/who"))
    assert answer.status == 503
    assert bytes(answer.body) == b"no connection to the endpoint became free in time\n"
    wait_for_ending(site, "pending_timeout")
    client.close()


def test_connect_timeout_is_longer_than_its_default_if_set(site):
    """The wait for the connection ends first: without it the connection would have failed after a second."""
    server = site.start([PYTHON, "-c", SILENT_SERVER, "PORT"])
    start(site, [server.port], cluster={"connect_timeout": "60s", "pending_timeout": "1500ms", "tls": {}}, **ONCE)
    assert status_of(site) == "503"
    wait_for_ending(site, "pending_timeout")


# --- until there is an answer

def test_silence_ends_with_idle_timeout(site, app, client):
    start(site, [app.port], idle_timeout="300ms", request_timeout="0ms")
    answer = client().finish(client().request("/hang"))
    assert answer.status == 504 and bytes(answer.body) == b"nothing came or went for too long\n"
    wait_for(lambda: f"reset /hang {CANCEL}" in app.output(), 10, "the server to be told")
    wait_for_ending(site, "idle_timeout")
    # Each piece of an answer begins it anew.
    answer = client().finish(client().request("/drip/0/20"))
    assert answer.ended and bytes(answer.body) == b"app" * 20


def test_an_answer_that_is_late_in_the_middle_is_reset(site, app, client):
    """It has said how long it is: no stream."""
    server = site.nginx("n1", server="location /slow { limit_rate 10; }")
    (server.www / "slow").write_bytes(b"x" * 1000)
    start(site, [server.port], request_timeout="500ms")
    answer = client().finish(client().request("/slow"))
    assert answer.status == 200 and answer.reset is not None and not answer.ended
    wait_for_ending(site, "request_timeout")


@pytest.mark.parametrize("headers", [[], [GRPC]], ids=["plain", "grpc"])
def test_streams_outlive_the_request_timeout(site, app, client, headers):
    """Of the answer, of the request, and of both; a gRPC call that names no deadline is none for ever."""
    start(site, [app.port], request_timeout="300ms")
    streams = client()
    answer = streams.finish(streams.request("/drip/0/20", headers=headers))
    assert answer.ended and bytes(answer.body) == b"app" * 20
    for path in ("/upload", "/talk"):
        upload = streams.request(path, "POST", headers=headers, end=False)
        streams.h2.send_data(upload, b"first")
        streams.flush()
        streams.read_for(0.6)
        streams.h2.send_data(upload, b"last", end_stream=True)
        streams.flush()
        answer = streams.finish(upload)
        assert answer.ended and bytes(answer.body) == b"app", path
    # The same route: what is no stream is ended.
    late = streams.finish(streams.request("/hang", headers=headers))
    assert late.headers.get("grpc-status") == (DEADLINE_EXCEEDED if headers else None)
    assert late.status == (200 if headers else 504)


# --- gRPC's own

def call(client, path, timeout, **fields):
    return client.request(path, "POST", body=b"", headers=[GRPC, ("grpc-timeout", timeout)], **fields)


def timeout_seen(answer):
    """Seconds of the grpc-timeout that an endpoint's /headers tells of."""
    text = dict(json.loads(answer.body))["grpc-timeout"]
    return int(text[:-1]) * {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}[text[-1]]


def test_a_grpc_deadline_is_kept_by_the_proxy_itself(site, app, client):
    """Neither the endpoint nor the client does anything about it. It takes the place of request_timeout."""
    start(site, [app.port], request_timeout="100ms")
    started = time.monotonic()
    answer = client().finish(call(client(), "/hang", "400m"))
    assert 0.35 < time.monotonic() - started < 10
    assert answer.status == 200 and answer.headers["grpc-status"] == DEADLINE_EXCEEDED and answer.ended
    wait_for(lambda: f"reset /hang {CANCEL}" in app.output(), 10, "the server to be told")
    assert bytes(client().finish(call(client(), "/sleep/300", "10S")).body) == b"app"
    # A stream, too, is bound by the client's word.
    streamed = client().finish(call(client(), "/drip/0/200", "400m"))
    assert streamed.status == 200 and streamed.reset is not None and 0 < len(streamed.body) < 200 * 3


def test_a_grpc_deadline_is_told_shortened_by_what_has_passed(site, app, client):
    """The first endpoint is asked in vain for 300 ms."""
    site.start_proxy([], cluster={"endpoints": [{"address": "127.0.0.1", "port": port, "priority": place} for place, port in
                                                enumerate((site.start([PYTHON, "-c", SILENT_SERVER, "PORT"]).port, app.port))]},
                     listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
                         {"cluster": "app", "retry": {"on": ["try-timeout"], "per_try_timeout": "300ms", "any_method": True}}]}]})
    left = timeout_seen(client().finish(call(client(), "/headers", "10S")))
    assert 1 < left <= 9.7


def test_a_grpc_deadline_has_a_bound(site, app, client):
    start(site, [app.port], max_grpc_timeout="400ms")
    assert 0 < timeout_seen(client().finish(call(client(), "/headers", "10S"))) <= 0.4
    assert timeout_seen(client().finish(call(client(), "/headers", "50m"))) <= 0.05
    assert client().finish(call(client(), "/hang", "1H")).headers["grpc-status"] == DEADLINE_EXCEEDED
