"""TCP, HTTP and HTTPS checks against servers that pass, refuse, hang, answer wrongly and die midway."""

import os
import re

import pytest

import netns
from broken_servers import hang, http, say, say_and_hang, say_and_reset
from health_watch import NO_ANSWER, Watch, check
from netns import wait_for

pytestmark = pytest.mark.control

STREAM_KINDS = ["tcp", "http", "https", "http2", "grpc"]


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_refused_connection(kind, tmp_path, refusing_port):
    found = check(tmp_path, kind=kind, port=refusing_port)
    assert (found["healthy"], found["error"]) == (False, "connection refused")


@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_unanswered_connection(kind, tmp_path, silent_port):
    found = check(tmp_path, kind=kind, port=silent_port)
    assert (found["healthy"], found["error"]) == (False, "no connection within 500 ms")


@pytest.mark.parametrize("kind, awaited", [("http", "answer"), ("https", "TLS handshake"), ("http2", "answer"),
                                           ("grpc", "answer")])
def test_server_that_hangs(kind, awaited, tmp_path, serve):
    found = check(tmp_path, kind=kind, port=serve(hang))
    assert (found["healthy"], found["error"]) == (False, f"no {awaited} within 500 ms")


def test_tcp_server_that_accepts(tmp_path, serve):
    found = check(tmp_path, kind="tcp", port=serve(hang))
    assert found["healthy"] and found["error"] == "" and found["latency_us"] > 0


def test_checks_leave_no_connections_in_time_wait(tmp_path, serve):
    port = serve(hang)
    with Watch(tmp_path, {"kind": "tcp", "port": port}) as watch:
        watch.wait(healthy=True)
    assert netns.run(["ss", "-Htn", "state", "time-wait", f"( dport = :{port} or sport = :{port} )"]).stdout == ""


@pytest.mark.parametrize("target, answer, error", [
    ({}, say(http()), ""),
    ({"body": "two"}, say(http(body=b"one two three")), ""),
    ({"body": "two"}, say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ntw\r\n1\r\no\r\n0\r\n\r\n"), ""),
    ({"body": "two"}, say(b"HTTP/1.0 200 OK\r\n\r\none two"), ""),
    ({"status": 204}, say(http("204 No Content")), ""),
    # The body is not waited for where it does not matter.
    ({}, say_and_hang(http(body=b"", length=1 << 30)), ""),
    ({}, say(http("503 Service Unavailable")), r"HTTP status 503, expected 200-299"),
    ({"status": 204}, say(http()), r"HTTP status 200, expected 204"),
    ({"body": "two"}, say(http(body=b"one\nthree")), r"body does not contain 'two', it begins with 'one\?three'"),
    ({"body": "two"}, say(http()), r"body is empty, expected 'two'"),
    ({"body": "two"}, say(http(length=1 << 30)), r"body is longer than 1048576 bytes"),
    ({"body": "two"}, say_and_hang(http(body=b"one", length=100)), NO_ANSWER),
    ({"body": "two"}, say(http(body=b"one two", length=100)), r"connection closed in the middle of the answer"),
    ({"body": "two"}, say_and_reset(http(body=b"one two", length=100)),
     r"connection reset in the middle of the answer"),
    ({}, say(b"HTTP/1.1 200 O"), r"connection closed in the middle of the answer"),
    ({}, say_and_reset(b""), r"connection reset before an answer"),
    ({}, say(b""), r"connection closed before an answer"),
    ({}, say(b"220 mail.example ESMTP\r\n"), r"answer is not HTTP/1.1: .*"),
    ({}, say(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000), r"answer is not HTTP/1.1: .*"),
], ids=["status", "body", "body-in-chunks", "body-to-the-end", "expected-status", "body-not-waited-for",
        "other-status", "not-the-expected-status", "other-body", "empty-body", "endless-body", "body-that-stops",
        "body-cut-off", "body-reset", "head-cut-off", "reset", "closed", "smtp", "endless-head"])
def test_http_answers(target, answer, error, tmp_path, serve):
    found = check(tmp_path, kind="http", port=serve(answer), **target)
    assert re.fullmatch(error, found["error"])
    assert found["healthy"] == (error == "")


def test_http_request_names_path_and_host(tmp_path, serve):
    requests = []

    def talk(_, connection):
        requests.append(connection.recv(4096).decode())
        connection.sendall(http())
    port = serve(talk)
    assert check(tmp_path, kind="http", port=port, path="/health?x=1", host="service.test")["healthy"]
    assert requests[0].startswith("GET /health?x=1 HTTP/1.1\r\nHost: service.test\r\n")
    count = len(requests)
    assert check(tmp_path, kind="http", port=port)["healthy"]
    assert f"\r\nHost: 127.0.0.1:{port}\r\n" in requests[count]


# --- TLS

@pytest.mark.parametrize("target, answer, error", [
    ({}, say(http()), ""),
    ({"body": "two"}, say(http(body=b"one two")), ""),
    # A close without TLS's close_notify is common; with Content-Length nothing is lost by it.
    ({"body": "two"}, say_and_reset(http(body=b"one two")), ""),
    ({}, say(http("500 Oops")), r"HTTP status 500, expected 200-299"),
    ({}, hang, NO_ANSWER),
    ({}, say_and_reset(b""), r"connection (reset|closed) before an answer"),
    ({"body": "two"}, say_and_reset(http(body=b"one", length=100)),
     r"connection (reset|closed) in the middle of the answer"),
], ids=["status", "body", "no-close-notify", "other-status", "hangs", "reset", "body-reset"])
def test_https_answers(target, answer, error, tmp_path, serve, tls):
    found = check(tmp_path, kind="https", port=serve(answer, tls=tls), timeout_ms=500, **target)
    assert re.fullmatch(error, found["error"])
    assert found["healthy"] == (error == "")


@pytest.mark.parametrize("host, trusted, error", [
    ("service.test", True, ""),
    ("service.test:8443", True, ""),
    ("", True, ""),
    ("other.test", True, "certificate refused: it is not for 'other.test'"),
    ("service.test", False, "certificate refused: unable to get local issuer certificate"),
], ids=["name", "name-with-port", "address", "other-name", "unknown-authority"])
def test_https_certificates(host, trusted, error, tmp_path, serve, tls, certificates):
    env = {**os.environ, "SSL_CERT_FILE": str(certificates / "ca.pem") if trusted else "/dev/null"}
    found = check(tmp_path, kind="https", port=serve(say(http()), tls=tls), verify_certificate=True, host=host,
                  env=env)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_https_asks_for_the_host_by_name(tmp_path, serve, tls):
    names = []
    tls.sni_callback = lambda connection, name, context: names.append(name)
    assert check(tmp_path, kind="https", port=serve(say(http()), tls=tls), host="service.test:8443")["healthy"]
    assert names[0] == "service.test"


@pytest.mark.parametrize("answer, error", [
    (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), r"TLS handshake failed: .*"),
    (say(b""), r"connection closed in the TLS handshake"),
    (say_and_reset(b""), r"connection reset in the TLS handshake"),
], ids=["no-tls", "closes", "resets"])
def test_https_handshake_that_fails(answer, error, tmp_path, serve):
    found = check(tmp_path, kind="https", port=serve(answer))
    assert not found["healthy"] and re.fullmatch(error, found["error"])


