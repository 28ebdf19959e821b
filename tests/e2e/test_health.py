"""Each kind of health check against a server that passes, refuses, hangs, answers wrongly and dies midway.

Real servers (nginx, nghttpd, gRPC) where there is one, small misbehaving ones on the loopback otherwise.
"""

import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
from concurrent import futures

import grpc
import pytest

import netns
from conftest import ROOT
from netns import End, wait_for

pytestmark = pytest.mark.control

NO_ANSWER = r"no answer within 500 ms"


# --- the program under test

def watch_command(*targets):
    program = ROOT / os.environ.get("SLUICE_BUILD", "build") / "tests" / "e2e" / "health_watch"
    assert program.exists(), f"{program} is not there: build first"
    return [program, *(json.dumps({"address": "127.0.0.1", **target}) for target in targets)]


class Watch:
    """health_watch on some targets."""

    def __init__(self, directory, *targets, namespace=None, env=None):
        self.log = directory / f"watch-{time.monotonic_ns()}.log"
        command = watch_command(*targets)
        self.process = netns.Process(namespace.enter(command) if namespace else command, self.log, env=env)

    def lines(self):
        self.process.require_running()
        return [json.loads(line) for line in self.process.output().splitlines(keepends=True)
                if line.startswith("[{") and line.endswith("\n")]

    def wait(self, **expected):
        """Until the first target has these values; returns all of its values."""
        def as_expected():
            latest = self.lines()[-1][0] if self.lines() else {}
            return latest if expected.items() <= latest.items() else None
        return wait_for(as_expected, what=f"{expected}")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        status = self.process.stop()
        # What a sanitizer finds at the end is a failure too.
        assert failure or status == 0, f"health_watch ended with status {status}:\n{self.process.output()}"


def check(directory, namespace=None, env=None, **target):
    """What the first check finds."""
    with Watch(directory, target, namespace=namespace, env=env) as watch:
        return watch.wait(settled=True)


# --- servers that misbehave

class Server:
    """Listens on 127.0.0.1 and gives every connection to `talk`, in a thread of its own."""

    def __init__(self, talk, tls=None):
        self.talk = talk
        self.tls = tls
        self.ended = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        try:
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self.talk(self, connection)
        except OSError:
            pass
        finally:
            connection.close()

    def close(self):
        self.ended.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def hang(server, connection):
    """Takes what comes and says nothing."""
    connection.settimeout(0.1)
    while not server.ended.is_set():
        try:
            if connection.recv(4096) == b"":
                return
        except TimeoutError:
            pass


def say(answer):
    """Reads a request, answers and closes in order."""
    def talk(_, connection):
        connection.recv(4096)
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    return talk


def say_and_reset(answer):
    """Reads a request, begins to answer and dies."""
    def talk(_, connection):
        connection.recv(4096)
        connection.sendall(answer)
        time.sleep(0.05)  # a reset right behind the data would overtake it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return talk


def say_and_hang(answer):
    def talk(server, connection):
        connection.recv(4096)
        connection.sendall(answer)
        hang(server, connection)
    return talk


def http(status="200 OK", body=b"", length=None):
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (
        status.encode(), len(body) if length is None else length, body)


H2_SETTINGS = bytes.fromhex("000000040000000000")
H2_STATUS_200 = bytes([0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88])  # HEADERS, END_HEADERS, stream 1, ":status: 200" indexed
H2_RESET = bytes.fromhex("000004030000000001") + struct.pack(">I", 7)  # RST_STREAM, REFUSED_STREAM


@pytest.fixture
def serve():
    """serve(talk) starts a Server and returns its port."""
    servers = []

    def start(talk, **options):
        servers.append(Server(talk, **options))
        return servers[-1].port
    yield start
    for server in servers:
        server.close()


