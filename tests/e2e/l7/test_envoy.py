"""Envoy's static bootstrap as sluice-proxy takes it: real gRPC calls, health checks on ports of their own, ejections, and
what a malformed message ends."""

import json
import signal

import pytest

from h2_client import H2Client
from name_server import PORT as DNS_PORT
from name_server import ZONE, NameServer
from netns import wait_for
from proxy_site import FRONT

API = "type.googleapis.com/envoy.extensions."
BOOTSTRAP = """
static_resources:
  listeners:
  - name: grpc
    address:
      socket_address: {{ address: 127.0.0.1, port_value: {front} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {api}filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          codec_type: AUTO
          {manager}
          route_config:
            name: local_route
            virtual_hosts:
            - name: backend
              domains: ["*"]
              routes:
              - match: {{ path: /denied }}
                direct_response: {{ status: 403 }}
              - match: {{ prefix: "/" }}
                route: {{ cluster: echo, timeout: 10s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": {api}filters.http.router.v3.Router
  clusters:
  - name: echo
    type: {type}
    connect_timeout: 0.25s
    lb_policy: ROUND_ROBIN
    common_lb_config: {{ healthy_panic_threshold: {{ value: 0 }} }}
    http2_protocol_options: {{ {http2} }}
    {cluster}
    load_assignment:
      cluster_name: echo
      endpoints:
      - lb_endpoints: {endpoints}
"""


class Envoy:
    """Writes a bootstrap for servers and runs the proxy with it."""

    def __init__(self, site):
        self.site = site
        self.path = site.network.directory / "envoy.yaml"
        self.log = site.network.directory / "health.log"

    def write(self, servers, *, names=(), health_ports=None, cluster="", manager="", http2="", type="STATIC"):
        """`names`: endpoints as names with ports."""
        endpoints = [{"endpoint": {"address": {"socket_address": {"address": name, "port_value": port}}}}
                     for name, port in names]
        for place, server in enumerate(servers):
            endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": server.port}}}
            if health_ports:
                endpoint["health_check_config"] = {"port_value": health_ports[place]}
            endpoints.append({"endpoint": endpoint})
        self.path.write_text(BOOTSTRAP.format(api=API, front=FRONT, manager=manager, cluster=cluster, http2=http2, type=type,
                                              endpoints=json.dumps(endpoints)), encoding="utf-8")

    def start(self, servers, **fields):
        self.write(servers, **fields)
        program = self.site.build / "control" / "sluice-proxy"
        self.site.proxy = self.site.namespace.popen([program, "--envoy", self.path, "--workers", "1", "--run-dir",
                                                     self.site.run_dir])
        self.site.wait_for_port(FRONT, self.site.proxy)

    def events(self, server):
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [line["event"] for line in lines if line["endpoint"] == f"127.0.0.1:{server.port}"]

    def wait_for_calls(self, *names):
        wait_for(lambda: set(self.site.client("python", "streams", 6)) == set(names), 15, f"calls to reach {names} only")


@pytest.fixture
def envoy(site):
    return Envoy(site)


def grpc_servers(site, *names):
    servers = []
    for name in names:
        directory = site.network.directory / name
        directory.mkdir()
        servers.append(site.python_peer("health_server.py", name, directory))
        servers[-1].directory = directory
    return servers


def test_grpc_calls_with_health_ports_and_an_event_log(site, envoy):
    """As in many a gRPC example: HTTP checks of a port beside the service's own."""
    servers = grpc_servers(site, "s1", "s2")
    health = [site.nginx(f"h{number}", version="", server="location = /healthz { try_files /healthz =503; }")
              for number in (1, 2)]
    for server in health:
        (server.www / "healthz").touch()
    envoy.start(servers, health_ports=[server.port for server in health], cluster=f"""
    health_checks:
    - timeout: 1s
      interval: 0.1s
      unhealthy_threshold: 2
      healthy_threshold: 2
      event_log_path: {envoy.log}
      always_log_health_check_failures: true
      http_health_check: {{ path: /healthz }}""")
    for server in servers:
        wait_for(lambda one=server: envoy.events(one) == ["healthy"], 10, "the first check")
    envoy.wait_for_calls("s1", "s2")
    (health[0].www / "healthz").unlink()
    # An answer that is not the expected one does not wait for the threshold.
    wait_for(lambda: "check_failed" in envoy.events(servers[0]), 10, "a second failure")
    assert envoy.events(servers[0])[:3] == ["healthy", "unhealthy", "check_failed"]
    envoy.wait_for_calls("s2")
    (health[0].www / "healthz").touch()
    envoy.wait_for_calls("s1", "s2")
    # One that is silent does: two bad checks.
    before = len(envoy.events(servers[1]))
    health[1].send_signal(signal.SIGKILL)
    wait_for(lambda: len(envoy.events(servers[1])) >= before + 2, 10, "two failures")
    assert envoy.events(servers[1])[before:][:2] == ["check_failed", "unhealthy"]
    envoy.wait_for_calls("s1")
    assert site.curl("/denied", "-o", "/dev/null", "-w", "%{http_code}").stdout == "403"


