"""A small site in network namespaces: one client, one router, nodes that run sluiced, backends that run nginx.

              client  198.51.100.2, 2001:db8:100::2
                |
              router  sends each VIP to all nodes (ECMP by 5-tuple) and backends' replies straight to the client
             /      \\
    lb1, lb2          b1, b2, b3, ...
    10.1.N.2          10.2.N.2          each on a link of its own with the router, MTU 1600:
    fd00:1:N::2       fd00:2:N::2       the tunnel header (24 to 44 bytes) fits beside a full packet

The tests and scripts/demo use the same site.
"""

import itertools
import json
import os
import re
import signal
import textwrap
from pathlib import Path

from netns import CommandFailed, End, link, run, wait_for

VIP4 = "203.0.113.10"
VIP6 = "2001:db8:f00d::10"
CLIENT4 = "198.51.100.2"
CLIENT6 = "2001:db8:100::2"
WIDE_MTU = 1600
LARGE_FILE_BYTES = 8 << 20
HERE = Path(__file__).resolve().parent


def url(address, path="/", port=80):
    """An http URL; brackets around IPv6."""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{port}{path}"


class Backend:
    """A server: nginx on the VIPs, which are addresses of its lo, and the agent's program on eth0."""

    def __init__(self, site, number):
        self.site, self.name = site, f"b{number}"
        self.address4, self.address6 = f"10.2.{number}.2", f"fd00:2:{number}::2"
        self.namespace = site.network.namespace(self.name)
        self.directory = site.network.directory / self.name
        self.nginx = None
        site.join(self.namespace, self.name, f"10.2.{number}", f"fd00:2:{number}:", router_tx_offload=True)
        for vip in (f"{VIP4}/32", f"{VIP6}/128"):
            self.namespace.add_address("lo", vip)

    def agent(self, *words, **options):
        """Runs `sluice-backend WORDS`."""
        return self.namespace.run([self.site.program("sluice-backend"), *words], **options)

    def attach(self, *options):
        return self.agent("attach", "--interface", "eth0", "--vip", VIP4, "--vip", VIP6, *options)

    def detach(self):
        return self.agent("detach", "--interface", "eth0")

    def start_nginx(self):
        """Serves /who (its name), / (a page that names it), /large.bin, /slow/large.bin, and takes PUT /uploads/."""
        www = self.directory / "www"
        (www / "uploads").mkdir(parents=True)
        (www / "index.html").write_text(f"<!doctype html><title>Sluice</title><p>Served by {self.name}.\n")
        (www / "large.bin").symlink_to(self.site.large_file)
        config = self.directory / "nginx.conf"
        temp_paths = "".join(f"{kind}_temp_path {self.directory}/{kind};\n" for kind in
                             ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        # One process without a master: what a killed test run leaves is nothing.
        config.write_text(textwrap.dedent(f"""\
            daemon off;
            master_process off;
            pid {self.directory}/nginx.pid;
            error_log stderr warn;
            events {{ worker_connections 8192; }}
            http {{
              access_log off;
              {temp_paths}
              keepalive_timeout 600s;
              keepalive_requests 1000000;
              client_max_body_size 64m;
              server {{
                listen 80 backlog=4096;
                listen [::]:80 backlog=4096;
                listen 8080;
                listen [::]:8080;
                add_header X-Backend {self.name} always;
                root {www};
                location = /who {{ return 200 "{self.name}\\n"; }}
                location /slow/ {{ alias {www}/; limit_rate 1m; }}
                location /uploads/ {{ dav_methods PUT; }}
              }}
            }}
            """))
        self.nginx = self.namespace.popen(["nginx", "-p", self.directory, "-c", config])
        wait_for(self._serves, 10, f"nginx on {self.name}")

    def _serves(self):
        self.nginx.require_running()
        return self.namespace.run(["curl", "-sf", "-m", "2", url("127.0.0.1", "/who")], check=False).stdout.strip() \
            == self.name

    def decapsulated(self):
        """Packets that the agent's program has taken out of the tunnel, all VIPs."""
        status = json.loads(self.agent("status", "--interface", "eth0", "--json").stdout)
        return sum(vip["packets"] for interface in status["interfaces"] for vip in interface["vips"])


class Node:
    """A balancer: sluiced on eth0, one-armed, by AF_XDP."""

    def __init__(self, site, number):
        self.site, self.name = site, f"lb{number}"
        self.address4, self.address6 = f"10.1.{number}.2", f"fd00:1:{number}::2"
        self.namespace = site.network.namespace(self.name)
        self.run_dir = site.network.directory / self.name
        self.run_dir.mkdir()
        self.config_path = self.run_dir / "sluiced.yaml"
        self.socket_path = self.run_dir / "control.sock"
        self.process = None
        # AF_XDP would receive the router's packets with half-made checksums.
        site.join(self.namespace, self.name, f"10.1.{number}", f"fd00:1:{number}:", router_tx_offload=False)

    def configure(self, backends):
        """Writes the config file: `backends` in the pools, or {backend: weight}."""
        self.config_path.write_text(self.site.config(self, backends))

    def start(self, timeout_s=30):
        """Starts sluiced and waits until it answers and knows the way to every backend."""
        self.process = self.namespace.popen([self.site.program("sluiced"), "--config", self.config_path])
        wait_for(self._is_ready, timeout_s, f"sluiced on {self.name} to be ready")

    def _is_ready(self):
        self.process.require_running()
        return all(backend["resolved"] for backend in self.status()["backends"])

    def ctl(self, *words, **options):
        """Runs `sluicectl WORDS` against this node."""
        return self.namespace.run([self.site.program("sluicectl"), "--socket", self.socket_path, *words], **options)

    def status(self):
        return json.loads(self.ctl("status", "--json").stdout)

    def stats(self):
        return json.loads(self.ctl("stats", "--json").stdout)

    def reload(self):
        """SIGHUP; returns when sluiced has taken the file, raises when it has refused it."""
        before = self.process.output().count("event=reload")
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.process.output().count("event=reload") > before, 10, f"{self.name} to read its file")
        last = re.findall(r"event=reload.*", self.process.output())[-1]
        if not last.startswith("event=reloaded"):
            raise CommandFailed(f"{self.name} refused its new config: {last}")
        wait_for(self._is_ready, 10, f"{self.name} to know the way to its backends")

    def stop(self):
        """SIGTERM; returns the exit status."""
        return self.process.stop()

    def kill(self):
        """SIGKILL: leaves what only the process itself would have cleaned up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def has_xdp_program(self):
        return "xdp" in json.loads(self.namespace.ip("-j", "link", "show", "dev", "eth0"))[0]


class Site:
    """The whole; start() brings it up, network.remove() takes it down."""

    def __init__(self, network, build, *, nodes=2, backends=3, only_web=False):
        """`only_web`: nothing but HTTP on port 80, for a demo's short tables."""
        self.network, self.build, self.only_web = network, Path(build), only_web
        # Below the range that the kernel gives out by itself (32768 and up).
        self.next_source_port = 10000
        self.capture_numbers = itertools.count(1)
        self.large_file = network.directory / "large.bin"
        self.large_file.write_bytes(os.urandom(LARGE_FILE_BYTES))
        self.client = network.namespace("client")
        self.router = network.namespace("router", forwarding=True)
        link(End(self.router, "client", ["198.51.100.1/24", "2001:db8:100::1/64"]),
             End(self.client, "eth0", [f"{CLIENT4}/24", f"{CLIENT6}/64"]))
        self.client.ip("route", "add", "default", "via", "198.51.100.1")
        self.client.ip("-6", "route", "add", "default", "via", "2001:db8:100::1")
        self.nodes = [Node(self, number) for number in range(1, nodes + 1)]
        self.backends = [Backend(self, number) for number in range(1, backends + 1)]
        self.route_vips(self.nodes)

    def program(self, name):
        return self.build / "control" / name

    def join(self, namespace, name, net4, net6, *, router_tx_offload):
        """Links a node or backend with the router, and makes the router its default route."""
        link(End(self.router, name, [f"{net4}.1/24", f"{net6}:1/64"], tx_offload=router_tx_offload),
             End(namespace, "eth0", [f"{net4}.2/24", f"{net6}:2/64"]), mtu=WIDE_MTU)
        namespace.ip("route", "add", "default", "via", f"{net4}.1")
        namespace.ip("-6", "route", "add", "default", "via", f"{net6}:1")

    def route_vips(self, nodes):
        """Makes the router spread the VIPs over `nodes`, as it would after BGP announcements."""
        hops4 = [word for node in nodes for word in ("nexthop", "via", node.address4, "dev", node.name)]
        hops6 = [word for node in nodes for word in ("nexthop", "via", node.address6, "dev", node.name)]
        self.router.ip("route", "replace", f"{VIP4}/32", *hops4)
        # `replace` of an IPv6 multipath route replaces one hop only.
        self.router.run(["ip", "-6", "route", "flush", "root", f"{VIP6}/128"], check=False)
        self.router.ip("-6", "route", "add", f"{VIP6}/128", *hops6)

    def config(self, node, backends):
        """The YAML for a node. Port 80: each VIP through a tunnel of its own family; 8080: of the other."""
        weights = backends if isinstance(backends, dict) else dict.fromkeys(backends, 100)

        def pool(name, family, members):
            lines = [f"  - name: {name}", "    backends:"]
            for backend, weight in members.items():
                lines.append(f"      - {{ name: {backend.name}, address: \"{getattr(backend, 'address' + family)}\", "
                             f"weight: {weight} }}")
            return "\n".join(lines)

        def vip(name, address, protocol, port, pool_name):
            return (f"  - {{ name: {name}, address: \"{address}\", protocol: {protocol}, port: {port}, "
                    f"pool: {pool_name} }}")

        vips = [vip("web4", VIP4, "tcp", 80, "web4"), vip("web6", VIP6, "tcp", 80, "web6")]
        pools = [pool("web4", "4", weights), pool("web6", "6", weights)]
        if not self.only_web:
            # iperf3 opens two connections that must meet one server.
            first = dict(list(weights.items())[:1])
            pools += [pool("one4", "4", first), pool("one6", "6", first)]
            vips += [vip("crossed4", VIP4, "tcp", 8080, "web6"), vip("crossed6", VIP6, "tcp", 8080, "web4")]
            vips += [vip(f"iperf{family}-{protocol}", address, protocol, 5201, f"one{family}")
                     for family, address in (("4", VIP4), ("6", VIP6)) for protocol in ("tcp", "udp")]
        return "\n".join([
            "node:",
            f"  name: {node.name}",
            f"  run_dir: {node.run_dir}",
            f"  state_dir: {node.run_dir}/state",
            "  cluster_seed: \"the same on all nodes\"",
            "dpdk:",
            "  memory_mb: 64",
            "ports:",
            "  - name: wan",
            "    af_xdp: eth0",
            f"    mtu: {WIDE_MTU}",
            "workers:",
            "  idle: adaptive",
            "  flow_table_flows: 65536",
            "tunnel:",
            f"  source_ipv4: {node.address4}",
            f"  source_ipv6: \"{node.address6}\"",
            "vips:",
            *vips,
            "pools:",
            *pools,
        ]) + "\n"

    def start(self, backends=None):
        """Starts all servers, agents and nodes, with `backends` (default: all) in the pools."""
        for backend in self.backends:
            backend.start_nginx()
            backend.attach()
        self.pool = backends or self.backends
        for node in self.nodes:
            node.configure(self.pool)
            node.start()

    def restore(self):
        """Brings the site back to how start() left it, whatever a test did to it."""
        for backend in self.backends:
            backend.attach()
        for node in self.nodes:
            if node.process.exit_status() is not None:
                node.configure(self.pool)
                node.start()
        self.reload(self.pool)
        self.route_vips(self.nodes)

    def reload(self, backends):
        """New config on all nodes by SIGHUP; returns when each has taken it."""
        for node in self.nodes:
            if node.config_path.read_text() == self.config(node, backends):
                continue
            node.configure(backends)
            node.reload()

    # --- what a client does

    def curl(self, *words, **options):
        return self.client.run(["curl", "-sS", "-m", "20", *words], **options)

    def spread(self, address, connections, port=80):
        """Opens new connections, one request each; returns {backend name: connections}. Raises on any error."""
        done = self.client.run(["/usr/bin/python3", HERE / "load.py", "spread", address, port, connections],
                               timeout_s=120)
        return json.loads(done.stdout)

    def hold(self, address, connections, port=80):
        """Starts a Holder: keep-alive connections under load."""
        return Holder(self, address, connections, port)

    def capture(self):
        """Starts counting the frames that the router receives from each neighbour; see Capture."""
        return Capture(self)


