"""BGP between the router and the nodes of a site: real BIRD on the router, BIRD or FRR on the nodes, with the snippets
of packaging/."""

import json
import shutil
import signal
from pathlib import Path

from netns import wait_for
from topology import VIP4, VIP6

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
ROUTER_AS = 65000
FRR_BIN = Path("/usr/lib/frr")


class Bird:
    """One BIRD in a namespace."""

    def __init__(self, network, namespace, name, text):
        self.namespace = namespace
        self.socket = network.directory / f"{name}.ctl"
        config = network.directory / f"{name}.conf"
        config.write_text(text)
        self.process = namespace.popen(["bird", "-f", "-c", config, "-s", self.socket, "-P",
                                        network.directory / f"{name}.pid"])
        wait_for(self.socket.exists, 10, f"{name}'s control socket")

    def ctl(self, *words):
        return self.namespace.run(["birdc", "-s", self.socket, *words]).stdout

    def stop(self):
        """SIGKILL: the other end hears nothing."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Frr:
    """zebra and bgpd in a namespace, configured by vtysh as on a real host."""

    def __init__(self, network, namespace, name, text):
        self.namespace = namespace
        self.directory = network.directory / name
        self.directory.mkdir()
        # The daemons give up root.
        shutil.chown(self.directory, "frr", "frr")
        config = network.directory / f"{name}.conf"
        config.write_text(text)
        self.processes = []
        for daemon in ("zebra", "bgpd"):
            self.processes.append(namespace.popen(
                [FRR_BIN / daemon, "-u", "frr", "-g", "frr", "-z", self.directory / "zserv.api", "-i",
                 self.directory / f"{daemon}.pid", "--vty_socket", self.directory, "-f", "/dev/null", "--log", "stdout"]))
            wait_for((self.directory / f"{daemon}.vty").exists, 10, f"{daemon}'s terminal in {name}")
        namespace.run(["vtysh", "--vty_socket", self.directory, "-f", config])

    def ctl(self, *words):
        return self.namespace.run(["vtysh", "--vty_socket", self.directory, "-c", " ".join(words)]).stdout


def start_router(site, *, extra="", session=""):
    """BIRD on the router, with a session per node and family. It forgets its static ways to the VIPs."""
    site.router.run(["ip", "route", "flush", "root", f"{VIP4}/32"], check=False)
    site.router.run(["ip", "-6", "route", "flush", "root", f"{VIP6}/128"], check=False)
    sessions = []
    for number, node in enumerate(site.nodes, 1):
        ours = 65100 + number
        sessions.append(
            f"protocol bgp {node.name}_4 from sluice_node {{ local 10.1.{number}.1 as {ROUTER_AS}; "
            f"neighbor {node.address4} as {ours}; ipv6 {{ import none; export none; }}; {session} }}\n"
            f"protocol bgp {node.name}_6 from sluice_node {{ local fd00:1:{number}::1 as {ROUTER_AS}; "
            f"neighbor {node.address6} as {ours}; ipv4 {{ import none; export none; }}; {session} }}\n")
    return Bird(site.network, site.router, "bird-router", (
        "router id 10.0.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n"
        f"include \"{PACKAGING}/bird/router-example.conf\";\n{extra}" + "".join(sessions)))


def start_bird(site, *, bfd=False):
    """BIRD on the router and on each node; returns {name: Bird}."""
    extra = f"include \"{PACKAGING}/bird/sluice-bfd.conf\";\n" if bfd else ""
    session = "bfd on;" if bfd else ""
    birds = {}
    for number, node in enumerate(site.nodes, 1):
        ours = 65100 + number
        router4, router6 = f"10.1.{number}.1", f"fd00:1:{number}::1"
        birds[node.name] = Bird(site.network, node.namespace, f"bird-{node.name}", (
            f"router id {node.address4};\nlog stderr all;\nprotocol device {{ scan time 1; }}\n"
            f"include \"{PACKAGING}/bird/sluice.conf\";\n{extra}"
            f"protocol bgp router_4 from sluice_upstream {{ local {node.address4} as {ours}; "
            f"neighbor {router4} as {ROUTER_AS}; ipv6 {{ import none; export none; }}; {session} }}\n"
            f"protocol bgp router_6 from sluice_upstream {{ local {node.address6} as {ours}; "
            f"neighbor {router6} as {ROUTER_AS}; ipv4 {{ import none; export none; }}; {session} }}\n"))
    birds["router"] = start_router(site, extra=extra, session=session)
    return birds


def start_frr(site):
    """FRR on each node, BIRD on the router; returns {name: Frr or Bird}."""
    snippet = (PACKAGING / "frr" / "sluice.conf").read_text()
    speakers = {}
    for number, node in enumerate(site.nodes, 1):
        text = snippet.replace("10.1.1.1", f"10.1.{number}.1").replace("fd00:1:1::1", f"fd00:1:{number}::1").replace(
            "65101", str(65100 + number))
        speakers[node.name] = Frr(site.network, node.namespace, f"frr-{node.name}", text)
    speakers["router"] = start_router(site)
    return speakers


def next_hops(site, vip):
    """Names of the nodes that the router's kernel sends a VIP to."""
    family = "-6" if ":" in vip else "-4"
    routes = json.loads(site.router.ip("-j", family, "route", "show", vip) or "[]")
    hops = set()
    for route in routes:
        for hop in route.get("nexthops", [route]):
            hops.add(hop["dev"])
    return hops


def learned(router, node, vip):
    """What the router's BIRD has learned of a VIP from a node, with all attributes; "" if nothing."""
    family = "6" if ":" in vip else "4"
    text = router.ctl("show", "route", f"{vip}/{128 if ':' in vip else 32}", "protocol", f"{node.name}_{family}", "all")
    return text if vip in text else ""


GRACEFUL_SHUTDOWN = "(65535,0)"
