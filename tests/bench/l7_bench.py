"""The L7 tier beside its rivals: requests per CPU-second, latency, memory and allocations, all in one run."""

import os
import statistics
import subprocess
from pathlib import Path

from l7_site import HERE, SHAPES, LoadFailed, Proxy, Site
from stolen_time import Calmest

SLUICE = "sluice"
ROUNDS, QUICK_ROUNDS = 5, 3
RUN_SECONDS, QUICK_RUN_SECONDS = 1.5, 0.7
LATENCY_SECONDS, LATENCY_ROUNDS = 1.5, 3
RATE_ATTEMPTS, LATENCY_ATTEMPTS = 2, 5
CALIBRATION_REQUESTS = 2000
IDLE_CONNECTIONS = 5000
COUNTED_REQUESTS = 50_000


def median_ratio(figures, name, rivals):
    """The median over the rounds of a proxy's figure divided by the best rival's in the same round."""
    return statistics.median(own / max(figures[rival][number] for rival in rivals)
                             for number, own in enumerate(figures[name]))


def measure_shape(site, proxies, shape, rounds, seconds):
    """Rounds in which every proxy has its turn, so that a busy moment of the machine meets all of them. Returns
    ({proxy: [requests per CPU-second in each round]}, {proxy: median of its requests per second})."""
    calmest = Calmest(RATE_ATTEMPTS)
    rates, speeds, sizes = ({name: [] for name in proxies} for _ in range(3))
    for name, proxy in proxies.items():
        # The first run warms up; the second tells how many requests fill the time.
        requests = CALIBRATION_REQUESTS
        for _ in range(2):
            load = site.load(proxy, shape, max(requests, 2 * shape.connections * shape.streams))
            requests = int(load.requests / load.seconds * seconds)
        sizes[name] = max(requests, 2 * shape.connections * shape.streams)

    def measure(name):
        before = proxies[name].cpu_seconds()
        load = site.load(proxies[name], shape, sizes[name])
        return load.seconds, (load.requests / (proxies[name].cpu_seconds() - before), load.requests / load.seconds)

    for _ in range(rounds):
        for name in proxies:
            rate, speed = calmest.of(lambda name=name: measure(name))
            rates[name].append(rate)
            speeds[name].append(speed)
    return rates, {name: statistics.median(values) for name, values in speeds.items()}


def half_load_p99(site, proxies, shape, speeds, rounds):
    """(rate, {proxy: median p99 in ms}, median share of a core that the hypervisor took): all at one rate, half of what the
    best rival reached. A proxy that does not reach twice that rate itself gets half of its own."""
    calmest = Calmest(LATENCY_ATTEMPTS)
    rate = max(speed for name, speed in speeds.items() if name != SLUICE) / 2
    found = {name: [] for name in proxies}

    def measure(name):
        own_rate = min(rate, speeds[name] / 2)
        load = site.load(proxies[name], shape, max(int(own_rate * LATENCY_SECONDS), shape.connections), rate=own_rate)
        return load.seconds, load.percentile_ms(99)

    for _ in range(rounds):
        for name in proxies:
            found[name].append(calmest.of(lambda name=name: measure(name)))
    return rate, {name: statistics.median(values) for name, values in found.items()}, statistics.median(calmest.shares)


def bench_shapes(site, shapes, rounds, seconds):
    """Measures and prints; returns the rows for --json."""
    rows = []
    by_kind = {}
    for shape in shapes:
        kind = (shape.servers, shape.tls)
        if kind not in by_kind:
            by_kind[kind] = {name: Proxy(site, name, shape.servers, tls=shape.tls) for name in site.proxies}
        proxies = by_kind[kind]
        rivals = [name for name in proxies if name != SLUICE]
        rates, speeds = measure_shape(site, proxies, shape, rounds, seconds)
        half_rate, p99_ms, stolen = half_load_p99(site, proxies, shape, speeds, LATENCY_ROUNDS)
        print(f"\n{shape.name}{' over TLS' if shape.tls else ''}: p99 at {half_rate:,.0f} requests/s, while the hypervisor took "
              f"{100 * stolen:.1f} % of a core")
        print(f"  {'proxy':<10}{'requests per CPU-second':>25}{'to best rival':>15}{'p99 ms':>10}")
        for name in proxies:
            figure = statistics.median(rates[name])
            ratio = median_ratio(rates, name, rivals)
            print(f"  {name:<10}{figure:>25,.0f}{ratio:>15.2f}{p99_ms[name]:>10.2f}", flush=True)
            rows.append({"proxy": name, "shape": shape.name, "tls": shape.tls, "requests_per_cpu_second": round(figure),
                         "p99_ms": round(p99_ms[name], 3)})
    return rows


