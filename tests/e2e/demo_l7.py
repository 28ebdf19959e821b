"""What `scripts/demo l7` shows: the calls of one gRPC connection spread over three servers, one of which dies and
comes back."""

import collections
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent / "l7")]

from demo_run import DemoFailed, run_demo, show  # noqa: E402
from netns import wait_for  # noqa: E402
from proxy_site import FRONT, PEERS, PYTHON, ProxySite  # noqa: E402
from suites import RELEASE  # noqa: E402

CALLS = 300
SERVERS = ("s1", "s2", "s3")
EJECTION = {"connect_failures": 3, "interval": "500ms", "base_ejection": "3s", "max_ejection_percent": 40}

PICTURE = """
  gRPC client ── one connection ── sluice-proxy ─┬─ s1
                                                 ├─ s2
                                                 └─ s3
"""


class Client:
    """A gRPC client that keeps its one connection."""

    def __init__(self, site):
        self.site = site
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--",
             *site.namespace.enter([PYTHON, "-u", PEERS / "grpc_client.py", "on_demand", FRONT])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, number=CALLS):
        """Makes so many calls; returns who answered how many, errors under their gRPC code."""
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise DemoFailed("the gRPC client has ended")
        return collections.Counter(json.loads(line))

    def connections(self):
        """The client's ports of the connections that the proxy has accepted."""
        listed = self.site.namespace.run(["ss", "-Htn", "state", "established", "sport", "=", f":{FRONT}"]).stdout
        return [line.split()[3].rsplit(":", 1)[1] for line in listed.splitlines()]

    def close(self):
        self.process.kill()
        self.process.communicate()


def show_answers(answers):
    for name in SERVERS:
        show(f"{name} answered {answers[name]:3}  {'#' * (answers[name] // 4)}")
    for name in set(answers) - set(SERVERS):
        show(f"failed with {name}: {answers[name]}")


def ejections(site):
    """What the proxy has said of servers that it has taken out."""
    return "\n".join(line for line in site.proxy.output().splitlines() if "event=ejected" in line)


def demonstrate(site):
    servers = {name: site.grpc_server("python", name) for name in SERVERS}
    site.start_proxy([server.port for server in servers.values()], cluster={"policy": "round_robin", "outlier": EJECTION})
    client = Client(site)
    try:
        print(f"1. {CALLS} calls, one after the other, on one connection")
        answers = client.call()
        show_answers(answers)
        first = client.connections()
        show(f"connections of clients to the proxy: {len(first)}, from port {', '.join(first)}")
        if len(first) != 1 or any(answers[name] != CALLS // 3 for name in SERVERS):
            raise DemoFailed("the calls were not spread evenly over one connection")

        print("\n2. s2 is killed; the same connection goes on")
        servers["s2"].send_signal(signal.SIGKILL)
        servers["s2"].wait()
        answers = client.call()
        show_answers(answers)
        if answers["s2"] != 0 or answers["s1"] == 0 or answers["s3"] == 0:
            raise DemoFailed("a dead server has answered, or a live one has not")
        failed = CALLS - sum(answers[name] for name in SERVERS)
        if failed:
            raise DemoFailed(f"{failed} calls failed")
        show(wait_for(lambda: client.call(10) and ejections(site), 10, "s2 to be ejected", interval_s=0.1))

        print("\n3. s2 comes back, still on the same connection")
        site.grpc_server("python", "s2", port=servers["s2"].port)
        waited = time.monotonic()
        wait_for(lambda: client.call(30)["s2"] > 0, 30, "s2 to be used again", interval_s=0.1)
        show(f"used again after {time.monotonic() - waited:.1f} s")
        show_answers(client.call())
        if client.connections() != first:
            raise DemoFailed("the client had to connect anew")
        show(f"the client's connection is still the one from port {first[0]}")
    finally:
        client.close()


if __name__ == "__main__":
    sys.exit(run_demo(PICTURE, ["control/sluice-proxy"],
                      lambda network: demonstrate(ProxySite(network, RELEASE.path))))
