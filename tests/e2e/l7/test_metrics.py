"""What the proxy counts is what was sent."""

import re
import signal
import socket
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from h2_client import H2Client
from netns import run, wait_for
from proxy_site import FRONT

ROOT = Path(__file__).resolve().parents[3]
LISTEN = "127.0.0.1:9109"
DOCUMENTED = re.compile(r"^\| `(sluice_proxy_[a-z_]+)` \| (counter|gauge|histogram) \|", re.MULTILINE)
PAGE = b"0123456789" * 20


def route(name, **fields):
    return {"name": name} | ({} if "respond" in fields else {"cluster": "app"}) | fields


def hosts(*routes):
    """A listener's fields: these routes."""
    return {"cluster": None, "hosts": [{"name": "site", "domains": ["*"], "routes": list(routes)}]}


def metrics(**fields):
    return {"metrics": {"listen": LISTEN} | fields}


class Scraper:
    """Reads the proxy's metrics, and remembers the last ones."""

    def __init__(self, site):
        self.site = site
        self.samples, self.text, self.counters = {}, "", {}

    def read(self):
        self.text = self.site.namespace.run(["curl", "-sS", "-f", "-m", "10", f"http://{LISTEN}/metrics"]).stdout
        families = list(text_string_to_metric_families(self.text))
        self.samples = {(sample.name, frozenset(sample.labels.items())): sample.value
                        for family in families for sample in family.samples}
        names = {sample.name for family in families if family.type != "gauge" for sample in family.samples}
        self.counters = {key: value for key, value in self.samples.items() if key[0] in names}

    def value(self, name, **labels):
        return self.samples.get((f"sluice_proxy_{name}", frozenset(labels.items())), 0)

    def wait_for_value(self, expected, name, **labels):
        """All who ask within half a second get the same answer."""
        def same():
            self.read()
            return self.value(name, **labels) == expected

        wait_for(same, 10, f"{name}{labels} to be {expected}")


@pytest.fixture
def scraper(site):
    return Scraper(site)


def serve_pages(site, **fields):
    server = site.nginx("n1", http="keepalive_requests 1000000;", **fields)
    (server.www / "page").write_bytes(PAGE)
    return server


