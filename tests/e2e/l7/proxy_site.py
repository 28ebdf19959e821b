"""sluice-proxy with servers behind it, all on the loopback of one namespace."""

import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from build_folder import sanitizers
from netns import Namespace, Process, run, wait_for

PEERS = Path(__file__).resolve().parent / "peers"
PYTHON = "/usr/bin/python3"
FRONT = 8000
REQUESTS = re.compile(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored, "
                      r"(\d+) timeout")
STATUSES = re.compile(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")


def node_modules(build):
    """The folder with the npm packages that the Node peers use, installed by the lock file if it is not there yet.

    A failure fails the test; SLUICE_NO_NPM=1 in the environment turns it into a skip, for a machine without a registry.
    """
    folder = build / "l7-node-peers"
    lock = PEERS / "node" / "package-lock.json"
    done = folder / "installed-lock.json"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return folder / "node_modules"
    if os.environ.get("SLUICE_NO_NPM"):
        pytest.skip("SLUICE_NO_NPM is set, and the npm packages of the Node peers are not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PEERS / "node" / name, folder)
    run(["npm", "ci", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts"], timeout_s=300)
    shutil.copy(lock, done)
    return folder / "node_modules"


class Load:
    """What h2load counted: requests in all, those answered with 2xx, and the others."""

    def __init__(self, output):
        self.output = output
        counted, statuses = REQUESTS.search(output), STATUSES.search(output)
        if not counted or not statuses:
            raise AssertionError(f"h2load says no totals:\n{output}")
        self.total, self.succeeded, self.failed, self.errored, self.timeout = map(int, counted.groups())
        self.good = int(statuses[1])

    @property
    def bad(self):
        return self.total - self.good


class ProxySite:
    """The namespace, the proxy on FRONT, and servers that are started as they are needed."""

    def __init__(self, network, build, namespace=None):
        """`namespace`: where its programs run, if not in one of its own."""
        self.network, self.build = network, build
        self.namespace: Namespace = namespace or network.namespace("l7")
        self.ports = itertools.count(9001)
        self.proxy: Process = None
        self.config_path = network.directory / "proxy.yaml"
        self.run_dir = network.directory / "run"

    # --- the proxy

    def start_proxy(self, ports, *, cluster=None, listener=None, more=None):
        """Starts the proxy in front of the servers at `ports`; `cluster` and `listener` are further fields of the only
        ones there are, `more` further top-level fields. Waits until it listens."""
        self.configure(ports, cluster=cluster, listener=listener, more=more)
        self.proxy = self.namespace.popen([self.build / "control" / "sluice-proxy", "--config", self.config_path])
        self.wait_for_port(FRONT, self.proxy)

    def configure(self, ports, *, cluster=None, listener=None, more=None):
        """Writes the file. YAML is a superset of JSON."""
        front = {"name": "front", "address": "127.0.0.1", "port": FRONT, "cluster": "app"} | (listener or {})
        config = {
            "proxy": {"name": "p1"},
            # None: a field that has a value otherwise is to be left out.
            "listeners": [{name: value for name, value in front.items() if value is not None}],
            "clusters": [{"name": "app", "endpoints": [{"address": "127.0.0.1", "port": port} for port in ports]}
                         | (cluster or {})],
        } | (more or {})
        # Namespaces share the file system, and each proxy has a control socket of its own.
        config["proxy"] = {"run_dir": str(self.run_dir)} | config["proxy"]
        self.config_path.write_text(json.dumps(config, indent=1))

    def ctl(self, *words, **options):
        """sluicectl proxy WORDS; its output. Raises if it fails."""
        return self.namespace.run([self.build / "control" / "sluicectl", "--socket", self.run_dir / "proxy.sock", "proxy",
                                   *words], **options).stdout

    def ctl_json(self, *words):
        return json.loads(self.ctl(*words, "--json"))

    def proxy_memory_kib(self):
        """What the proxy's own pages take, without files and libraries. For tests marked measures("memory")."""
        if found := sanitizers():
            pytest.fail(f'with sanitizers ({found}) this says nothing: mark the test measures("memory")')
        status = Path(f"/proc/{self.proxy.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1])

    # --- servers; each returns the Process, its port in .port

    def wait_for_port(self, port, process):
        def listens():
            process.require_running()
            return f":{port} " in self.namespace.run(["ss", "-Hltn"]).stdout

        wait_for(listens, 20, f"{process.command[-1]} to listen on port {port}")

    def start(self, command, port=None, **options):
        """Starts a server whose command has "PORT" where its port belongs."""
        port = port or next(self.ports)
        process = self.namespace.popen([port if word == "PORT" else word for word in command], **options)
        process.port = port
        self.wait_for_port(port, process)
        return process

    def nghttpd(self, root, *options, port=None):
        return self.start(["nghttpd", "--no-tls", "-d", root, *options, "PORT"], port)

    def python_peer(self, script, *words, port=None):
        """A server of peers/, which takes its port as first word."""
        return self.start([PYTHON, "-u", PEERS / script, "PORT", *words], port)

    def node_peer(self, script, *words, port=None):
        return self.start(["node", PEERS / "node" / script, "PORT", *words], port, env=self.node_env())

    def node_env(self):
        return os.environ | {"NODE_PATH": str(node_modules(self.build))}

    def nginx(self, name, *, port=None, version="http2", server="", http=""):
        """nginx that answers with its name at /who, serves its www/, and writes one line per request to a log."""
        port = port or next(self.ports)
        directory = self.network.directory / name
        (directory / "www").mkdir(parents=True, exist_ok=True)
        temp_paths = "".join(f"{kind}_temp_path {directory}/{kind};\n" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        config = directory / "nginx.conf"
        config.write_text(f"""
            daemon off;
            master_process off;
            pid {directory}/nginx.pid;
            error_log stderr error;
            events {{ worker_connections 8192; }}
            http {{
              log_format short "$status $request_method $request_uri";
              access_log {directory}/access.log short;
              {temp_paths}
              keepalive_timeout 600s;
              client_max_body_size 64m;
              {http}
              server {{
                listen {port} {version} backlog=4096;
                root {directory}/www;
                location = /who {{ return 200 "{name}\\n"; }}
                location /uploads/ {{ dav_methods PUT; create_full_put_path on; }}
                {server}
              }}
            }}
            """)
        process = self.namespace.popen(["nginx", "-e", "stderr", "-p", directory, "-c", config])
        process.port, process.www, process.access_log = port, directory / "www", directory / "access.log"
        self.wait_for_port(port, process)
        return process

    # --- clients

    def curl(self, path, *words, **options):
        """curl with HTTP/2 from the first byte on."""
        return self.namespace.run(["curl", "-sS", "-m", "30", "--http2-prior-knowledge", *words,
                                   f"http://127.0.0.1:{FRONT}{path}"], **options)

    def h2load(self, path, *words, timeout_s=60):
        """Runs h2load to its end; returns Load."""
        done = self.namespace.run(["h2load", *words, f"http://127.0.0.1:{FRONT}{path}"], timeout_s=timeout_s, check=False)
        return Load(done.stdout + done.stderr)

    def start_h2load(self, path, *words):
        """Starts h2load; Load(process.output()) when it has ended."""
        return self.namespace.popen(["h2load", *words, f"http://127.0.0.1:{FRONT}{path}"])

    def client(self, kind, scenario, *words, timeout_s=60):
        """Runs one scenario of the gRPC client `kind` (python or node) on the proxy; returns what it found."""
        if kind == "node":
            done = self.namespace.run(["node", PEERS / "node" / "grpc_client.js", scenario, FRONT, *words],
                                      env=self.node_env(), timeout_s=timeout_s)
        else:
            done = self.namespace.run([PYTHON, PEERS / "grpc_client.py", scenario, FRONT, *words], timeout_s=timeout_s)
        return json.loads(done.stdout.splitlines()[-1])

    def grpc_server(self, kind, name, *, port=None):
        """A server of the echo service that calls itself `name`."""
        if kind == "node":
            return self.node_peer("grpc_server.js", name, port=port)
        return self.python_peer("grpc_server.py", name, port=port)


def sha256_of(path):
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]