def test_grpc_health_service(site, envoy):
    servers = grpc_servers(site, "s1", "s2")
    for server in servers:
        (server.directory / "serving-test.Echo").touch()
    envoy.start(servers, cluster=f"""
    health_checks:
    - {{ timeout: 1s, interval: 0.1s, unhealthy_threshold: 3, healthy_threshold: 1, event_log_path: {envoy.log},
        grpc_health_check: {{ service_name: test.Echo }} }}""")
    envoy.wait_for_calls("s1", "s2")
    (servers[1].directory / "serving-test.Echo").rename(servers[1].directory / "sick-test.Echo")
    envoy.wait_for_calls("s1")
    assert envoy.events(servers[1])[-1] == "unhealthy"


def test_an_ejection_by_grpc_statuses(site, envoy):
    servers = grpc_servers(site, "s1", "s2", "s3")
    (servers[0].directory / "failing").touch()
    envoy.start(servers, cluster="outlier_detection: { consecutive_5xx: 3, base_ejection_time: 60s }")
    ended = site.client("python", "streams", 15)
    assert ended["s1 INTERNAL"] >= 3, ended
    envoy.wait_for_calls("s2", "s3")
    assert "event=ejected cluster=echo" in site.proxy.output()


def test_a_reload(site, envoy):
    """SIGHUP takes another server. STRICT_DNS with an address needs no DNS."""
    servers = grpc_servers(site, "s1", "s2")
    envoy.start(servers[:1], type="STRICT_DNS")
    envoy.wait_for_calls("s1")
    envoy.write(servers[1:], type="STRICT_DNS")
    site.proxy.send_signal(signal.SIGHUP)
    envoy.wait_for_calls("s2")
    assert "event=config_warning" in site.proxy.output()


def test_names_are_followed(site, envoy):
    """STRICT_DNS: the records of a real name server change."""
    addresses = [f"127.0.0.{number}" for number in (11, 12, 13)]
    site.nginx("town", http="".join(f"""
        server {{ listen {address}:9500 http2; location / {{ return 200 {address}; }} }}""" for address in addresses))
    name_server = NameServer(site, [f"app 0 A {address}" for address in addresses[:2]])
    resolver = {"name": "cares", "typed_config": {
        "@type": f"{API}network.dns_resolver.cares.v3.CaresDnsResolverConfig",
        "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": DNS_PORT}}]}}
    envoy.start([], names=[(f"app.{ZONE}", 9500)], type="STRICT_DNS", cluster=f"""
    dns_refresh_rate: 0.2s
    dns_lookup_family: V4_ONLY
    typed_dns_resolver_config: {json.dumps(resolver)}""")

    def wait_for_answers(*expected):
        wait_for(lambda: {site.curl("/").stdout for _ in range(6)} == set(expected), 15, f"{expected} to answer")

    wait_for_answers(*addresses[:2])
    name_server.serve([f"app 0 A {address}" for address in addresses[1:]])
    wait_for_answers(*addresses[1:])


@pytest.mark.parametrize("field, survives", [("", False), ("stream_error_on_invalid_http_messaging: true", True),
                                             ("override_stream_error_on_invalid_http_message: true", True)],
                         ids=["unset", "stream-error", "override"])
def test_what_a_malformed_request_ends(site, envoy, field, survives):
    """A field that HTTP/2 has not: either the stream is reset and the next request is answered, or GOAWAY."""
    server = site.nginx("n1")
    envoy.start([server], manager=f"http2_protocol_options: {{ {field} }}")
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/who")).status == 200
    client.h2.config.validate_outbound_headers = client.h2.config.normalize_outbound_headers = False
    bad = client.request("/who", headers=[("connection", "close")])
    if survives:
        wait_for(lambda: client.answers[bad].reset is not None or client.read_for(0.05), 10, "RST_STREAM")
        assert client.finish(client.request("/who")).status == 200
        assert not client.goaways
    else:
        wait_for(lambda: client.goaways or client.read_for(0.05), 10, "GOAWAY")
    client.close()


@pytest.mark.parametrize("field, survives", [("", False), ("stream_error_on_invalid_http_messaging: true", True)],
                         ids=["unset", "stream-error"])
def test_what_a_malformed_response_ends(site, envoy, field, survives):
    """Another request is under way on the same connection to the server."""
    server = site.python_peer("h2_server.py", "n1")
    envoy.start([server], http2=field, cluster="circuit_breakers: { thresholds: [ { max_connections: 1 } ] }")
    client = H2Client(site.namespace, FRONT)
    slow = client.request("/sleep/700")
    bad = client.request("/malformed")
    malformed = client.finish(bad)
    assert malformed.status == 502 or malformed.reset is not None
    other = client.finish(slow)
    assert (other.status == 200) == survives, (other.status, other.reset)
    assert client.finish(client.request("/who")).status == 200
    client.close()


def test_a_file_with_unknown_fields_starts_nothing(site, envoy):
    server = site.nginx("n1")
    envoy.write([server], cluster="lb_subset_config: {}")
    done = site.namespace.run([site.build / "control" / "sluice-proxy", "--check", envoy.path], check=False)
    line = next(number for number, text in enumerate(envoy.path.read_text(encoding="utf-8").splitlines(), 1)
                if "lb_subset_config" in text)
    assert done.returncode == 3
    assert f"{envoy.path}:{line}:5: static_resources.clusters[0].lb_subset_config: not supported" in done.stderr
    run = site.namespace.run([site.build / "control" / "sluice-proxy", "--envoy", envoy.path], check=False)
    assert run.returncode == 3 and run.stderr == done.stderr
