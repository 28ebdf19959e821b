"""Traces: what endpoints are told, and what a collector gets; its judgement is that of OpenTelemetry's own schema."""

import json
import signal
import time

import pytest

from h2_client import H2Client
from netns import run, wait_for
from proxy_site import FRONT

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"
SERVER, CLIENT = 2, 3
COLLECTOR, METRICS = 4318, 9109


def tracing(**fields):
    """Top-level fields of a proxy that traces, with metrics."""
    return {"metrics": {"listen": f"127.0.0.1:{METRICS}"},
            "tracing": {"endpoint": f"http://127.0.0.1:{COLLECTOR}/v1/traces"} | fields}


class Collector:
    def __init__(self, site, *answers, port=COLLECTOR):
        self.process = site.node_peer("otlp_collector.js", *answers, port=port)

    def lines(self, kind):
        lines = [line.split(" ", 1) for line in self.process.output().splitlines()]
        assert not [line for line in lines if line[0] == "invalid"], lines
        return [json.loads(text) for first, text in lines if first == kind]

    def requests(self):
        return self.lines("request")

    def spans(self, count):
        """The spans, when at least so many have come."""
        wait_for(lambda: len(self.lines("span")) >= count, 20, f"{count} spans to arrive", interval_s=0.05)
        return self.lines("span")


def of_kind(spans, kind):
    return [span for span in spans if span["kind"] == kind]


def metric(site, name, **labels):
    text = site.namespace.run(["curl", "-sS", "-m", "10", f"http://127.0.0.1:{METRICS}/metrics"]).stdout
    wanted = "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}" if labels else ""
    line = next(line for line in text.splitlines() if line.startswith(f"sluice_proxy_trace_{name}{wanted} "))
    return float(line.rsplit(" ", 1)[1])


def seen(site, *fields, path="/headers"):
    """The fields that the endpoint gets of a request with these ("name: value"), as a list of pairs."""
    words = [word for field in fields for word in ("-H", field)]
    return [tuple(pair) for pair in json.loads(site.curl(path, *words).stdout)]


def values(pairs, name):
    return [value for key, value in pairs if key == name]


@pytest.fixture
def server(site):
    return site.python_peer("h2_server.py", "h1")


@pytest.mark.smoke
def test_a_trace_goes_on_from_the_client_through_the_proxy_to_the_endpoint(site, server):
    collector = Collector(site)
    site.start_proxy([server.port], more=tracing(service_name="edge", headers=[{"name": "x-key", "value": "k1"}]))
    pairs = seen(site, f"traceparent: {SAMPLED}", "tracestate: rojo=1,congo=2", path="/headers?secret=1")
    spans = collector.spans(2)
    assert len(spans) == 2
    (asked,), (tried,) = of_kind(spans, SERVER), of_kind(spans, CLIENT)
    assert asked["traceId"] == tried["traceId"] == TRACE
    assert asked["parentSpanId"] == PARENT
    assert tried["parentSpanId"] == asked["spanId"]
    assert values(pairs, "traceparent") == [f"00-{TRACE}-{tried['spanId']}-01"]
    assert values(pairs, "tracestate") == ["rojo=1,congo=2"]
    assert asked["traceState"] == tried["traceState"] == "rojo=1,congo=2"
    assert asked["name"] == tried["name"] == "GET"
    assert asked["resource"] | {"service.version": ""} == {"service.name": "edge", "service.instance.id": "p1",
                                                           "service.version": ""}
    assert asked["attributes"].pop("user_agent.original").startswith("curl/")
    assert asked["attributes"] == {
        "http.request.method": "GET", "url.scheme": "http", "url.path": "/headers", "server.address": "127.0.0.1",
        "server.port": FRONT, "client.address": "127.0.0.1", "network.protocol.version": "2",
        "http.response.status_code": 200, "sluice.listener": "front", "sluice.virtual_host": "all", "sluice.route": "#1",
        "sluice.cluster": "app", "sluice.outcome": "answered", "sluice.tries": 1}
    assert tried["attributes"] == {
        "http.request.method": "GET", "server.address": "127.0.0.1", "server.port": server.port,
        "url.full": f"http://127.0.0.1:{server.port}/headers", "network.protocol.version": "2",
        "http.response.status_code": 200, "sluice.cluster": "app"}
    for span in spans:
        assert abs(int(span["startTimeUnixNano"]) / 1e9 - time.time()) < 60
    assert (int(asked["startTimeUnixNano"]) <= int(tried["startTimeUnixNano"])
            <= int(tried["endTimeUnixNano"]) <= int(asked["endTimeUnixNano"]))
    (request,) = collector.requests()
    assert request["path"] == "/v1/traces" and request["method"] == "POST"
    assert request["headers"]["x-key"] == "k1" and request["headers"]["content-type"] == "application/json"
    wait_for(lambda: metric(site, "spans_exported_total") == 2, 10, "the metric")