class Holder:
    """Keep-alive connections that go on asking their backend who it is; none may break or be answered by another."""

    def __init__(self, site, address, connections, port):
        # Source ports of their own, each used once: a node remembers where a 5-tuple went, and an earlier connection
        # from the same port may have gone elsewhere when the pool was another.
        source_port = site.next_source_port
        site.next_source_port += connections
        self.process = site.client.popen(["/usr/bin/python3", HERE / "load.py", "hold", address, port, connections,
                                          source_port])
        wait_for(self._is_ready, 30, "the kept connections to be there")

    def _is_ready(self):
        self.process.require_running()
        return "ready" in self.process.output().splitlines()

    def finish(self):
        """Ends the load; returns a list of {"backend", "requests", "longest_stall_ms", "error"}."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return json.loads(self.process.output().splitlines()[-1])


class Capture:
    """Counts frames from the VIPs (replies) that enter the router, by the neighbour that sent them."""

    def __init__(self, site):
        self.site = site
        self.files, self.processes = {}, []
        for neighbour in [*site.nodes, *site.backends]:
            path = site.network.directory / f"capture-{next(site.capture_numbers)}-{neighbour.name}.pcap"
            self.files[neighbour.name] = path
            self.processes.append(site.router.popen(
                ["tcpdump", "-i", neighbour.name, "-Q", "in", "-U", "--immediate-mode", "-s", "96", "-Z", "root",
                 "-w", path, f"src host {VIP4} or src host {VIP6}"]))
        for process in self.processes:
            wait_for(lambda process=process: "listening on" in process.output(), 10, "tcpdump to listen")

    def finish(self):
        """{neighbour: frames with a VIP as source}."""
        for process in self.processes:
            # SIGINT: tcpdump writes what it has.
            process.send_signal(signal.SIGINT)
            process.wait()
        counts = {}
        for name, path in self.files.items():
            listed = run(["tcpdump", "-nn", "-r", path]).stdout
            counts[name] = len(listed.splitlines())
        return counts
