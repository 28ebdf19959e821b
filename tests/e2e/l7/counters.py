"""What the proxy counts, as its metrics say it."""

import re

from netns import wait_for

METRICS_PORT = 8101
METRICS = {"metrics": {"listen": f"127.0.0.1:{METRICS_PORT}"}}
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? ([0-9.e+-]+)$', re.MULTILINE)


def start_counted(site, server, *, proxy=None, **listener):
    """Starts the proxy, with metrics, in front of one server; `listener` and `proxy` are further fields."""
    site.start_proxy([server.port], listener=listener, more=METRICS | {"proxy": {"name": "p1"} | (proxy or {})})


def samples(site):
    """All samples now, by name and labels as they are written: {'sluice_proxy_clients': 3.0, 'x{a="b"}': 1.0}."""
    done = site.namespace.run(["curl", "-sSf", "-m", "10", f"http://127.0.0.1:{METRICS_PORT}/metrics"])
    return {name + (f"{{{labels}}}" if labels else ""): float(value)
            for name, labels, value in SAMPLE.findall(done.stdout)}


def defences(site, reason, side="client"):
    return samples(site)[f'sluice_proxy_defence_total{{side="{side}",reason="{reason}"}}']


def wait_for_defence(site, reason, count=1, side="client"):
    """Waits until exactly so many are counted; metrics are made anew twice a second."""
    wait_for(lambda: defences(site, reason, side) == count, 10, f"{count} of {side} {reason}", interval_s=0.1)


def endings(site, outcome):
    return samples(site)[f'sluice_proxy_requests_total{{outcome="{outcome}"}}']
