"""BGP between the router and the nodes of a site, by real BIRD with the snippets of packaging/bird."""

import json
from pathlib import Path

from netns import wait_for
from topology import VIP4, VIP6

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
ROUTER_AS = 65000


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


def start_bird(site):
    """BIRD on the router and on each node; returns {name: Bird}. The router forgets its static ways to the VIPs."""
    site.router.run(["ip", "route", "flush", "root", f"{VIP4}/32"], check=False)
    site.router.run(["ip", "-6", "route", "flush", "root", f"{VIP6}/128"], check=False)
    birds = {}
    sessions = []
    for number, node in enumerate(site.nodes, 1):
        ours = 65100 + number
        router4, router6 = f"10.1.{number}.1", f"fd00:1:{number}::1"
        sessions.append(
            f"protocol bgp {node.name}_4 from sluice_node {{ local {router4} as {ROUTER_AS}; "
            f"neighbor {node.address4} as {ours}; ipv6 {{ import none; export none; }}; }}\n"
            f"protocol bgp {node.name}_6 from sluice_node {{ local {router6} as {ROUTER_AS}; "
            f"neighbor {node.address6} as {ours}; ipv4 {{ import none; export none; }}; }}\n")
        birds[node.name] = Bird(site.network, node.namespace, f"bird-{node.name}", (
            f"router id {node.address4};\nlog stderr all;\nprotocol device {{ scan time 1; }}\n"
            f"include \"{PACKAGING}/bird/sluice.conf\";\n"
            f"protocol bgp router_4 from sluice_upstream {{ local {node.address4} as {ours}; "
            f"neighbor {router4} as {ROUTER_AS}; ipv6 {{ import none; export none; }}; }}\n"
            f"protocol bgp router_6 from sluice_upstream {{ local {node.address6} as {ours}; "
            f"neighbor {router6} as {ROUTER_AS}; ipv4 {{ import none; export none; }}; }}\n"))
    birds["router"] = Bird(site.network, site.router, "bird-router", (
        "router id 10.0.0.1;\nlog stderr all;\nprotocol device { scan time 1; }\n"
        f"include \"{PACKAGING}/bird/router-example.conf\";\n" + "".join(sessions)))
    return birds


def next_hops(site, vip):
    """Names of the nodes that the router's kernel sends a VIP to."""
    family = "-6" if ":" in vip else "-4"
    routes = json.loads(site.router.ip("-j", family, "route", "show", vip) or "[]")
    hops = set()
    for route in routes:
        for hop in route.get("nexthops", [route]):
            hops.add(hop["dev"])
    return hops
