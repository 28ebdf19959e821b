"""A gRPC server with the health service (grpc.health.v1) whose answers a test turns.

    health_server.py PORT NAME DIRECTORY

test.Echo/Who answers NAME; test.Echo/Stream answers a message and then, if DIRECTORY/failing is there, ends with
INTERNAL in its trailers. grpc.health.v1.Health/Check says SERVING of every service SERVICE for which
DIRECTORY/serving-SERVICE is there, NOT_SERVING if DIRECTORY/sick-SERVICE is, and NOT_FOUND otherwise.
"""

import sys
from concurrent import futures
from pathlib import Path

import grpc

NAME, DIRECTORY = sys.argv[2], Path(sys.argv[3])
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def check(request, context):
    # HealthCheckRequest: field 1, a string shorter than 128 bytes.
    service = request[2:].decode()
    if (DIRECTORY / f"serving-{service}").exists():
        return SERVING
    if (DIRECTORY / f"sick-{service}").exists():
        return NOT_SERVING
    context.abort(grpc.StatusCode.NOT_FOUND, f"no service {service!r}")


def who(_request, _context):
    return NAME.encode()


def stream(_request, context):
    yield NAME.encode()
    if (DIRECTORY / "failing").exists():
        context.abort(grpc.StatusCode.INTERNAL, "as the test wants it")


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((
        grpc.method_handlers_generic_handler("test.Echo", {
            "Who": grpc.unary_unary_rpc_method_handler(who),
            "Stream": grpc.unary_stream_rpc_method_handler(stream),
        }),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {
            "Check": grpc.unary_unary_rpc_method_handler(check),
        })))
    server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
