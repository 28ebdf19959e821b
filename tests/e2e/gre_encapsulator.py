"""A balancer of one backend, for tests of the backend alone: packets routed to a TUN device leave in GRE.

    gre_encapsulator.py TUN OUTER_SOURCE OUTER_DESTINATION [KEY]

Makes the device, prints `ready`, and runs until it is stopped.
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TUN = 1
IFF_NO_PI = 0x1000
GRE_KEY = 0x2000
# What fits into a link of 1500 bytes with 40 bytes of IPv6 and 8 of GRE around it.
MTU = 1452


def main(device, source, destination, key=None):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", device, "mtu", str(MTU), "up"], check=True)
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    out = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_GRE)
    out.bind((source, 0))
    print("ready", flush=True)
    while True:
        packet = os.read(tun, 65536)
        protocol = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        if key is None:
            header = struct.pack("!HH", 0, protocol)
        else:
            header = struct.pack("!HHI", GRE_KEY, protocol, int(key))
        out.sendto(header + packet, (destination, 0))


if __name__ == "__main__":
    main(*sys.argv[1:])