def bench_memory(site, connections):
    """Bytes of each proxy's memory per client connection; prints, and returns {proxy: {...}}."""
    found = {}
    print(f"\nMemory per cleartext client connection, of {connections} (beyond the kernel's)")
    print(f"  {'proxy':<10}{'idle, bytes':>15}{'after a request':>17}")
    for name in site.proxies:
        idle, used = site.idle_memory(Proxy(site, name, "page"), connections)
        print(f"  {name:<10}{idle:>15,.0f}{used:>17,.0f}", flush=True)
        found[name] = {"idle_bytes": round(idle), "after_one_request_bytes": round(used)}
    return found


def bench_allocations(site, shapes, requests):
    """Calls of the C allocator per request of a warm proxy; prints, and returns {shape: {proxy: calls}}."""
    found = {}
    # nghttpx brings an allocator of its own, which this way of counting does not go together with.
    names = [name for name in site.proxies if name != "nghttpx"]
    print("\nCalls of the allocator per request, when warm")
    print(f"  {'shape':<25}" + "".join(f"{name:>10}" for name in names))
    for shape in shapes:
        figures = {}
        for name in names:
            proxy = Proxy(site, name, shape.servers, counted=True)
            for _ in range(2):
                site.load(proxy, shape, requests)
            # Two runs that differ only in their number of requests: what connections cost falls out.
            short, long = (count_allocations(site, proxy, shape, number) for number in (requests, 2 * requests))
            figures[name] = (long - short) / requests
            proxy.process.stop()
        print(f"  {shape.name:<25}" + "".join(f"{figures[name]:>10.4f}" for name in names), flush=True)
        found[shape.name] = figures
    return found


def count_allocations(site, proxy, shape, requests):
    before = proxy.allocations()
    site.load(proxy, shape, requests)
    return proxy.allocations() - before


def build_counter(directory):
    """Compiles the library that counts allocations."""
    library = Path(directory) / "allocation_counter.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-fno-builtin", "-o", library,
                    HERE / "l7" / "allocation_counter.c"], check=True)
    return library


def bench_l7(sluice_proxy, *, quick):
    """The whole; returns what --json writes. Raises LoadFailed, or what a program that does not start raises."""
    if os.cpu_count() < 2:
        raise LoadFailed("two cores are needed: one for the proxy, one for servers and clients")
    counter = build_counter(Path(sluice_proxy).parent)
    site = Site(sluice_proxy, counter)
    try:
        print("Requests per CPU-second of the proxy on a core of its own; three nghttpd and h2load on another.")
        print("Medians; ratios are medians of the rounds' ratios. "
              + ", ".join(f"{name} {version}" for name, version in site.versions().items()))
        shapes = [shape for shape in SHAPES if shape.is_plain or not quick]
        rows = bench_shapes(site, shapes, QUICK_ROUNDS if quick else ROUNDS,
                            QUICK_RUN_SECONDS if quick else RUN_SECONDS)
        figures = {"l7": rows, "rivals": site.versions()}
        if not quick:
            figures["memory_per_connection"] = bench_memory(site, IDLE_CONNECTIONS)
            figures["allocations_per_request"] = bench_allocations(
                site, [shape for shape in shapes if shape.body_bytes < 1000 and not shape.tls], COUNTED_REQUESTS)
        return figures
    finally:
        site.remove()
