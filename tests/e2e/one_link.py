"""A node and its neighbour on one link: the neighbour is client, router and backend at once.

    client 10.9.0.2 --UDP to the VIP--> sluiced 10.9.0.1 --GRE--> backend 10.9.0.2

Enough where the port is what is tested, not what lies behind it.
"""

import json
import os
from pathlib import Path

from netns import End, link, wait_for

VIP = "203.0.113.10"
PORT = 9000
NODE, NEIGHBOUR = "10.9.0.1", "10.9.0.2"
HERE = Path(__file__).resolve().parent


class OneLink:
    def __init__(self, network, build, *, mtu=1500, queues=1):
        self.build = build
        self.node, self.neighbour = network.namespace("node"), network.namespace("neighbour")
        self.directory = network.directory / "node"
        self.directory.mkdir()
        self.config_path = self.directory / "sluiced.yaml"
        self.run_dir = self.directory / "run"
        # AF_XDP would receive the neighbour's packets with half-made checksums.
        link(End(self.node, "eth0", [f"{NODE}/24"]), End(self.neighbour, "eth0", [f"{NEIGHBOUR}/24"], tx_offload=False),
             mtu=mtu, queues=queues)
        self.neighbour.ip("route", "add", f"{VIP}/32", "via", NODE)
        self.process = None

    def write(self, *, node=None, dpdk=None, port=None, ports=None, workers=None, backend=None, pool=None, extra=None,
              path=None):
        """Writes a config file that works, with these changes; a value of None takes a field out."""
        config = {
            "node": {"run_dir": str(self.run_dir), "state_dir": str(self.directory / "state"), "cluster_seed": "seed"}
                    | (node or {}),
            "dpdk": {"memory_mb": 64} | (dpdk or {}),
            "ports": ports or [{"name": "wan", "af_xdp": "eth0"} | (port or {})],
            "workers": {"flow_table_flows": 65536} | (workers or {}),
            "tunnel": {"source_ipv4": NODE},
            "vips": [{"name": "echo", "address": VIP, "protocol": "udp", "port": PORT, "pool": "echo"}],
            "pools": [{"name": "echo", "backends": [{"name": "b1", "address": NEIGHBOUR} | (backend or {})]}
                      | (pool or {})],
        } | (extra or {})
        # JSON is YAML.
        text = json.dumps(without_none(config), indent=1)
        (path or self.config_path).write_text(text)

    def sluiced(self, *, path=None, prefix=(), program=None):
        """Runs sluiced, which has to end by itself; returns CompletedProcess."""
        return self.node.run([*prefix, program or self.build / "control" / "sluiced", "--config",
                              path or self.config_path], check=False, timeout_s=30)

    def start(self, *, prefix=(), program=None):
        """Starts sluiced and waits until it knows the way to the backend."""
        self.process = self.node.popen([*prefix, program or self.build / "control" / "sluiced", "--config",
                                        self.config_path])
        wait_for(self._is_ready, 30, "sluiced to be ready")

    def _is_ready(self):
        self.process.require_running()
        return all(backend["resolved"] for backend in self.status()["backends"])

    def status(self):
        return json.loads(self.node.run([self.build / "control" / "sluicectl", "--socket",
                                         self.run_dir / "control.sock", "status", "--json"]).stdout)

    def probe(self, *, flows=20, size=200, rounds=1):
        """Sends UDP packets of `size` bytes to the VIP, and returns how many came through the tunnel unchanged."""
        done = self.neighbour.run(["/usr/bin/python3", HERE / "tunnel_probe.py", VIP, PORT, flows, size, rounds])
        return int(done.stdout)

    def traces(self):
        """What sluiced may have left, on the node and on the machine; empty if nothing."""
        found = [str(path) for path in self.run_dir.rglob("*") if not path.is_dir()] if self.run_dir.exists() else []
        eth0 = json.loads(self.node.ip("-j", "-d", "link", "show", "dev", "eth0"))[0]
        found += ["XDP program"] if "xdp" in eth0 else []
        found += ["promiscuous mode"] if eth0["promiscuity"] else []
        found += [device["ifname"] for device in json.loads(self.node.ip("-j", "link", "show"))
                  if device["ifname"] not in ("lo", "eth0")]
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " hugetlbfs " in line]
        for place in [*mounts, "/sys/fs/bpf"]:
            found += [str(path) for path in Path(place).rglob("*") if "sluice" in path.name]
        return found


def without_none(value):
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    return [without_none(item) for item in value] if isinstance(value, list) else value


def cpu_ticks(pid):
    """User and system time of a process, in clock ticks (SC_CLK_TCK a second)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(") ", 1)[1].split()
    return int(fields[11]) + int(fields[12])


TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
