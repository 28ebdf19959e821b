"""A client that says every byte itself, in HTTP/2 frame by frame."""

import socket
import struct

from proxy_site import FRONT

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# :method GET, :scheme http, :path / of the static table, :authority a
GET = b"\x82\x86\x84\x41\x01a"
POST = b"\x83\x86\x84\x41\x01a"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class RawClient:
    """A connection on which a test says every byte."""

    def __init__(self, site, first=PREFACE + frame(SETTINGS)):
        self.socket = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", FRONT))
        self.send(first)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # ended by the proxy: to_end() tells how

    def to_end(self):
        """Everything up to the end of the connection, and whether it ended in order."""
        received = b""
        try:
            while data := self.socket.recv(1 << 16):
                received += data
        except ConnectionResetError:
            return received, False
        return received, True

    def last_goaway(self):
        """(last stream, error code, words) of the last GOAWAY before the connection's end."""
        received, _ = self.to_end()
        found = None
        while len(received) >= 9:
            end = 9 + int.from_bytes(received[:3], "big")
            if received[3] == GOAWAY:
                found = (*struct.unpack(">II", received[9:17]), received[17:end].decode())
            received = received[end:]
        assert found, "the connection ended without a GOAWAY"
        return found