@pytest.mark.smoke
def test_every_level_counts_what_was_sent(site, scraper):
    server = serve_pages(site)
    site.start_proxy([server.port], more=metrics() | {"proxy": {"workers": 2}}, listener=hosts(
        route("direct", prefix="/hello", respond={"status": 200, "body": "hello"}),
        route("pages", prefix="/page"), route("rest")))
    assert site.h2load("/page", "-n", 300, "-c", 3, "-m", 10).good == 300
    for _ in range(4):
        site.curl("/nowhere")
    site.curl("/hello")
    site.namespace.run(["curl", "-sS", "--http1.1", "-d", "x" * 1000, f"http://127.0.0.1:{FRONT}/other"])
    scraper.wait_for_value(305, "requests_total", outcome="answered")

    here = {"listener": "front"}
    assert scraper.value("listener_requests_total", outcome="answered", **here) == 305
    assert scraper.value("listener_requests_total", outcome="direct", **here) == 1
    assert scraper.value("listener_connections_total", protocol="http2", **here) == 3 + 4 + 1
    assert scraper.value("listener_connections_total", protocol="http1", **here) == 1
    assert scraper.value("listener_open_requests", **here) == 0
    # Requests are short, and answers are long.
    assert 1000 < scraper.value("listener_received_bytes_total", **here) < 300 * len(PAGE)
    assert scraper.value("listener_sent_bytes_total", **here) > 300 * len(PAGE)

    pages = here | {"host": "site", "route": "pages"}
    assert scraper.value("route_requests_total", outcome="answered", **pages) == 300
    assert scraper.value("route_responses_total", status="2xx", **pages) == 300
    assert scraper.value("route_response_bytes_total", **pages) == 300 * len(PAGE)
    assert scraper.value("route_request_seconds_count", **pages) == 300
    assert scraper.value("route_request_seconds_bucket", le="+Inf", **pages) == 300
    rest = pages | {"route": "rest"}
    assert scraper.value("route_responses_total", status="4xx", **rest) == 5
    assert scraper.value("route_request_bytes_total", **rest) == 1000
    assert scraper.value("route_requests_total", outcome="direct", **(pages | {"route": "direct"})) == 1
    assert scraper.value("route_response_bytes_total", **(pages | {"route": "direct"})) == len("hello")

    app, endpoint = {"cluster": "app"}, {"cluster": "app", "endpoint": f"127.0.0.1:{server.port}"}
    assert scraper.value("cluster_requests_total", outcome="answered", **app) == 305
    assert scraper.value("cluster_first_byte_seconds_count", **app) == 305
    assert scraper.value("endpoint_answers_total", **endpoint) == 305
    assert 0 < scraper.value("endpoint_first_byte_seconds_total", **endpoint) == pytest.approx(
        scraper.value("cluster_first_byte_seconds_sum", **app))
    connections = scraper.value("cluster_connections", protocol="http2", **app)
    assert 1 <= connections == scraper.value("endpoint_connections", **endpoint)
    assert scraper.value("cluster_connects_total", **app) == connections
    assert scraper.value("cluster_received_bytes_total", **app) > 300 * len(PAGE)
    assert 1000 < scraper.value("cluster_sent_bytes_total", **app) < 300 * len(PAGE)

    # Of all workers.
    assert scraper.value("request_seconds_count") == scraper.value("request_seconds_bucket", le="+Inf") == 306
    assert scraper.value("client_connections_total") == 3 + 4 + 1 + 1

    documented = set(DOCUMENTED.findall((ROOT / "docs/proxy-metrics.md").read_text()))
    assert {(family.name + ("_total" if family.type == "counter" else ""), family.type)
            for family in text_string_to_metric_families(scraper.text)} == documented
    linted = run(["promtool", "check", "metrics"], input_text=scraper.text, check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_grpc_calls_are_counted_by_their_status(site, scraper):
    server = site.grpc_server("python", "s1")
    clusters = [{"name": "app", "endpoints": [{"address": "127.0.0.1", "port": server.port}]}, {"name": "nobody"}]
    site.start_proxy([], more=metrics() | {"clusters": clusters}, listener=hosts(
        route("nobody", path="/test.Echo/NoSuchMethod", cluster="nobody"), route("echo")))
    for code, times in ((5, 3), (14, 2)):
        for _ in range(times):
            site.client("python", "fail", code, "as asked")
    assert site.client("python", "unary")["code"] == "OK"
    assert site.client("python", "server_stream", 10, 100)["same"]
    # The proxy's own answer to a gRPC client.
    assert site.client("python", "unknown")["code"] == "UNAVAILABLE"
    scraper.wait_for_value(1, "requests_total", outcome="no_endpoint")
    echo = {"listener": "front", "host": "site", "route": "echo"}
    for code, times in (("OK", 2), ("NOT_FOUND", 3), ("UNAVAILABLE", 2)):
        assert scraper.value("route_grpc_status_total", code=code, **echo) == times
        assert scraper.value("cluster_grpc_status_total", code=code, cluster="app") == times
    assert scraper.value("route_responses_total", status="2xx", **echo) == 7
    assert scraper.value("route_grpc_status_total", code="UNAVAILABLE", **(echo | {"route": "nobody"})) == 1
    assert scraper.value("cluster_grpc_status_total", code="UNAVAILABLE", cluster="nobody") == 1


def test_counters_go_on_over_a_reload(site, scraper):
    server = serve_pages(site)
    pages, rest = route("pages", prefix="/page"), route("rest")
    site.start_proxy([server.port], more=metrics(), listener=hosts(pages, rest))
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/page")).status == 200
    assert site.h2load("/page", "-n", 99, "-c", 1).good == 99
    scraper.wait_for_value(100, "requests_total", outcome="answered")
    before = scraper.counters

    # The same names in other places, under another listener's number, with another server beside the first.
    other = {"name": "other", "address": "127.0.0.1", "port": FRONT + 1, "cluster": "app"}
    site.configure([server.port, 9999], listener=hosts(route("first", prefix="/first"), pages, rest), more=metrics())
    config = site.config_path.read_text().replace('"listeners": [', '"listeners": [' + str(other).replace("'", '"') + ",")
    site.config_path.write_text(config)
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in site.proxy.output(), 10, "the reload")
    # A connection from before, and new ones.
    assert client.finish(client.request("/page")).status == 200
    assert site.h2load("/page", "-n", 99, "-c", 1).good == 99
    labels = {"listener": "front", "host": "site", "route": "pages"}
    scraper.wait_for_value(200, "route_requests_total", outcome="answered", **labels)
    gone_back = {key: (value, scraper.samples.get(key)) for key, value in before.items()
                 if scraper.samples.get(key, -1) < value}
    assert not gone_back
    assert scraper.value("listener_requests_total", listener="front", outcome="answered") == 200
    assert scraper.value("listener_clients", listener="front", protocol="http2") == 1
    assert scraper.value("listener_requests_total", listener="other", outcome="answered") == 0
    assert scraper.value("cluster_requests_total", cluster="app", outcome="answered") == 200
    client.close()
    scraper.wait_for_value(0, "listener_clients", listener="front", protocol="http2")


