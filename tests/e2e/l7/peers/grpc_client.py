"""Calls the echo service by Python's gRPC.

    grpc_client.py SCENARIO [HOST:]PORT [WORD...]     prints what it found as one line of JSON

With ECHO_ROOTS in the environment, a file of authorities, by TLS.
"""

import collections
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import grpc

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           # A channel of each script, and no proxy of the environment's.
           ("grpc.enable_http_proxy", 0)]
TIMEOUT_S = 30


class Echo:
    def __init__(self, place):
        place = place if ":" in place else f"127.0.0.1:{place}"
        if roots := os.environ.get("ECHO_ROOTS"):
            self.channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(Path(roots).read_bytes()), options=OPTIONS)
        else:
            self.channel = grpc.insecure_channel(place, options=OPTIONS)

    def __getattr__(self, name):
        kind = {"ServerStream": "unary_stream", "Endless": "unary_stream", "Stream": "unary_stream", "ClientStream": "stream_unary",
                "Bidi": "stream_stream"}.get(name, "unary_unary")
        return getattr(self.channel, kind)(f"/test.Echo/{name}")


def outcome(call):
    """{"code", "details"} of a call that fails; raises when it does not."""
    try:
        call()
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details(),
                "trailing": {name: value for name, value in error.trailing_metadata() if name == "why"}}
    raise AssertionError("the call did not fail")


def unary(echo):
    reply, call = echo.Unary.with_call(b"hello", timeout=TIMEOUT_S,
                                       metadata=(("x-text", "plain"), ("x-data-bin", bytes(range(256)))))
    trailing = dict(call.trailing_metadata())
    return {"reply": reply.decode(), "served_by": dict(call.initial_metadata())["served-by"],
            "text": trailing["trailing-x-text"], "code": call.code().name}


def binary_metadata(echo):
    _, call = echo.Unary.with_call(b"", timeout=TIMEOUT_S, metadata=(("x-data-bin", bytes(range(256))),))
    sent_back = dict(call.trailing_metadata()).get("trailing-x-data-bin", b"")
    return {"same": sent_back == bytes(range(256))}


def large(echo, size):
    body = hashlib.sha256(b"seed").digest() * (int(size) // 32)
    return {"same": echo.Unary(body, timeout=TIMEOUT_S) == body}


def server_stream(echo, count, size):
    got = list(echo.ServerStream(f"{count} {size}".encode(), timeout=TIMEOUT_S))
    return {"count": len(got), "same": got == [bytes([n % 256]) * int(size) for n in range(int(count))]}


def client_stream(echo, count, size, pause_s=0):
    """With `pause_s` the client says nothing for so long before each message."""
    messages = [bytes([n % 256]) * int(size) for n in range(int(count))]

    def one_by_one():
        for message in messages:
            time.sleep(float(pause_s))
            yield message

    reply = echo.ClientStream(one_by_one(), timeout=TIMEOUT_S).decode()
    return {"same": reply == f"{count} {hashlib.sha256(b''.join(messages)).hexdigest()}"}


def bidi(echo, count):
    """Each message is sent only when the one before has come back: both directions have to be open at once."""
    turns = collections.deque([b"0"])

    def messages():
        for number in range(int(count)):
            while len(turns) <= number:
                time.sleep(0.0005)
            yield turns[number]

    replies = []
    for reply in echo.Bidi(messages(), timeout=TIMEOUT_S):
        replies.append(reply)
        turns.append(str(len(replies)).encode())
    return {"same": replies == [str(n).encode() for n in range(int(count))]}


def deadline(echo):
    started = time.monotonic()
    found = outcome(lambda: echo.Sleep(b"", timeout=0.5))
    return found | {"seconds": time.monotonic() - started}


def remaining(echo, timeout_ms):
    return {"ms": int(echo.Remaining(b"", timeout=int(timeout_ms) / 1000))}


def cancel(echo):
    call = echo.Endless(b"", timeout=TIMEOUT_S)
    got = [next(call) for _ in range(3)]
    call.cancel()
    return {"got": len(got), "code": call.code().name, "after": echo.Unary(b"on", timeout=TIMEOUT_S).decode()}


def fail(echo, code, details):
    return outcome(lambda: echo.Fail(f"{code} {details}".encode(), timeout=TIMEOUT_S))


def unknown(echo):
    return outcome(lambda: echo.NoSuchMethod(b"", timeout=TIMEOUT_S))


def spread(echo, count):
    """Calls one after another on one connection; who answered how many."""
    return collections.Counter(echo.Who(b"", timeout=TIMEOUT_S).decode() for _ in range(int(count)))


def at_once(echo, count):
    """That many server streams open at the same time; all of their messages must arrive."""
    calls = [echo.ServerStream(b"20 1000", timeout=TIMEOUT_S) for _ in range(int(count))]
    return {"whole": sum(len(list(call)) == 20 for call in calls)}


def hold(echo, seconds):
    """Calls for so long, at 100 a second; counts who answered, and the errors by their code."""
    ended = collections.Counter()
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        try:
            ended[echo.Who(b"", timeout=TIMEOUT_S).decode()] += 1
        except grpc.RpcError as error:
            ended[error.code().name] += 1
        time.sleep(0.01)
    return ended


def on_demand(echo):
    """Reads numbers from its input, makes so many calls for each, and prints who answered them, or with what error."""
    total = 0
    for line in sys.stdin:
        ended = collections.Counter()
        for _ in range(int(line)):
            try:
                ended[echo.Who(b"", timeout=TIMEOUT_S).decode()] += 1
            except grpc.RpcError as error:
                ended[error.code().name] += 1
        total += ended.total()
        print(json.dumps(ended), flush=True)
    return {"total": total}


def streams(echo, count):
    """That many calls that are answered as a stream, one after another: who answered, and the code if not OK."""
    ended = collections.Counter()
    for _ in range(int(count)):
        names = []
        try:
            names.extend(message.decode() for message in echo.Stream(b"", timeout=TIMEOUT_S))
            ended[names[0]] += 1
        except grpc.RpcError as error:
            ended[" ".join([*names, error.code().name])] += 1
    return ended


SCENARIOS = (unary, binary_metadata, large, server_stream, client_stream, bidi, deadline, remaining, cancel, fail,
             unknown, spread, at_once, hold, on_demand, streams)


def main():
    scenario, place, *words = sys.argv[1:]
    found = {one.__name__: one for one in SCENARIOS}[scenario](Echo(place), *words)
    print(json.dumps(found), flush=True)


main()
