"""Small servers on the loopback that do what no real one does on demand: refuse, hang, answer wrongly, die midway."""

import socket
import struct
import threading
import time


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