def test_what_is_kept_for_a_span_counts_as_the_clients_memory(site, server):
    """Requests that wait for their answer, without and with a span, that are the same otherwise."""
    requests, text = 200, "x" * 250
    held = []

    def samples():
        page = site.namespace.run(["curl", "-sS", "-m", "10", f"http://127.0.0.1:{METRICS}/metrics"]).stdout
        return dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))

    for percent in (0, 100):
        if site.proxy is not None:
            site.proxy.stop()
        site.start_proxy([server.port], more=tracing(sample_percent=percent))
        client = H2Client(site.namespace, FRONT)
        for _ in range(requests):
            client.request("/hang/" + text * 3, headers=[("user-agent", text)])
        wait_for(lambda: samples()['sluice_proxy_listener_open_requests{listener="front"}'] == str(requests), 10,
                 "all requests to be under way", interval_s=0.1)
        held.append(int(samples()["sluice_proxy_memory_bytes"]))
        client.close()
    # A worker hands in what has changed from 64 KB on.
    assert held[1] - held[0] > requests * 1000 - 65536, held


def test_what_is_not_sampled_is_passed_on_and_not_told(site, server):
    collector = Collector(site)
    site.start_proxy([server.port], more=tracing(sample_percent=0))
    pairs = seen(site, f"traceparent: {UNSAMPLED}", "tracestate: rojo=1")
    assert values(pairs, "traceparent") == [UNSAMPLED] and values(pairs, "tracestate") == ["rojo=1"]
    # A trace that begins here: its endpoints are told that nobody records it.
    (begun,) = values(seen(site), "traceparent")
    assert begun.endswith("-00") and TRACE not in begun
    # The sender's word counts, not our share.
    seen(site, f"traceparent: {SAMPLED}")
    assert {span["traceId"] for span in collector.spans(2)} == {TRACE}
    assert len(collector.spans(2)) == 2


def test_a_sender_that_is_invalid_or_not_believed_begins_a_trace_anew(site, server):
    collector = Collector(site)
    site.start_proxy([server.port], more=tracing())
    wrong = [[f"traceparent: {SAMPLED.upper()}"], [f"traceparent: {SAMPLED}-x"], [f"traceparent: ff{SAMPLED[2:]}"],
             [f"traceparent: {SAMPLED}", f"traceparent: {SAMPLED}"], []]
    for fields in wrong:
        pairs = seen(site, *fields, "tracestate: rojo=1")
        (sent,) = values(pairs, "traceparent")
        assert TRACE not in sent and sent.startswith("00-") and sent.endswith("-01"), fields
        assert not values(pairs, "tracestate"), fields
    # Of a later version the known part counts, and ours goes on; a list that is none does not.
    pairs = seen(site, f"traceparent: cc{SAMPLED[2:]}-later", "tracestate: no list")
    (sent,) = values(pairs, "traceparent")
    assert sent.startswith(f"00-{TRACE}-") and PARENT not in sent and not values(pairs, "tracestate")
    roots = [span for span in of_kind(collector.spans(2 * (len(wrong) + 1)), SERVER) if "parentSpanId" not in span]
    assert len(roots) == len(wrong)
    site.configure([server.port], more=tracing(follow_clients=False))
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: TRACE not in values(seen(site, f"traceparent: {SAMPLED}"), "traceparent")[0], 10,
             "clients not to be believed any more")


def test_without_tracing_the_fields_are_passed_on_as_they_are(site, server):
    site.start_proxy([server.port])
    pairs = seen(site, "traceparent: anything", "tracestate: at all")
    assert values(pairs, "traceparent") == ["anything"] and values(pairs, "tracestate") == ["at all"]
    assert not values(seen(site), "traceparent")


