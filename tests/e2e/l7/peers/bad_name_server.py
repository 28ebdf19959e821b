"""A name server that answers every question with something that is no answer. Arguments: port, seed."""

import random
import socket
import struct
import sys

# What is wrong with an answer, in turn; "none" is no answer at all.
KINDS = ["empty", "noise", "header", "counts", "loop", "cut", "lengths", "none", "other-question", "bits", "srv"]


def answer(kind, query, rng):
    """`query` is a question as it came; its header and its question are given back where that helps."""
    identity, question = query[:2], query[12:]
    def head(answers):
        return identity + struct.pack("!HHHHH", 0x8180, 1, answers, 0, 0)

    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 9])
    if kind == "empty":
        return b""
    if kind == "noise":
        return bytes(rng.randrange(256) for _ in range(rng.randrange(1, 600)))
    if kind == "header":
        return identity + bytes(rng.randrange(256) for _ in range(rng.randrange(0, 12)))
    if kind == "counts":
        return identity + struct.pack("!HHHHH", 0x8180, 1, 65535, 65535, 65535) + question + record
    if kind == "loop":
        at = 12 + len(question)
        return head(1) + question + struct.pack("!H", 0xC000 | at) + record[2:]
    if kind == "cut":
        whole = head(3) + question + 3 * record
        return whole[:rng.randrange(12, len(whole))]
    if kind == "lengths":
        return head(1) + question + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 65000) + bytes(4)
    if kind == "other-question":
        return head(1) + b"\x05other\x04test\x00" + question[-4:] + record
    if kind == "bits":
        whole = bytearray(head(2) + question + 2 * record)
        for _ in range(rng.randrange(1, 8)):
            whole[rng.randrange(2, len(whole))] ^= 1 << rng.randrange(8)
        return bytes(whole)
    if kind == "srv":
        data = struct.pack("!HHH", 0, 0, 0) + b"\x3f" + bytes(10)
        return head(1) + question + b"\xc0\x0c" + struct.pack("!HHIH", 33, 1, 0xFFFFFFFF, len(data)) + data
    return None


def main():
    rng = random.Random(int(sys.argv[2]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", int(sys.argv[1])))
        print("ready", flush=True)
        number = 0
        while True:
            query, client = server.recvfrom(4096)
            reply = answer(KINDS[number % len(KINDS)], query, rng)
            number += 1
            print(number, flush=True)
            if reply is not None:
                server.sendto(reply, client)


main()
