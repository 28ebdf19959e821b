"""tunnel_probe.py VIP PORT FLOWS SIZE ROUNDS: sends, per round, one UDP packet of SIZE bytes from each of FLOWS source
ports to the VIP, and prints how many of all these packets came back inside GRE, byte for byte.

Runs where the backend is the client itself. Ends when all have come, or 5 seconds after the last one came.
"""

import os
import select
import socket
import struct
import sys

FIRST_SOURCE_PORT = 20000
IN_FLIGHT = 32  # fits the smallest ring
QUIET_S = 5
SO_RCVBUFFORCE = 33  # not in Python's socket module


def payload_of(flow, turn, size):
    return (struct.pack("!II", flow, turn) * (size // 8 + 1))[:size - 28]


class Tunnel:
    """What comes out of it here."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.socket.bind(("eth0", 0x0800))

    def receive(self, timeout_s):
        """The next (source port, payload), or None."""
        while select.select([self.socket], [], [], timeout_s)[0]:
            packet, (_, _, kind, *_) = self.socket.recvfrom(65536)
            if kind == socket.PACKET_OUTGOING or packet[9] != socket.IPPROTO_GRE:
                continue
            inner = packet[20 + 4:struct.unpack("!H", packet[2:4])[0]]
            return struct.unpack("!H", inner[20:22])[0], inner[28:]
        return None


def main():
    vip, port, flows, size, rounds = sys.argv[1], *map(int, sys.argv[2:6])
    tunnel = Tunnel()
    expected = set()
    intact = 0

    def take(limit):
        """Receives until at most `limit` are on their way; False if they do not come."""
        nonlocal intact
        while len(expected) > limit:
            got = tunnel.receive(QUIET_S)
            if got is None:
                return False
            if got in expected:
                expected.remove(got)
                intact += 1
        return True

    senders = []
    for flow in range(flows):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("", FIRST_SOURCE_PORT + flow))
        sender.connect((vip, port))
        senders.append(sender)
    for turn in range(rounds):
        for flow, sender in enumerate(senders):
            payload = payload_of(flow, turn, size)
            expected.add((FIRST_SOURCE_PORT + flow, payload))
            sender.send(payload)
            if not take(IN_FLIGHT):
                print(intact)
                os._exit(0)
    take(0)
    print(intact)


main()