def test_listeners_and_routes_have_shares_of_their_own(site, server):
    collector = Collector(site)
    routes = [{"prefix": "/headers", "cluster": "app", "trace_percent": 100, "name": "loud"}, {"cluster": "app"}]
    site.start_proxy([server.port], more=tracing(), listener={
        "cluster": None, "trace_percent": 0, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
    site.curl("/who")
    (sent,) = values(seen(site), "traceparent")
    assert sent.endswith("-01")
    (asked,) = of_kind(collector.spans(2), SERVER)
    assert asked["attributes"]["sluice.route"] == "loud" and asked["attributes"]["url.path"] == "/headers"


def in_this_order(*ports):
    """Endpoints of which the second gets what the first cannot take."""
    return [{"address": "127.0.0.1", "port": port, "priority": place} for place, port in enumerate(ports)]


@pytest.mark.parametrize("path,error", [("/refuse", "refused"), ("/reset", "reset"), ("/hang", "timeout")])
def test_each_try_has_its_span(site, path, error):
    bad, good = site.python_peer("h2_server.py", "h1"), site.nginx("good", server="location / { return 200; }")
    collector = Collector(site)
    site.start_proxy([], cluster={"endpoints": in_this_order(bad.port, good.port)}, more=tracing(), listener={
        "cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [{"cluster": "app", "retry": {
            "on": ["refused-stream", "reset", "try-timeout"], "max_retries": 1, "per_try_timeout": "200ms"}}]}]})
    assert site.curl(path, "-o", "/dev/null", "-w", "%{http_code}").stdout == "200"
    spans = collector.spans(3)
    (asked,) = of_kind(spans, SERVER)
    assert asked["attributes"]["sluice.tries"] == 2
    tries = sorted((span for span in of_kind(spans, CLIENT) if span["parentSpanId"] == asked["spanId"]),
                   key=lambda span: span["attributes"].get("http.request.resend_count", 0))
    assert [span["attributes"]["server.port"] for span in tries] == [bad.port, good.port]
    assert tries[0]["attributes"]["error.type"] == error and tries[0]["status"] == {"code": 2}
    assert "http.response.status_code" not in tries[0]["attributes"]
    assert tries[1]["attributes"]["http.request.resend_count"] == 1 and "status" not in tries[1]
    assert asked["attributes"]["http.response.status_code"] == 200 and "status" not in asked


def test_each_side_is_told_as_it_is(site, tmp_path):
    """HTTP/1.1 from the client, HTTP/2 over TLS to the endpoint; and the other way round."""
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
             "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    run(["openssl", *words, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"])
    secure = site.nginx("secure", version="ssl http2",
                        http=f"ssl_certificate {tmp_path}/cert.pem; ssl_certificate_key {tmp_path}/key.pem;")
    plain = site.nginx("plain", version="")
    collector = Collector(site)
    tls = {"ca": str(tmp_path / "cert.pem"), "server_name": "localhost"}
    routes = [{"prefix": "/secure/", "cluster": "secure", "rewrite": {"prefix": "/"}}, {"cluster": "plain"}]
    site.start_proxy([], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                     more=tracing() | {"clusters": [
                         {"name": "secure", "endpoints": in_this_order(secure.port), "tls": tls},
                         {"name": "plain", "endpoints": in_this_order(plain.port), "protocol": "http1"}]})
    done = site.namespace.run(["curl", "-sS", "--http1.1", f"http://127.0.0.1:{FRONT}/secure/who"])
    assert done.stdout == "secure\n" and site.curl("/who").stdout == "plain\n"
    found = {(span["attributes"]["sluice.cluster"], span["kind"]): span["attributes"] for span in collector.spans(4)}
    versions = {key: attributes["network.protocol.version"] for key, attributes in found.items()}
    assert versions == {("secure", SERVER): "1.1", ("secure", CLIENT): "2", ("plain", SERVER): "2", ("plain", CLIENT): "1.1"}
    assert found["secure", CLIENT]["url.full"] == f"https://127.0.0.1:{secure.port}/who"
    assert found["plain", CLIENT]["url.full"] == f"http://127.0.0.1:{plain.port}/who"


