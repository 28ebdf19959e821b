"""What the proxy's access log and traces cost: the proxy beside itself without them, in one run."""

import statistics

from l7_bench import measure_shape
from l7_site import OTHERS_CORE, Proxy, Shape, Site

ROUNDS, RUN_SECONDS = 7, 1.0
PLAIN = "neither"
LOG = "access_log: {to: $directory/access.log%s}\n"
TRACES = "tracing: {endpoint: 'http://127.0.0.1:$collector', sample_percent: %s}\n"
# What is added to the proxy's configuration.
VARIANTS = {
    PLAIN: "",
    "log, a line of text": LOG % "",
    "log, JSON": LOG % ", format: json",
    "log, 1 % of requests": LOG % ", sample_percent: 1",
    "traces, 1 % of requests": TRACES % 1,
    "traces, every request": TRACES % 100,
}
SHAPES = [Shape("16x100", 16, 100), Shape("256x1", 256, 1)]


def start_collector(site):
    """A server that takes whatever spans come; returns its port."""
    port = next(site.ports)
    config = site.network.directory / "collector.conf"
    config.write_text(f"""daemon off; master_process off; pid {site.network.directory}/collector.pid;
        events {{ worker_connections 64; }}
        http {{ access_log off; client_body_temp_path {site.network.directory}/collector-bodies; client_max_body_size 64m;
          server {{ listen 127.0.0.1:{port}; location / {{ return 200 '{{}}'; }} }} }}""")
    site.namespace.popen(["taskset", "-c", OTHERS_CORE, "nginx", "-e", "stderr", "-c", config])
    site.wait_for_port(port, "the collector")
    return port


def bench_costs(sluice_proxy):
    """Measures and prints; returns what --json writes."""
    site = Site(sluice_proxy, None)
    try:
        collector = start_collector(site)
        found = {}
        for shape in SHAPES:
            proxies = {name: Proxy(site, "sluice", shape.servers, more=text, collector=collector)
                       for name, text in VARIANTS.items()}
            rates, _ = measure_shape(site, proxies, shape, ROUNDS, RUN_SECONDS)
            print(f"\n{shape.name}\n  {'with':<25}{'requests per CPU-second':>25}{'to neither':>15}")
            found[shape.name] = {}
            for name, own in rates.items():
                figure = statistics.median(own)
                ratio = statistics.median(rate / plain for rate, plain in zip(own, rates[PLAIN]))
                print(f"  {name:<25}{figure:>25,.0f}{ratio:>15.2f}", flush=True)
                found[shape.name][name] = {"requests_per_cpu_second": round(figure), "ratio": round(ratio, 3)}
            for proxy in proxies.values():
                proxy.process.stop()
        return {"l7_costs": found}
    finally:
        site.remove()
