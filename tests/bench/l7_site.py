"""What the L7 benchmark runs: servers and clients on one core, each proxy on the other, all in one network namespace."""

import math
import re
import string
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "e2e")]

from netns import Network, run, wait_for  # noqa: E402

PROXY_CORE, OTHERS_CORE = "0", "1"
# Of an answer, and of a gRPC message; what a stream carries in each direction.
BODY_BYTES, STREAM_BYTES = 100, 64 << 10
SERVERS_PER_KIND = 3
# What the servers of each kind are told besides the port.
SERVER_KINDS = {"page": [], "grpc": ["--trailer=grpc-status: 0"], "echo": ["--echo-upload"],
                "grpc stream": ["--echo-upload", "--trailer=grpc-status: 0"]}
# What the configs say, at "tls" and "tls_files", where clients speak TLS and where they do not.
TLS = {
    "sluice": (", tls: {certificates: [{certificate: $certificate, key: $key}]}", ""),
    "haproxy": ("ssl crt $both alpn h2", ""),
    "nghttpx": ("", "private-key-file=$key\ncertificate-file=$certificate"),
    "nginx": ("ssl", "ssl_certificate $certificate; ssl_certificate_key $key; ssl_protocols TLSv1.2 TLSv1.3;"),
}
CLEARTEXT = {"sluice": ("", ""), "haproxy": ("proto h2", ""), "nghttpx": (";no-tls", ""), "nginx": ("", "")}


class LoadFailed(Exception):
    """A measurement that says nothing, because requests failed; the text is what the client printed."""


@dataclass
class Shape:
    """One way to load a proxy: `connections` of `streams` requests at a time each."""

    name: str
    connections: int
    streams: int
    servers: str = "page"
    fields: int = 0
    body_bytes: int = 0
    tls: bool = False

    @property
    def is_plain(self):
        """Whether it is one of those that are compared first: pages of 100 bytes and the fields of a simple client."""
        return self.servers == "page" and not self.fields


SHAPES = [*(Shape(f"{connections}x{streams}", connections, streams, tls=tls)
            for tls in (False, True) for connections, streams in ((16, 100), (64, 10), (256, 1))),
          Shape("16x100, 20 fields", 16, 100, fields=20),
          Shape("16x100, gRPC unary", 16, 100, servers="grpc", body_bytes=BODY_BYTES),
          Shape("16x10, gRPC stream of 64 KB both ways", 16, 10, servers="grpc stream", body_bytes=STREAM_BYTES),
          Shape("16x10, 64 KB both ways", 16, 10, servers="echo", body_bytes=STREAM_BYTES)]


class Proxy:
    """A proxy under test, in front of the three servers of one kind."""

    def __init__(self, site, name, servers, *, tls=False, counted=False, more="", **more_places):
        """`more` is added to its configuration; `more_places` are the values of further names there."""
        self.site, self.name, self.port = site, name, next(site.ports)
        self.scheme = "https" if tls else "http"
        self.directory = site.network.directory / f"{name}-{self.port}"
        self.directory.mkdir()
        self.allocations_path = self.directory / "allocations"
        self.allocations_path.write_bytes(bytes(8))
        template, command = site.proxies[name]
        config = self.directory / template
        places = {f"backend{n}": port for n, port in enumerate(site.server_ports[servers], 1)}
        listen, files = (string.Template(text).substitute(site.certificate) for text in (TLS if tls else CLEARTEXT)[name])
        config.write_text(string.Template((HERE / "l7" / template).read_text() + more).substitute(
            places | more_places, port=self.port, directory=self.directory, tls=listen, tls_files=files))
        env = ["env", f"LD_PRELOAD={site.counter_library}", f"SLUICE_ALLOCATION_COUNT={self.allocations_path}"]
        self.process = site.namespace.popen(
            ["taskset", "-c", PROXY_CORE, *(env if counted else []),
             *(word.format(config=config) for word in command)])
        wait_for(self._serves, 10, f"{name} to serve")

    def _serves(self):
        self.process.require_running()
        return self.site.namespace.run(["curl", "-sfk", "-m", "2", "--http2-prior-knowledge",
                                        f"{self.scheme}://127.0.0.1:{self.port}/"], check=False).returncode == 0

    def cpu_seconds(self):
        """CPU time of all its threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def resident_bytes(self):
        """Its own memory: what it shares with others (files, libraries) does not grow with connections."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024

    def allocations(self):
        """Calls of the allocator so far; only of a counted one."""
        return int.from_bytes(self.allocations_path.read_bytes(), "little")