def test_routes_are_left_uncounted_if_the_file_says_so(site, scraper):
    server = serve_pages(site)
    site.start_proxy([server.port], more=metrics(per_route=False), listener=hosts(route("pages")))
    assert site.h2load("/page", "-n", 10, "-c", 1).good == 10
    scraper.wait_for_value(10, "listener_requests_total", listener="front", outcome="answered")
    assert not [name for name, _ in scraper.samples if name.startswith("sluice_proxy_route_")]


def test_failures_to_connect_are_counted_where_they_happen(site, scraper):
    server = serve_pages(site)
    site.start_proxy([server.port, 9999], more=metrics(), cluster={"policy": "round_robin"})
    assert site.h2load("/page", "-n", 20, "-c", 1).good == 20
    scraper.wait_for_value(20, "cluster_requests_total", cluster="app", outcome="answered")
    failures = scraper.value("cluster_connect_failures_total", cluster="app")
    assert failures >= 1
    assert scraper.value("endpoint_connect_failures_total", cluster="app", endpoint="127.0.0.1:9999") == failures
    assert scraper.value("endpoint_connections", cluster="app", endpoint="127.0.0.1:9999") == 0
    # One request at a time: each failure is that of one request, which goes to the other server.
    assert scraper.value("cluster_retries_total", cluster="app") == failures
    assert scraper.value("cluster_connects_total", cluster="app") == failures + scraper.value(
        "endpoint_connections", cluster="app", endpoint=f"127.0.0.1:{server.port}")
    said = re.compile(r'level=warning event=connect_failed cluster=app endpoint=127.0.0.1:9999 failures=\d+ '
                      r'error="Connection refused"')
    wait_for(lambda: said.search(site.proxy.output()), 10, "the log to say why")


def test_a_client_that_says_nothing_is_counted_as_such(site, scraper):
    server = serve_pages(site)
    site.start_proxy([server.port], more=metrics())
    labels = {"listener": "front", "protocol": "none"}
    silent = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    silent.connect(("127.0.0.1", FRONT))
    scraper.wait_for_value(1, "listener_clients", **labels)
    assert scraper.value("listener_connections_total", **labels) == 0
    silent.close()
    scraper.wait_for_value(1, "listener_connections_total", **labels)
    assert scraper.value("listener_clients", **labels) == 0


