"""What scripts/demo shows: the test site, some requests, the counters, and that replies bypass the balancers."""

import collections
import sys

from demo_run import DemoFailed, run_demo, show
from suites import RELEASE, reserve_huge_pages
from topology import VIP4, VIP6, Site, url

REQUESTS_PER_FAMILY = 30
PROGRAMS = ["control/sluiced", "control/sluicectl", "control/sluice-backend"]

PICTURE = f"""
  client ── router ─┬─ lb1, lb2      sluiced, one-armed on AF_XDP
                    └─ b1, b2, b3    nginx behind sluice-backend
  VIP {VIP4} and {VIP6}
"""


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


def show_site(network):
    site = Site(network, RELEASE.path, only_web=True)
    site.start()
    demonstrate(site)


if __name__ == "__main__":
    sys.exit(run_demo(PICTURE, PROGRAMS, show_site, prepare=reserve_huge_pages))