@pytest.fixture
def refusing_port():
    """A port that is taken, so that nobody else gets it, and refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port whose SYNs are not answered: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        full = []
        for _ in range(3):
            full.append(socket.socket())
            full[-1].setblocking(False)
            full[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for connection in full:
            connection.close()


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
], ids=lambda value: None if callable(value) else str(value)[:40])
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

@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority (ca.pem) and what it has signed: server.pem and server.key for service.test and 127.0.0.1."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=service.test")
    (directory / "names").write_text("subjectAltName=DNS:service.test,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "server.pem", "-extfile", "names")
    return directory


@pytest.fixture
def tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


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
], ids=lambda value: None if callable(value) else str(value)[:40])
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
])
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
], ids=["no TLS", "closes", "resets"])
def test_https_handshake_that_fails(answer, error, tmp_path, serve):
    found = check(tmp_path, kind="https", port=serve(answer))
    assert not found["healthy"] and re.fullmatch(error, found["error"])


# --- HTTP/2 and gRPC

@pytest.mark.parametrize("kind", ["http2", "grpc"])
@pytest.mark.parametrize("answer, error", [
    (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), r"the server speaks HTTP/1, not HTTP/2"),
    (say(b"220 mail.example ESMTP\r\n"), r"answer is not HTTP/2"),
    (say(H2_SETTINGS), r"connection closed before an answer"),
    (say_and_reset(H2_SETTINGS), r"connection reset before an answer"),
    (say_and_hang(H2_SETTINGS), NO_ANSWER),
    (say_and_hang(H2_SETTINGS + H2_RESET), r"HTTP/2 stream reset before an answer: REFUSED_STREAM"),
], ids=["HTTP/1", "SMTP", "closes", "resets", "hangs", "refuses"])
def test_http2_server_that_misbehaves(kind, answer, error, tmp_path, serve):
    found = check(tmp_path, kind=kind, port=serve(answer))
    assert not found["healthy"] and re.fullmatch(error, found["error"])


def test_http2_server_that_dies_in_the_answer(tmp_path, serve):
    answer = say_and_reset(H2_SETTINGS + H2_STATUS_200)
    found = check(tmp_path, kind="http2", port=serve(answer), body="two")
    assert (found["healthy"], found["error"]) == (False, "connection reset in the middle of the answer")
    # Where the body does not matter, the status has said it all.
    assert check(tmp_path, kind="http2", port=serve(answer))["healthy"]


def test_grpc_server_that_dies_in_the_answer(tmp_path, serve):
    found = check(tmp_path, kind="grpc", port=serve(say_and_reset(H2_SETTINGS + H2_STATUS_200)))
    assert (found["healthy"], found["error"]) == (False, "connection reset in the middle of the answer")


def health_service(statuses):
    """grpc.health.v1.Health without generated code; `statuses`: {service: serving status}."""
    def answer(request, context):
        service = request[2:].decode() if request else ""
        if service not in statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        status = statuses[service]
        if callable(status):
            return status(context)
        return bytes([8, status])
    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(answer)})


@pytest.fixture
def grpc_port():
    """A gRPC server without services until they are added: (port, server)."""
    servers = []

    def start(*handlers):
        server = grpc.server(futures.ThreadPoolExecutor(2), handlers=handlers)
        servers.append(server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return port
    yield start
    for server in servers:
        server.stop(None)


@pytest.mark.parametrize("service, error", [
    ("", ""),
    ("shop.Cart", ""),
    ("shop.Down", "gRPC health of service 'shop.Down' is NOT_SERVING"),
    ("shop.Odd", "gRPC health of service 'shop.Odd' is outside the protocol"),
    ("shop.None", "gRPC status NOT_FOUND: the server does not know service 'shop.None'"),
    ("shop.Busy", "gRPC status RESOURCE_EXHAUSTED: too many"),
])
def test_grpc_answers(service, error, tmp_path, grpc_port):
    def busy(context):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
    port = grpc_port(health_service({"": 1, "shop.Cart": 1, "shop.Down": 2, "shop.Odd": 9, "shop.Busy": busy}))
    found = check(tmp_path, kind="grpc", port=port, grpc_service=service)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_grpc_server_without_health_service(tmp_path, grpc_port):
    found = check(tmp_path, kind="grpc", port=grpc_port())
    assert (found["healthy"], found["error"]) == (
        False, "gRPC status UNIMPLEMENTED: the server has no grpc.health.v1.Health")


@pytest.fixture
def nghttpd(network, tmp_path):
    host = network.namespace("host")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "index.html").write_text("one two three")
    server = host.popen(["nghttpd", "--no-tls", "-d", tmp_path / "root", "8080"])
    wait_for(lambda: "8080" in host.run(["ss", "-Hltn"]).stdout, what="nghttpd")
    return host, server


@pytest.mark.parametrize("target, error", [
    ({}, ""),
    ({"body": "two"}, ""),
    ({"body": "four"}, "body does not contain 'four', it begins with 'one two three'"),
    ({"path": "/none"}, "HTTP status 404, expected 200-299"),
])
def test_http2_answers_of_nghttpd(target, error, tmp_path, nghttpd):
    found = check(tmp_path, namespace=nghttpd[0], kind="http2", port=8080, **target)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_http2_of_a_server_that_is_no_grpc_server(tmp_path, nghttpd):
    found = check(tmp_path, namespace=nghttpd[0], kind="grpc", port=8080)
    assert (found["healthy"], found["error"]) == (False, "HTTP status 404, expected 200 from a gRPC server")


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


# --- UDP

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
], ids=["expected", "any answer", "silence", "empty datagram", "wrong", "hangs"])
def test_udp_answers(target, answer, error, tmp_path, udp_server):
    found = check(tmp_path, kind="udp", port=udp_server(answer), **target)
    assert (found["healthy"], found["error"]) == (error == "", error)


@pytest.mark.parametrize("expected", ["", "pong"])
def test_udp_port_without_a_server(expected, tmp_path, network):
    host = network.namespace("host")
    found = check(tmp_path, namespace=host, kind="udp", port=9, udp_payload="ping", udp_expected=expected)
    assert (found["healthy"], found["error"]) == (False, "port unreachable (ICMP): nothing listens there")


# --- ICMP

@pytest.mark.parametrize("groups", ["1 0", "0 2147483647"], ids=["raw", "ping socket"])
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


# --- external

@pytest.fixture
def program(tmp_path):
    """program(text): a shell script; returns its path."""
    def write(text):
        path = tmp_path / "check.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)
    return write


@pytest.mark.parametrize("text, error", [
    ("exit 0", ""),
    ("echo fine; exit 0", ""),
    ("exit 3", "exit status 3"),
    ("echo; echo 'disk \"sda\" full'; echo more; exit 1", "exit status 1: disk 'sda' full"),
    ("echo no such table >&2; exit 2", "exit status 2: no such table"),
    ("yes | head -c 1000000; exit 1", "exit status 1: y"),
    ("kill -SEGV $$", "ended by signal 11 (Segmentation fault)"),
    ("sleep 60", "no end of the program within 500 ms"),
    ("trap '' TERM; echo begun; sleep 60", "no end of the program within 500 ms"),
])
def test_external_programs(text, error, tmp_path, program):
    found = check(tmp_path, kind="external", command=[program(text)], port=80)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_external_program_knows_what_to_check(tmp_path, program):
    found = check(tmp_path, kind="external", backend="web1", port=80, env={**os.environ, "SLUICE_PORT": "other"},
                  command=[program('echo "$SLUICE_POOL $SLUICE_BACKEND $SLUICE_ADDRESS $SLUICE_PORT $*"; exit 1'),
                           "a b", "c"])
    assert found["error"] == "exit status 1: 0 web1 127.0.0.1 80 a b c"


def test_external_program_that_is_not_there(tmp_path):
    found = check(tmp_path, kind="external", command=["/nonexistent/check"])
    assert found["error"] == "cannot start '/nonexistent/check': No such file or directory"


@pytest.mark.parametrize("ending", ["sleep 62", "exit 0"], ids=["at the time-out", "at its end"])
def test_external_program_is_killed_with_its_children(ending, tmp_path, program):
    # The shell, and what it has put into the background.
    pids = tmp_path / "pids"
    command = program(f"echo $$ >> {pids}; sleep 61 & echo $! >> {pids}; {ending}")
    with Watch(tmp_path, {"kind": "external", "command": [command], "interval_ms": 60000}) as watch:
        assert watch.wait(settled=True)["healthy"] == (ending == "exit 0")

        def all_gone():
            return not any(os.path.exists(f"/proc/{pid}") for pid in pids.read_text().split())
        wait_for(all_gone, what="the end of all its processes")
        assert len(pids.read_text().split()) == 2


def test_external_program_gets_no_descriptors_of_ours(tmp_path, program, serve):
    command = program("ls /proc/self/fd | tr '\\n' ' '; exit 1")
    with Watch(tmp_path, {"kind": "external", "command": [command]},
               {"kind": "http", "port": serve(hang), "timeout_ms": 3000}) as watch:
        # 3 is the folder that ls reads, opened by the shell's child itself.
        assert watch.wait(settled=True)["error"].split() == "exit status 1: 0 1 2 3".split()
