"""Opens N HTTP/2 connections to PORT of 127.0.0.1 and keeps them until its input ends.

    idle_connections.py PORT N [SOURCE]

SOURCE is the address that they come from: one address has some 28 000 ports for them.
Each sends preface and SETTINGS, waits for the server's SETTINGS and acknowledges them; then it prints `idle`. A line
of input makes each connection send one GET and read the answer to its end; then it prints `answered`.
"""

import resource
import select
import socket
import struct
import sys

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
ACK = END_STREAM = 1
END_HEADERS = 4
TIMEOUT_S = 30
# :method GET, :scheme http and :path / from the static table; :authority as a literal that no table keeps.
GET = b"\x82\x86\x84\x01\x09localhost"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class Connection:
    """One client connection; what has arrived and is not a whole frame yet waits in `unread`."""

    def __init__(self, port, source):
        self.socket = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
        self.unread = b""
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0))

    def frames(self):
        """Reads what is there; yields (type, flags)."""
        received = self.socket.recv(65536)
        if not received:
            sys.exit("the proxy has closed a connection")
        self.unread += received
        while len(self.unread) >= 9:
            size = int.from_bytes(self.unread[:3], "big")
            if len(self.unread) < 9 + size:
                return
            kind, flags = self.unread[3], self.unread[4]
            payload, self.unread = self.unread[9:9 + size], self.unread[9 + size:]
            if kind == SETTINGS and not flags & ACK:
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            if kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            yield kind, flags


def wait_for_all(connections, wanted):
    """Reads on all connections until each has had a frame for which `wanted(type, flags)` holds."""
    poll = select.poll()
    by_file = {connection.socket.fileno(): connection for connection in connections}
    for file in by_file:
        poll.register(file, select.POLLIN)
    waiting = set(by_file)
    while waiting:
        ready = poll.poll(TIMEOUT_S * 1000)
        if not ready:
            sys.exit(f"{len(waiting)} connections got no answer in {TIMEOUT_S} s")
        for file, _ in ready:
            if any([wanted(*one) for one in by_file[file].frames()]):
                waiting.discard(file)


def main():
    port, count = map(int, sys.argv[1:3])
    source = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    connections = [Connection(port, source) for _ in range(count)]
    wait_for_all(connections, lambda kind, flags: kind == SETTINGS and flags & ACK)
    print("idle", flush=True)
    for _ in sys.stdin:
        for connection in connections:
            connection.socket.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, GET))
        wait_for_all(connections, lambda kind, flags: kind in (DATA, HEADERS) and flags & END_STREAM)
        print("answered", flush=True)


main()