# --- a real server

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log stderr; events {{}}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:80; listen [::1]:80; listen 127.0.0.1:443 ssl; listen 127.0.0.1:8080 http2;
    ssl_certificate {certificates}/server.pem; ssl_certificate_key {certificates}/server.key;
    location / {{ return 200 "one two three"; }}
    location /sick {{ return 503; }}
  }}
}}
"""


@pytest.fixture
def nginx(network, tmp_path, certificates):
    host = network.namespace("host")
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(dir=tmp_path, certificates=certificates))
    server = host.popen(["nginx", "-c", config, "-e", "stderr"])
    wait_for(lambda: ":443 " in host.run(["ss", "-Hltn"]).stdout, what="nginx")
    return host, server


@pytest.mark.smoke
def test_nginx_that_passes_dies_and_returns(tmp_path, nginx):
    host, server = nginx
    targets = [{"kind": "tcp", "port": 80}, {"kind": "http", "port": 80, "body": "two"},
               {"kind": "http", "port": 80, "address": "::1"}, {"kind": "https", "port": 443, "body": "two"},
               {"kind": "http2", "port": 8080, "body": "two"}]
    with Watch(tmp_path, *targets, namespace=host) as watch:
        def all_are(healthy):
            return watch.lines() and all(target["settled"] and target["healthy"] == healthy
                                         for target in watch.lines()[-1])
        wait_for(lambda: all_are(True), what="all targets healthy")
        server.stop()
        wait_for(lambda: all_are(False), what="all targets unhealthy")
        assert {target["error"] for target in watch.lines()[-1]} == {"connection refused"}
        host.popen(["nginx", "-c", tmp_path / "nginx.conf", "-e", "stderr"])
        wait_for(lambda: all_are(True), what="all targets healthy again")
    found = check(tmp_path, namespace=host, kind="http2", port=8080, path="/sick")
    assert found["error"] == "HTTP status 503, expected 200-299"
