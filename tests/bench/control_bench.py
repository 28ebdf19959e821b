"""The control plane at scale: a real sluiced with 1 000 VIPs, each with its pool of 10 backends, on a port that goes nowhere.

Nothing but the loopback and unix sockets is used. What it answers is timed from outside, what it does inside by its own
metrics."""

import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

VIPS = 1000
BACKENDS_PER_POOL = 10
CHANGES = 20
SCRAPES = 20
START_LIMIT_S = 120


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def services(vips):
    """VIPs and pools as the API takes them."""
    next_hop = {"port": "nowhere", "mac": "02:00:00:00:00:01"}
    return {
        "vips": [{"name": f"vip{i}", "address": f"203.{i >> 8}.{i & 255}.10", "protocol": "tcp", "port": 443,
                  "pool": f"pool{i}"} for i in range(vips)],
        "pools": [{"name": f"pool{i}",
                   "backends": [{"name": f"b{n}", "address": f"10.{i >> 8}.{i & 255}.{n + 1}", "next_hop": next_hop}
                                for n in range(BACKENDS_PER_POOL)]} for i in range(vips)],
    }


class Node:
    """One sluiced in a directory of its own."""

    def __init__(self, program, directory, vips):
        self.directory, self.port = Path(directory), free_port()
        config = {
            "node": {"name": "bench", "run_dir": f"{directory}/run", "state_dir": f"{directory}/state",
                     "cluster_seed": "bench"},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
            "dpdk": {"memory_mb": 64, "huge_pages": True},
            "ports": [{"name": "nowhere", "vdev": "net_ring0"}],
            "workers": {"flow_table_flows": 65536},
            "tunnel": {"source_ipv4": "198.51.100.1"},
        } | services(vips)
        path = self.directory / "sluiced.yaml"
        path.write_text(json.dumps(config))
        self.log = open(self.directory / "log", "wb")
        began = time.monotonic()
        self.process = subprocess.Popen([program, "--config", path], stdout=self.log, stderr=self.log)
        self.wait_until_started()
        self.start_s = time.monotonic() - began

    def wait_until_started(self):
        deadline = time.monotonic() + START_LIMIT_S
        while "event=started" not in (self.directory / "log").read_text(errors="replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("sluiced did not start:\n" + (self.directory / "log").read_text()[-2000:])
            time.sleep(0.005)

    def call(self, method, target, body=None):
        """The answer to one request, and how long it took in milliseconds."""
        connection = UnixConnection(self.directory / "run" / "control.sock")
        began = time.monotonic()
        connection.request(method, target, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        took = (time.monotonic() - began) * 1e3
        connection.close()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {target}: {answer.status} {text[:300]!r}")
        return text, took

    def scrape(self):
        """The text of the metrics, and how long it took in milliseconds."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        began = time.monotonic()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        took = (time.monotonic() - began) * 1e3
        connection.close()
        return text, took

    def metric(self, text, name):
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def memory_mb(self):
        """Resident memory without huge pages, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024 / 1e6

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


def measure_changes(node):
    """One backend's weight, again and again: the whole way, and the table's part of it."""
    fresh(node)
    before, _ = node.scrape()
    took = [node.call("PATCH", "/v1/pools/pool7/backends/b3", {"weight": 50 + i})[1] for i in range(CHANGES)]
    fresh(node)
    after, _ = node.scrape()

    def mean_ms(name):
        return (node.metric(after, f"{name}_sum") - node.metric(before, f"{name}_sum")) / CHANGES * 1e3

    return {"change_ms": statistics.median(took), "change_max_ms": max(took),
            "table_build_ms": mean_ms("sluice_table_build_seconds"),
            "table_publish_ms": mean_ms("sluice_table_publish_seconds")}


def fresh(_):
    """Answers are kept for half a second."""
    time.sleep(0.55)


def measure_scrapes(node):
    took, snapshots, text = [], [], ""
    for _ in range(SCRAPES):
        fresh(node)
        text, ms = node.scrape()
        took.append(ms)
        snapshots.append(node.metric(text, "sluice_metrics_snapshot_seconds") * 1e3)
    return {"scrape_ms": statistics.median(took), "scrape_max_ms": max(took), "scrape_mb": len(text) / 1e6,
            "snapshot_ms": statistics.median(snapshots), "snapshot_max_ms": max(snapshots)}


def measure_whole(node):
    """All services at once: as `sluicectl config apply` sends them, with every pool changed."""
    changed = services(VIPS)
    for pool in changed["pools"]:
        pool["backends"][0]["weight"] = 50
    _, apply_ms = node.call("PUT", "/v1/config", changed)
    _, status_ms = node.call("GET", "/v1/status")
    return {"apply_all_ms": apply_ms, "status_ms": status_ms}


def bench(program):
    """All figures of the control plane but the health checks'."""
    with tempfile.TemporaryDirectory(prefix=f"sluice-{os.getpid()}-") as directory:
        empty = Node(program, Path(directory), 1)
        try:
            small_mb = empty.memory_mb()
        finally:
            empty.stop()
    with tempfile.TemporaryDirectory(prefix=f"sluice-{os.getpid()}-") as directory:
        node = Node(program, Path(directory), VIPS)
        try:
            text, _ = node.scrape()
            figures = {"vips": VIPS, "backends": VIPS * BACKENDS_PER_POOL, "start_s": node.start_s,
                       "first_table_build_ms": node.metric(text, "sluice_table_build_seconds_sum") * 1e3,
                       "memory_mb": node.memory_mb(), "memory_one_vip_mb": small_mb}
            figures |= measure_changes(node)
            figures |= measure_scrapes(node)
            figures |= measure_whole(node)
            figures["memory_after_mb"] = node.memory_mb()
        finally:
            node.stop()
    return figures


ROWS = [
    ("start until it answers", "start_s", "s"),
    ("first table: build", "first_table_build_ms", "ms"),
    ("one backend changed by API: until confirmed, median", "change_ms", "ms"),
    ("  the slowest", "change_max_ms", "ms"),
    ("  of that: build of the table, mean", "table_build_ms", "ms"),
    ("  of that: publish, until no worker holds the old one, mean", "table_publish_ms", "ms"),
    ("all pools changed by one request", "apply_all_ms", "ms"),
    ("whole report, sluicectl status", "status_ms", "ms"),
    ("metrics: scrape, median", "scrape_ms", "ms"),
    ("  the slowest", "scrape_max_ms", "ms"),
    ("  of that on the control thread, median", "snapshot_ms", "ms"),
    ("  text", "scrape_mb", "MB"),
    ("memory with all services", "memory_mb", "MB"),
    ("  with one VIP", "memory_one_vip_mb", "MB"),
    ("  after all changes", "memory_after_mb", "MB"),
]


def show(figures):
    """Prints the table."""
    print(f"Control plane, {figures['vips']} VIPs with {figures['backends']} backends")
    for title, key, unit in ROWS:
        print(f"  {title:<62}{figures[key]:>10.1f} {unit}")


HEALTH_ROWS = [("checks per second", "checks_per_s"), ("  wanted", "wanted_per_s"), ("CPU, percent of a core", "cpu_percent"),
               ("  microseconds per check", "cpu_us_per_check"), ("latency in microseconds, median", "latency_us_median"),
               ("  99 of 100 below", "latency_us_p99"), ("failures", "failures")]


def show_health(figures):
    """Prints the table of the health checks."""
    print(f"Health checks, {figures['backends']} by TCP every {figures['interval_ms']} ms on one thread")
    for title, key in HEALTH_ROWS:
        print(f"  {title:<62}{figures[key]:>10.1f}")
