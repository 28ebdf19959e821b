"""HTTP/2 and gRPC checks, against nghttpd, gRPC's own server and servers that misbehave."""

import re
from concurrent import futures

import grpc
import pytest

from broken_servers import H2_RESET, H2_SETTINGS, H2_STATUS_200, say, say_and_hang, say_and_reset
from health_watch import NO_ANSWER, check
from netns import wait_for

pytestmark = pytest.mark.control


@pytest.mark.parametrize("kind", ["http2", "grpc"])
@pytest.mark.parametrize("answer, error", [
    (say(b"HTTP/1.1 400 Bad Request\r\n\r\n"), r"the server speaks HTTP/1, not HTTP/2"),
    (say(b"220 mail.example ESMTP\r\n"), r"answer is not HTTP/2"),
    (say(H2_SETTINGS), r"connection closed before an answer"),
    (say_and_reset(H2_SETTINGS), r"connection reset before an answer"),
    (say_and_hang(H2_SETTINGS), NO_ANSWER),
    (say_and_hang(H2_SETTINGS + H2_RESET), r"HTTP/2 stream reset before an answer: REFUSED_STREAM"),
], ids=["http1", "smtp", "closes", "resets", "hangs", "refuses"])
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
], ids=["server", "service", "not-serving", "outside-the-protocol", "unknown-service", "busy"])
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
], ids=["status", "body", "other-body", "other-status"])
def test_http2_answers_of_nghttpd(target, error, tmp_path, nghttpd):
    found = check(tmp_path, namespace=nghttpd[0], kind="http2", port=8080, **target)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_http2_of_a_server_that_is_no_grpc_server(tmp_path, nghttpd):
    found = check(tmp_path, namespace=nghttpd[0], kind="grpc", port=8080)
    assert (found["healthy"], found["error"]) == (False, "HTTP status 404, expected 200 from a gRPC server")
