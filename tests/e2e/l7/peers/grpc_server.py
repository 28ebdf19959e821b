"""The echo service, by Python's gRPC.

    grpc_server.py PORT NAME [CERTIFICATE KEY]     with these two, by TLS

Messages are bytes as they are, so no generated code is needed. Writes a line for each call that a client has given up.
"""

import hashlib
import sys
import threading
from concurrent import futures
from pathlib import Path

import grpc

NAME = sys.argv[2]


def given_up(context, method):
    """An event that is set when the call is over for the client; says so if it came before our answer."""
    over = threading.Event()

    def note():
        if context.code() is None:
            print(f"given up: {method}", flush=True)
        over.set()

    context.add_callback(note)
    return over


def unary(request, context):
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("served-by", NAME),))
    context.set_trailing_metadata(tuple((f"trailing-{name}", sent[name]) for name in ("x-text", "x-data-bin")
                                        if name in sent))
    return request


def who(_request, _context):
    return NAME.encode()


def remaining(_request, context):
    """The milliseconds that the caller still gives."""
    left = context.time_remaining()
    return str(int(left * 1000) if left is not None and left < 1e6 else -1).encode()


def fail(request, context):
    code, details = request.decode().split(" ", 1)
    context.set_trailing_metadata((("why", "asked for"),))
    context.abort(next(one for one in grpc.StatusCode if one.value[0] == int(code)), details)


def sleep(_request, context):
    given_up(context, "Sleep").wait(60)
    return b""


def server_stream(request, _context):
    count, size = map(int, request.split())
    for number in range(count):
        yield bytes([number % 256]) * size


def endless(_request, context):
    over = given_up(context, "Endless")
    while not over.wait(0.001):
        yield b"again"


def client_stream(requests, _context):
    digest, count = hashlib.sha256(), 0
    for message in requests:
        digest.update(message)
        count += 1
    return f"{count} {digest.hexdigest()}".encode()


def bidi(requests, _context):
    yield from requests


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Who": grpc.unary_unary_rpc_method_handler(who),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
    "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
    "Bidi": grpc.stream_stream_rpc_method_handler(bidi),
}


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16),
                         options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", METHODS),))
    if len(sys.argv) > 3:
        certificate, key = (Path(name).read_bytes() for name in sys.argv[3:])
        server.add_secure_port(f"0.0.0.0:{sys.argv[1]}", grpc.ssl_server_credentials([(key, certificate)]))
    else:
        server.add_insecure_port(f"0.0.0.0:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


main()