class Load:
    """What h2load said of one run: `requests` that were answered well, in `seconds`, at `latencies_us` if logged."""

    def __init__(self, output, log_path):
        found = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded", output)
        seconds = re.search(r"finished in ([\d.]+)(us|ms|s|m)?", output)
        if not found or not seconds or not found[1] == found[2] == found[3] or found[1] == "0":
            raise LoadFailed(output[-1500:])
        self.requests = int(found[1])
        self.seconds = float(seconds[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[seconds[2]]
        self.latencies_us = sorted(int(line.split()[2]) for line in log_path.open()) if log_path else []

    def percentile_ms(self, percent):
        """Nearest rank."""
        return self.latencies_us[math.ceil(len(self.latencies_us) * percent / 100) - 1] / 1000


class Site:
    """The servers, and the ways to start and load proxies; remove() takes all of it away."""

    def __init__(self, sluice_proxy, counter_library):
        self.network = Network()
        self.counter_library = counter_library
        self.namespace = self.network.namespace("bench")
        self.namespace.sysctl({"net.core.somaxconn": 4096})
        self.ports = iter(range(9000, 10000))
        self.proxies = {
            "sluice": ("sluice-proxy.yaml", [str(sluice_proxy), "--config", "{config}", "--run-dir",
                                              "{config}.run"]),
            "haproxy": ("haproxy.cfg", ["haproxy", "-db", "-q", "-f", "{config}"]),
            "nghttpx": ("nghttpx.conf", ["nghttpx", "--conf={config}"]),
            "nginx": ("nginx.conf", ["nginx", "-e", "stderr", "-c", "{config}"]),
        }
        www = self.network.directory / "www"
        www.mkdir()
        (www / "index.html").write_bytes(b"x" * BODY_BYTES)
        self.bodies = {}
        for size in (BODY_BYTES, STREAM_BYTES):
            self.bodies[size] = self.network.directory / f"body-{size}"
            # gRPC messages, each: not compressed, its length, its bytes.
            message = b"\0" + (BODY_BYTES - 5).to_bytes(4, "big") + b"x" * (BODY_BYTES - 5)
            self.bodies[size].write_bytes(message * (size // BODY_BYTES))
        self.certificate = {name: self.network.directory / f"{name}.pem" for name in ("certificate", "key", "both")}
        run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-keyout", self.certificate["key"], "-out", self.certificate["certificate"]])
        self.certificate["both"].write_text(self.certificate["certificate"].read_text()
                                            + self.certificate["key"].read_text())
        self.server_ports = {}
        for kind, options in SERVER_KINDS.items():
            self.server_ports[kind] = [next(self.ports) for _ in range(SERVERS_PER_KIND)]
            for port in self.server_ports[kind]:
                self.namespace.popen(["taskset", "-c", OTHERS_CORE, "nghttpd", "--no-tls", "-a", "127.0.0.1", "-m",
                                      "1000", "-d", www, *options, port])
                self.wait_for_port(port, "nghttpd")

    def wait_for_port(self, port, who):
        """Until `who` listens there."""
        wait_for(lambda: f":{port} " in self.namespace.run(["ss", "-Hltn"]).stdout, 5, f"{who} to listen")

    def load(self, proxy, shape, requests, *, rate=None):
        """Sends `requests` to the proxy, as fast as it answers or `rate` a second; returns Load. Raises LoadFailed."""
        words = ["-n", requests, "-c", shape.connections, "-m", shape.streams]
        if shape.servers.startswith("grpc"):
            words += ["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", "grpc-timeout: 20S"]
        if shape.body_bytes:
            words += ["-d", self.bodies[shape.body_bytes]]
        # Five come with each request of h2load: the four that begin with a colon, and user-agent.
        for number in range(5, shape.fields):
            words += ["-H", f"x-field-{number}: the value of the field with number {number}"]
        log_path = None
        if rate is not None:
            log_path = self.network.directory / "latencies"
            log_path.unlink(missing_ok=True)
            words += [f"--rps={max(rate / shape.connections, 1):.0f}", f"--log-file={log_path}"]
        path = "/index.html" if not shape.servers.startswith("grpc") else "/index.html?/package.Service/Method"
        done = self.namespace.run(["taskset", "-c", OTHERS_CORE, "h2load", *words,
                                   f"{proxy.scheme}://127.0.0.1:{proxy.port}{path}"], timeout_s=120, check=False)
        return Load(done.stdout + done.stderr, log_path)

    def idle_memory(self, proxy, connections):
        """Bytes that an idle client connection costs the proxy: (never used, after one request)."""
        before = proxy.resident_bytes()
        command = self.namespace.enter([sys.executable, HERE / "l7" / "idle_connections.py", proxy.port, connections])
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as holder:
            costs = []
            for word in ("idle", "answered"):
                if holder.stdout.readline().strip() != word:
                    raise LoadFailed(f"{proxy.name} did not keep {connections} connections")
                costs.append((proxy.resident_bytes() - before) / connections)
                if word == "idle":
                    holder.stdin.write("ask\n")
                    holder.stdin.flush()
            holder.stdin.close()
        return tuple(costs)

    def versions(self):
        """{proxy: what it calls itself}."""
        said = {"haproxy": run(["haproxy", "-v"]).stdout, "nghttpx": run(["nghttpx", "--version"]).stdout,
                "nginx": run(["nginx", "-v"]).stderr}
        return {name: re.search(r"\d+\.\d+\.\d+\S*", text)[0] for name, text in said.items()}

    def remove(self):
        self.network.remove()
