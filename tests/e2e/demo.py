"""What scripts/demo shows: the test site, some requests, the counters, and that replies bypass the balancers."""

import collections
import signal
import sys
import textwrap
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from netns import Network  # noqa: E402
from suites import RELEASE, BuildError, build, reserve_huge_pages  # noqa: E402
from topology import VIP4, VIP6, Site, url  # noqa: E402

REQUESTS_PER_FAMILY = 30
PROGRAMS = ["control/sluiced", "control/sluicectl", "control/sluice-backend"]

PICTURE = f"""
  client ── router ─┬─ lb1, lb2      sluiced, one-armed on AF_XDP
                    └─ b1, b2, b3    nginx behind sluice-backend
  VIP {VIP4} and {VIP6}
"""


class DemoFailed(Exception):
    """What did not go as it must."""


def show(text):
    print(textwrap.indent(text.rstrip(), "     "), flush=True)


def send_requests(site):
    """Each request on a new connection; returns {backend: answers}."""
    answers = collections.Counter()
    for address in (VIP4, VIP6):
        done = site.curl("-m", "5", "--fail-early", "-H", "Connection: close",
                         url(address, f"/who?[1-{REQUESTS_PER_FAMILY}]"), check=False)
        if done.returncode != 0:
            raise DemoFailed(f"curl to {address} failed: {done.stderr.strip()}")
        answers.update(done.stdout.split())
    return answers


def demonstrate(site):
    print(f"1. {REQUESTS_PER_FAMILY} requests over IPv4 and {REQUESTS_PER_FAMILY} over IPv6, each a new connection")
    capture = site.capture()
    answers = send_requests(site)
    replies = capture.finish()
    for backend in site.backends:
        show(f"{backend.name} answered {answers[backend.name]:3}  {'#' * answers[backend.name]}")
    silent = [backend.name for backend in site.backends if answers[backend.name] == 0]
    if answers.total() != 2 * REQUESTS_PER_FAMILY or silent:
        raise DemoFailed(f"{answers.total()} answers, none from {silent or 'outside the pool'}")

    print("\n2. How lb1 is set up, and what it counted: sluicectl status, sluicectl stats")
    show(site.nodes[0].ctl("status").stdout)
    print()
    show(site.nodes[0].ctl("stats").stdout)

    print("\n3. The way back: frames from the VIPs, by who handed them to the router")
    for name, frames in replies.items():
        show(f"{name:4} {frames:5}")
    if any(replies[node.name] for node in site.nodes) or not any(replies.values()):
        raise DemoFailed("replies did not come straight from the backends")
    show("none by a balancer: the backends answer the client directly")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        build(RELEASE, PROGRAMS)
        reserve_huge_pages()
        started = time.monotonic()
        print(PICTURE)
        with Network() as network:
            try:
                site = Site(network, RELEASE.path, only_web=True)
                site.start()
                demonstrate(site)
            except (AssertionError, DemoFailed) as failure:
                print(f"\ndemo failed: {failure}\n\nWhat the programs said:\n{network.logs()}", file=sys.stderr)
                return 1
        print(f"\nAll is well, in {time.monotonic() - started:.0f} s; nothing of it is left on this machine.")
        return 0
    except BuildError as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted, everything removed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