def test_handshakes_are_counted_at_the_side_where_they_were(site, scraper):
    certificate, key = (site.network.directory / name for name in ("cert.pem", "key.pem"))
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate])
    server = serve_pages(site, version="ssl http2", server=f"ssl_certificate {certificate}; ssl_certificate_key {key};")
    site.start_proxy([server.port], more=metrics() | {"proxy": {"workers": 1}},
                     listener={"tls": {"certificates": [{"certificate": str(certificate), "key": str(key)}]}},
                     cluster={"tls": {"ca": str(certificate), "server_name": "localhost"}})
    for _ in range(3):
        done = site.namespace.run(["curl", "-sS", "--cacert", certificate, "--resolve", f"localhost:{FRONT}:127.0.0.1",
                                   f"https://localhost:{FRONT}/page"])
        assert done.stdout == PAGE.decode()
    # Who does not trust it says so: an alert.
    refused = site.namespace.run(["curl", "-sS", f"https://127.0.0.1:{FRONT}/page"], check=False)
    assert refused.returncode == 60, refused.stderr
    scraper.wait_for_value(3, "requests_total", outcome="answered")
    assert scraper.value("tls_handshakes_total", side="endpoint") == 1
    assert scraper.value("tls_resumed_total", side="endpoint") == scraper.value("tls_resumed_total", side="client") == 0
    assert scraper.value("tls_handshakes_total", side="client") == 3
    assert scraper.value("tls_failures_total", side="client", reason="refused_by_peer") == 1
    assert not [labels for (name, labels), value in scraper.samples.items()
                if name == "sluice_proxy_tls_failures_total" and ("side", "endpoint") in labels and value]


def test_what_is_under_way_is_shown(site, scraper):
    server = serve_pages(site, version="")
    site.start_proxy([server.port], more=metrics(), cluster={"protocol": "http1", "endpoint_connections": 1})
    server.send_signal(signal.SIGSTOP)
    client = H2Client(site.namespace, FRONT)
    streams = [client.request("/page") for _ in range(3)]
    # One has the connection, the others wait for it.
    scraper.wait_for_value(2, "cluster_pending_requests", cluster="app")
    open_requests = [("listener_open_requests", {"listener": "front"}), ("cluster_active_requests", {"cluster": "app"}),
                     ("endpoint_active_requests", {"cluster": "app", "endpoint": f"127.0.0.1:{server.port}"})]
    for name, labels in open_requests:
        assert scraper.value(name, **labels) == 3, name
    server.send_signal(signal.SIGCONT)
    assert [client.finish(stream).status for stream in streams] == [200] * 3
    scraper.wait_for_value(0, "cluster_pending_requests", cluster="app")
    for name, labels in open_requests:
        assert scraper.value(name, **labels) == 0, name
    client.close()


def test_what_the_operator_does_is_shown(site, scraper):
    server = serve_pages(site)
    site.start_proxy([server.port], more=metrics())
    scraper.wait_for_value(1, "config_last_reload_successful")
    assert scraper.value("draining") == 0
    good = site.config_path.read_text()
    site.config_path.write_text("listeners: []")
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in site.proxy.output(), 10, "the refusal")
    scraper.wait_for_value(0, "config_last_reload_successful")
    site.config_path.write_text(good)
    site.proxy.send_signal(signal.SIGHUP)
    scraper.wait_for_value(1, "config_last_reload_successful")
    site.ctl("drain")
    scraper.wait_for_value(1, "draining")
    site.ctl("undrain")
    scraper.wait_for_value(0, "draining")


def test_alert_rules_and_dashboard_name_metrics_that_exist():
    known = {name for name, _ in DOCUMENTED.findall((ROOT / "docs/proxy-metrics.md").read_text())}
    for path in ("packaging/prometheus/sluice-proxy-alerts.yaml", "packaging/grafana/sluice-proxy.json"):
        named = set(re.findall(r"\bsluice_[a-z_]+\b", (ROOT / path).read_text()))
        named = {re.sub(r"_(sum|count|bucket)$", "", name) if name not in known else name for name in named}
        assert len(named) >= 10, path
        assert named <= known, (path, named - known)
    checked = run(["promtool", "check", "rules", ROOT / "packaging/prometheus/sluice-proxy-alerts.yaml"], check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