def test_a_hedged_try_and_a_mirrors_copy_have_spans_of_their_own(site):
    slow, fast = site.python_peer("h2_server.py", "slow"), site.nginx("fast", server="location = /hang { return 200; }")
    mirror = site.python_peer("h2_server.py", "mirror")
    collector = Collector(site)
    endpoints = {"app": [slow.port, fast.port], "shadow": [mirror.port]}
    site.start_proxy([], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"prefix": "/hang", "cluster": "app", "retry": {"hedge_after": "100ms"}},
        {"cluster": "shadow", "mirrors": [{"cluster": "shadow"}]}]}]}, more=tracing() | {"clusters": [
            {"name": name, "endpoints": in_this_order(*ports)} for name, ports in endpoints.items()]})
    assert site.curl("/hang", "-o", "/dev/null", "-w", "%{http_code}").stdout == "200"
    spans = collector.spans(3)
    (lost,) = [span for span in spans if span["attributes"].get("error.type") == "cancelled"]
    (won,) = [span for span in spans if span.get("parentSpanId") == lost["parentSpanId"] and span != lost]
    assert lost["attributes"]["server.port"] == slow.port and won["attributes"]["server.port"] == fast.port
    assert won["attributes"]["http.request.resend_count"] == 1 and "status" not in won and "status" not in lost
    before = len(spans)
    seen(site)
    later = collector.spans(before + 3)[before:]
    (asked,), tried = of_kind(later, SERVER), of_kind(later, CLIENT)
    assert {span["parentSpanId"] for span in tried} == {asked["spanId"]} and len({span["spanId"] for span in tried}) == 2
    assert [span["attributes"].get("sluice.mirror", False) for span in tried].count(True) == 1


def test_the_access_log_names_trace_and_span(site, server):
    collector = Collector(site)
    log = site.network.directory / "access.log"
    site.start_proxy([server.port], more=tracing() | {
        "access_log": {"to": str(log), "format": "%TRACE_ID% %SPAN_ID%"}})
    seen(site, f"traceparent: {SAMPLED}")
    seen(site, f"traceparent: {UNSAMPLED}")
    (asked,) = of_kind(collector.spans(2), SERVER)
    wait_for(lambda: len(log.read_text().splitlines()) == 2, 10, "the lines")
    assert log.read_text().splitlines() == [f"{TRACE} {asked['spanId']}", f"{TRACE} -"]


