"""An endpoint that sends exactly what a test tells it, byte for byte."""

import base64
import hashlib
import re
import socket
import struct

TIMEOUT_S = 20
RECEIVE_BYTES = 1 << 16
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3

# HTTP/2 (RFC 9113 section 6).
DATA, HEADERS, SETTINGS, GOAWAY = 0, 1, 4, 7
END_STREAM, END_HEADERS = 1, 4
OK = b"\x88"  # :status 200 in HPACK's static table


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


class RawServer:
    """Listens at .port in the site's namespace."""

    def __init__(self, site):
        self.socket = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.port = self.socket.getsockname()[1]

    def accept(self):
        return RawConnection(self.socket.accept()[0])


class RawConnection:
    """What the proxy has sent is in .received."""

    def __init__(self, accepted):
        self.socket = accepted
        self.socket.settimeout(TIMEOUT_S)
        self.received = b""

    def send(self, data):
        self.socket.sendall(data)

    def read_until(self, wanted):
        """Raises TimeoutError, or ConnectionError when the proxy ends the connection before."""
        while wanted not in self.received:
            if not (data := self.socket.recv(RECEIVE_BYTES)):
                raise ConnectionError(f"ended before {wanted}")
            self.received += data

    def read_to_end(self):
        while data := self.socket.recv(RECEIVE_BYTES):
            self.received += data
        return self.received

    def websocket_accept(self):
        """The answer to the key in the request that has come."""
        key = re.search(rb"sec-websocket-key: (\S+)", self.received)[1].decode()
        return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest())

    def close(self):
        self.socket.close()


def connect(site, port):
    """A client that sends exactly what it is told."""
    client = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.connect(("127.0.0.1", port))
    return RawConnection(client)
