"""Sends one request after the other to PORT until it gets SIGTERM; prints how they ended.

    requests_until.py PORT once     each on a connection of its own
    requests_until.py PORT keep     on one connection, until an answer says that it was the last one there

`{"200": 1234}` is the aim; whatever else happened stands beside it by its name: "ConnectionRefusedError", "no answer".
"""

import collections
import json
import signal
import socket
import sys
import time

TIMEOUT_S = 10
KEEP_PAUSE_S = 0.005
REQUEST = b"GET /who HTTP/1.1\r\nHost: test\r\n%s\r\n"


def answer(client):
    """An answer's head; its body is as long as it says."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = client.recv(4096)
        if not part:
            return "no answer", True
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += client.recv(4096)
    return head.split()[1].decode(), fields.get(b"connection") == b"close"


def asked(port, keep):
    """How requests end, one by one."""
    while True:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            last = False
            while not last:
                client.sendall(REQUEST % (b"" if keep else b"Connection: close\r\n"))
                status, last = answer(client)
                yield status
                if keep:
                    time.sleep(KEEP_PAUSE_S)


def main():
    going = True

    def stop(*_):
        nonlocal going
        going = False

    signal.signal(signal.SIGTERM, stop)
    ended = collections.Counter()
    requests = asked(int(sys.argv[1]), sys.argv[2] == "keep")
    while going:
        try:
            ended[next(requests)] += 1
        except OSError as error:
            ended[type(error).__name__] += 1
            requests = asked(int(sys.argv[1]), sys.argv[2] == "keep")
    print(json.dumps(ended), flush=True)


main()