def test_what_the_proxy_answers_by_itself_has_a_span(site):
    collector = Collector(site)
    site.start_proxy([9999], more=tracing())
    assert site.curl("/who", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"
    (asked,) = collector.spans(1)
    assert asked["attributes"]["sluice.outcome"] == "connect_failed" == asked["attributes"]["error.type"]
    assert asked["attributes"]["http.response.status_code"] == 503 and asked["status"] == {"code": 2}


def test_calls_have_their_names_and_codes(site):
    server = site.grpc_server("python", "s1")
    collector = Collector(site)
    site.start_proxy([server.port], more=tracing())
    assert site.client("python", "fail", 5, "not there")["code"] == "NOT_FOUND"
    assert site.client("python", "fail", 13, "broken")["code"] == "INTERNAL"
    spans = collector.spans(4)
    for span in spans:
        assert span["name"] == "test.Echo/Fail"
        assert span["attributes"]["rpc.system"] == "grpc" and span["attributes"]["rpc.service"] == "test.Echo"
        assert span["attributes"]["rpc.method"] == "Fail" and span["attributes"]["http.response.status_code"] == 200
    of_code = {code: [span for span in spans if span["attributes"]["rpc.grpc.status_code"] == code] for code in (5, 13)}
    assert ["status" in span for kind in (SERVER, CLIENT) for span in of_kind(of_code[5], kind)] == [False, True]
    assert ["status" in span for kind in (SERVER, CLIENT) for span in of_kind(of_code[13], kind)] == [True, True]


def test_a_collector_that_is_not_there_hurts_nobody_and_gets_its_spans_later(site):
    server = site.nginx("n1")
    site.start_proxy([server.port], more=tracing())
    load = site.h2load("/who", "-n", 300, "-c", 4, "-m", 10)
    assert load.bad == 0, load.output
    wait_for(lambda: metric(site, "export_failures_total", reason="connection") > 0, 10, "an export to fail")
    assert "event=trace_export_failed" in site.proxy.output()
    collector = Collector(site)
    # One for each request and one for its try; one that came a moment too late is in the next body.
    assert len(collector.spans(600)) == 600
    wait_for(lambda: metric(site, "spans_exported_total") == 600, 10, "the metric")
    assert "event=trace_export_recovered" in site.proxy.output()


def test_a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not(site, server):
    collector = Collector(site, "503", "429/2", "200", "400")
    site.start_proxy([server.port], more=tracing())
    site.curl("/who")
    collector.spans(2)
    requests = collector.requests()
    assert len(requests) == 3
    # As late as it asked for, which is later than we would have come by ourselves.
    assert requests[2]["at_ms"] - requests[1]["at_ms"] >= 2000
    assert metric(site, "export_failures_total", reason="status") == 2
    assert metric(site, "spans_dropped_total", reason="refused") == 0
    site.curl("/who")
    wait_for(lambda: metric(site, "spans_dropped_total", reason="refused") == 2, 10, "spans to be refused")
    site.curl("/who")
    assert len(collector.spans(4)) == 4


def test_spans_that_a_collector_takes_in_part_are_counted_so(site, server):
    collector = Collector(site, "200/rejects-1")
    site.start_proxy([server.port], more=tracing())
    site.curl("/who")
    collector.spans(2)
    wait_for(lambda: metric(site, "spans_dropped_total", reason="refused") == 1, 10, "the rejected one to be counted")
    assert metric(site, "spans_exported_total") == 1
    assert metric(site, "export_failures_total", reason="status") == 0


def test_a_collector_that_hangs_holds_up_neither_requests_nor_the_end(site, server):
    collector = Collector(site, *["hang"] * 100)
    site.start_proxy([server.port], more=tracing(timeout="300ms"))
    assert site.curl("/who").stdout == "h1"
    wait_for(lambda: metric(site, "export_failures_total", reason="timeout") > 0, 10, "a time-out")
    assert site.curl("/who").stdout == "h1"
    # What waits is sent at once when the collector's settings change.
    before = len(collector.requests())
    site.configure([server.port], more=tracing(timeout="60s"))
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in site.proxy.output(), 10, "the new file to be taken")
    wait_for(lambda: len(collector.requests()) > before, 10, "a request that nobody will answer")
    started = time.monotonic()
    site.proxy.send_signal(signal.SIGTERM)
    assert site.proxy.wait(20) == 0
    assert time.monotonic() - started < 15
    assert "event=trace_export_unfinished" in site.proxy.output()
    site.proxy = None


def test_the_last_spans_are_sent_before_the_end(site, server):
    collector = Collector(site)
    site.start_proxy([server.port], more=tracing())
    site.curl("/who")
    site.proxy.send_signal(signal.SIGTERM)
    assert site.proxy.wait(10) == 0
    site.proxy = None
    assert len(collector.spans(2)) == 2


def test_tracing_comes_and_moves_with_a_new_file(site, server):
    first, second = Collector(site), Collector(site, port=COLLECTOR + 1)

    def reload(fields):
        times = site.proxy.output().count("event=reloaded")
        site.configure([server.port], more=fields)
        site.proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: site.proxy.output().count("event=reloaded") > times, 10, "the new file to be taken")

    site.start_proxy([server.port], more={"metrics": {"listen": f"127.0.0.1:{METRICS}"}})
    assert not values(seen(site), "traceparent")
    reload(tracing())
    wait_for(lambda: values(seen(site), "traceparent"), 10, "tracing to be on")
    first.spans(2)
    reload(tracing(endpoint=f"http://127.0.0.1:{COLLECTOR + 1}"))
    seen(site, f"traceparent: {SAMPLED}")
    # Before it, perhaps, what the first one had not yet confirmed.
    wait_for(lambda: TRACE in [span["traceId"] for span in second.spans(2)], 10, "the new spans at the new collector")
    site.configure([server.port], more=tracing(endpoint="https://127.0.0.1:1"))
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "TLS to a collector is not spoken" in site.proxy.output(), 10, "the complaint")
    assert values(seen(site), "traceparent")
    reload({"metrics": {"listen": f"127.0.0.1:{METRICS}"}})
    wait_for(lambda: not values(seen(site), "traceparent"), 10, "tracing to be off")
