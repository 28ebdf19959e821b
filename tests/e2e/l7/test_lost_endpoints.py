"""Connections to endpoints that end while something is on its way."""

import signal

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT
from raw_server import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, OK, SETTINGS, RawServer, frame


def connected(site, port):
    return bool(site.namespace.run(["ss", "-Htn", "state", "established", "dport", "=", f":{port}"]).stdout)


@pytest.mark.parametrize("end", [True, False], ids=["whole-request", "open-request"])
def test_an_answer_that_is_whole_outlives_its_connection(site, end):
    """Its client takes it slowly."""
    server = RawServer(site)
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT, window=10)
    stream = client.request("/", "POST", body=b"begun", end=end)
    endpoint = server.accept()
    endpoint.send(frame(SETTINGS))
    endpoint.read_until(b"begun")
    endpoint.send(frame(HEADERS, END_HEADERS, 1, OK) + frame(DATA, END_STREAM, 1, b"x" * 1000))
    answer = client.answers[stream]
    while len(answer.body) < 10:
        client.read()
    endpoint.close()
    wait_for(lambda: not connected(site, server.port), 10, "the proxy to notice")
    client.grant(stream, 1000)
    assert client.finish(stream).ended
    assert answer.body == b"x" * 1000


def test_a_connection_that_ends_in_order_ends_with_the_cancelling_of_its_last_request(site):
    """Its endpoint may wait for the proxy's end of it."""
    server = RawServer(site)
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/", "POST", body=b"begun", end=False)
    endpoint = server.accept()
    endpoint.send(frame(SETTINGS))
    endpoint.read_until(b"begun")
    endpoint.send(frame(GOAWAY, payload=bytes([0, 0, 0, 1, 0, 0, 0, 0])) + frame(HEADERS, END_HEADERS, 1, OK))
    while client.answers[stream].status is None:
        client.read()
    client.reset(stream)
    endpoint.read_to_end()


def test_a_reload_that_changes_the_protocol_is_for_the_next_request(site):
    """A connection that is open would go on in the old one, or in cleartext, for as long as it lasts."""
    server = RawServer(site)
    site.start_proxy([server.port], cluster={"protocol": "http1"})
    client = H2Client(site.namespace, FRONT)
    first = client.request("/first")
    endpoint = server.accept()
    endpoint.read_until(b"GET /first HTTP/1.1\r\n")
    site.configure([server.port], cluster={"protocol": "http2"})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: " event=reloaded " in site.proxy.output(), 10, "the reload")
    endpoint.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst")
    assert client.finish(first).body == b"first"
    client.request("/second")
    endpoint.read_to_end()
    server.accept().read_until(b"PRI * HTTP/2.0\r\n")


def test_a_request_that_has_its_answer_is_not_tried_again(site):
    """Its time is over while it waits for its next try, and its client takes the answer slowly."""
    route = {"cluster": "app", "request_timeout": "200ms",
             "retry": {"on": ["connect-failure"], "max_retries": 10, "backoff_base": "1s", "backoff_max": "1s"}}
    site.start_proxy([1], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]})
    client = H2Client(site.namespace, FRONT, window=0)
    streams = [client.request() for _ in range(20)]
    while any(client.answers[stream].status is None for stream in streams):
        client.read()
    # Time for a try that nobody wants any more. None has begun when it is too short, and nothing fails.
    client.read_for(0.5)
    # 503: a try failed in the moment in which the time was over.
    statuses = [client.answers[stream].status for stream in streams]
    assert 504 in statuses and set(statuses) <= {503, 504}
    for stream in streams:
        client.grant(stream, 1000)
        assert client.finish(stream).ended


@pytest.mark.parametrize("before", [7, 8], ids=["original-first", "copy-first"])
def test_a_request_and_its_copy_are_lost_with_one_connection(site, before):
    """The end of the request is the end of its copy, which is on the connection's list of those to be told, too."""
    server = site.python_peer("h2_server.py", "app")
    copied = {"cluster": "app", "mirrors": [{"cluster": "app", "percent": 100}]}
    site.start_proxy([server.port], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"prefix": "/count", "cluster": "app"}, copied]}]})
    client = H2Client(site.namespace, FRONT)
    # The list is in the order of the streams' numbers modulo 16.
    assert client.finish(client.request("/count")).status == 200
    for _ in range(before):
        assert client.finish(client.request("/who")).body == b"app"
    stream = client.request("/hang", "POST", body=b"begun", end=False)
    other = H2Client(site.namespace, server.port)
    wait_for(lambda: b'"/hang": [10, 0]' in other.finish(other.request("/received")).body, 10, "both to arrive")
    server.send_signal(signal.SIGKILL)
    assert client.finish(stream).status == 502
