"""What the access log says of requests that end in every way, and what becomes of it when files are renamed or full."""

import json
import re
import signal
from pathlib import Path

import pytest

from h2_client import Answer, H2Client
from netns import run, wait_for
from proxy_site import FRONT

ROOT = Path(__file__).resolve().parents[3]
METRICS = {"listen": "127.0.0.1:9109"}
MEMBERS = {
    "start": "%START_TIME%", "client": "%DOWNSTREAM_REMOTE_ADDRESS%", "listener": "%LISTENER%", "protocol": "%PROTOCOL%",
    "call": "%REQ(:METHOD)% %REQ(:SCHEME)% %REQ(:AUTHORITY)% %REQ(:PATH)%", "path": "%REQ(:PATH)%",
    "upstream_path": "%UPSTREAM_PATH%", "agent": "%REQ(user-agent)%", "type": "%RESP(content-type)%",
    "set": "%RESP(x-set)%", "status": "%RESPONSE_CODE%", "grpc": "%GRPC_STATUS%", "message": "%TRAILER(grpc-message)%",
    "outcome": "%OUTCOME%", "flags": "%RESPONSE_FLAGS%", "in": "%BYTES_RECEIVED%", "out": "%BYTES_SENT%",
    "ms": "%DURATION%", "request_ms": "%REQUEST_DURATION%", "answer_ms": "%RESPONSE_DURATION%",
    "endpoint_ms": "%UPSTREAM_DURATION%", "host": "%VIRTUAL_HOST%", "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%", "endpoint": "%UPSTREAM_HOST%", "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "tls": "%DOWNSTREAM_TLS_VERSION%", "sni": "%REQUESTED_SERVER_NAME%", "alpn": "%DOWNSTREAM_ALPN%",
}


class Log:
    """A log of JSON lines, read as it grows."""

    def __init__(self, path):
        self.path, self.seen = path, 0

    @property
    def config(self):
        return {"to": str(self.path), "json": MEMBERS}

    def lines(self):
        return self.path.read_text().splitlines() if self.path.exists() else []

    def next(self):
        """The next line."""
        wait_for(lambda: len(self.lines()) > self.seen, 10, f"line {self.seen + 1} of {self.path}")
        self.seen += 1
        return json.loads(self.lines()[self.seen - 1])

    def next_has(self, **expected):
        line = self.next()
        assert {name: line[name] for name in expected} == expected, line
        return line


@pytest.fixture
def log(network):
    return Log(network.directory / "access.log")


def routes(*items):
    return {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": list(items)}]}


def cluster(name, *ports, **fields):
    return {"name": name, "endpoints": [{"address": "127.0.0.1", "port": port} for port in ports]} | fields


def metric(site, name):
    text = site.namespace.run(["curl", "-s", f"http://{METRICS['listen']}/metrics"]).stdout
    return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.MULTILINE)[1])


def test_an_answer(site, log):
    # It reads the whole request before it answers.
    inner = f"unix:{site.network.directory}/inner.sock"
    server = site.nginx("n1", server=f"location /in/ {{ proxy_pass http://{inner}; }}",
                        http=f"server {{ listen {inner}; location / {{ return 200 hello; default_type text/x-test; }} }}")
    site.start_proxy([server.port], listener=routes({"name": "r", "prefix": "/shop/", "rewrite": {"prefix": "/in/"},
                                                     "cluster": "app", "response_headers": [{"set": "x-set", "value": "s"}]}),
                     more={"access_log": log.config})
    site.curl("/shop/./buy?n=1", "--path-as-is", "-d", "x" * 1000, "-A", 'a "quoted" agent', "-H", "host: shop.example.com")
    line = log.next_has(
        listener="front", protocol="HTTP/2", call="POST http shop.example.com /shop/./buy?n=1", path="/shop/./buy?n=1",
        upstream_path="/in/buy?n=1", agent='a "quoted" agent', type="text/x-test", set="s", status=200, grpc=None,
        outcome="answered", flags=None, out=5, host="all", route="r", cluster="app", tries=1, tls=None, sni=None, alpn=None,
        endpoint=f"127.0.0.1:{server.port}", **{"in": 1000})
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["start"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["client"]) and not line["client"].endswith(f":{FRONT}")
    assert line["ms"] >= line["answer_ms"] >= line["endpoint_ms"] >= 0
    site.namespace.run(["curl", "-sS", "--http1.0", "-o", "/dev/null", "-I", f"http://127.0.0.1:{FRONT}/shop/"])
    log.next_has(protocol="HTTP/1.0", call=f"HEAD http 127.0.0.1:{FRONT} /shop/", status=200, out=0, agent="curl/" + curl_version())


def test_a_request_that_ends_late(site, log):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], more={"access_log": log.config})
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/upload", "POST", end=False)
    client.read_for(0.3)  # the time that the line is to show
    client.h2.send_data(stream, b"last", end_stream=True)
    client.flush()
    client.finish(stream)
    line = log.next_has(status=200, **{"in": 4, "out": 2})
    assert line["answer_ms"] >= line["request_ms"] >= 250
    # The client's time is not the endpoint's: that begins when the request is whole.
    assert abs(line["answer_ms"] - line["request_ms"] - line["endpoint_ms"]) < 0.01
    client.close()


def test_an_endpoint_that_answers_before_it_has_the_whole_request(site, log):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], more={"access_log": log.config})
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/talk", "POST", end=False)
    while client.answers[stream].status is None:
        client.read()
    client.h2.send_data(stream, b"last", end_stream=True)
    client.flush()
    assert client.finish(stream).body == b"h1"
    line = log.next_has(status=200, **{"in": 4, "out": 2})
    assert line["request_ms"] > line["answer_ms"] >= line["endpoint_ms"] > 0
    client.close()


def curl_version():
    return run(["curl", "--version"]).stdout.split()[1]


def test_tls(site, log, tmp_path):
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=a"]
    run(["openssl", *words, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"])
    server = site.nginx("n1")
    certificates = [{"certificate": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}]
    site.start_proxy([server.port], listener={"tls": {"certificates": certificates}, "access_log": log.config})
    site.namespace.run(["curl", "-sSk", "--http2", "--resolve", f"shop.example.com:{FRONT}:127.0.0.1",
                        f"https://shop.example.com:{FRONT}/who"])
    log.next_has(call=f"GET https shop.example.com:{FRONT} /who", tls="TLSv1.3", sni="shop.example.com", alpn="h2", status=200)


def test_requests_that_fail(site, log):
    bad = site.python_peer("h2_server.py", "bad")
    good = site.nginx("good", server="location / { return 200 good; }")
    retry = {"on": ["reset", "5xx"], "max_retries": 2}
    site.start_proxy(
        [], listener=routes(
            {"name": "again", "headers": [{"name": "x-again"}], "cluster": "both", "retry": retry},
            {"name": "budget", "headers": [{"name": "x-budget"}], "cluster": "poor", "retry": retry},
            {"name": "in-time", "headers": [{"name": "x-time"}], "cluster": "bad", "request_timeout": "200ms"},
            {"name": "tries", "headers": [{"name": "x-try"}], "cluster": "bad", "request_timeout": "5s",
             "retry": {"on": ["try-timeout"], "per_try_timeout": "100ms", "max_retries": 1}},
            {"prefix": "/dead", "cluster": "dead"}, {"prefix": "/drained", "cluster": "drained"},
            {"prefix": "/moved", "redirect": {"path": "/there", "status": 308}},
            {"regex": "/(reset|refuse|half|hang|who|status/.*)", "cluster": "bad"}),
        more={"access_log": log.config, "clusters": [
            cluster("bad", bad.port), cluster("dead", 1), cluster("both", bad.port, good.port, policy="round_robin"),
            cluster("poor", bad.port, retry_percent=0, retry_min=0),
            {"name": "drained", "endpoints": [{"address": "127.0.0.1", "port": bad.port, "weight": 0}]}]})
    at_bad = f"127.0.0.1:{bad.port}"

    def ask(path, *words):
        site.curl(path, "-o", "/dev/null", *words, check=False)

    ask("/reset")
    log.next_has(outcome="upstream_reset", status=502, flags="reset", endpoint=at_bad, tries=1, endpoint_ms=None)
    ask("/half")
    log.next_has(outcome="upstream_reset", status=200, flags="cut_short", endpoint=at_bad)
    ask("/refuse")
    log.next_has(outcome="upstream_refused", status=503, flags="refused", endpoint=at_bad, tries=3)
    ask("/status/500")
    log.next_has(outcome="answered", status=500, flags=None, endpoint=at_bad)
    ask("/dead")
    log.next_has(outcome="connect_failed", status=503, flags="connect_failed", endpoint="127.0.0.1:1", cluster="dead")
    ask("/drained")
    log.next_has(outcome="no_endpoint", status=503, flags=None, endpoint=None, upstream_path=None, cluster="drained", tries=0)
    ask("/nowhere")
    log.next_has(outcome="no_route", status=404, route=None, host=None, cluster=None, endpoint=None, tries=0)
    ask("/moved")
    log.next_has(outcome="direct", status=308, endpoint=None, out=0)
    ask("/hang", "-H", "x-time: 1")
    line = log.next_has(outcome="request_timeout", status=504, flags=None, endpoint=at_bad, route="in-time", endpoint_ms=None)
    assert line["ms"] >= 200
    ask("/hang", "-H", "x-try: 1")
    log.next_has(outcome="request_timeout", status=504, flags="try_timeout", tries=2, route="tries")
    ask("/hang", "-m", "0.3")
    line = log.next_has(outcome="client_gone", status=None, flags=None, endpoint=at_bad, answer_ms=None)
    assert line["ms"] >= 200
    ask("/reset", "-H", "x-budget: 1")
    log.next_has(outcome="upstream_reset", status=502, flags="reset,retry_refused", tries=1)
    # Round robin: at least one of two requests begins at the bad one.
    for path, flag in (("/reset", "reset"), ("/status/503", "answer_retried")):
        found = []
        for _ in range(2):
            ask(path, "-H", "x-again: 1")
            line = log.next_has(outcome="answered", status=200, endpoint=f"127.0.0.1:{good.port}", route="again")
            found.append((line["tries"], line["flags"]))
        assert (2, flag) in found and set(found) <= {(1, None), (2, flag)}


def test_a_second_try_beside_a_slow_first_one(site, log):
    slow, fast = site.python_peer("h2_server.py", "slow"), site.nginx("fast", server="location = /hang { return 200; }")
    site.start_proxy([], cluster={"endpoints": [{"address": "127.0.0.1", "port": port, "priority": place}
                                                for place, port in enumerate((slow.port, fast.port))]},
                     listener=routes({"cluster": "app", "retry": {"hedge_after": "100ms"}}), more={"access_log": log.config})
    site.curl("/hang", "-o", "/dev/null")
    log.next_has(outcome="answered", status=200, flags="hedged", tries=2, endpoint=f"127.0.0.1:{fast.port}")


def test_a_request_that_a_server_leaves_to_another_connection(site, log):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], more={"access_log": log.config, "metrics": METRICS, "proxy": {"workers": 1}})
    # The connection is there, so that both go to the server in one piece.
    site.curl("/who")
    log.next_has(flags=None, tries=1)
    client = H2Client(site.namespace, FRONT)
    both = [client.h2.get_next_available_stream_id(), client.h2.get_next_available_stream_id() + 2]
    for stream, path in zip(both, ("/goaway", "/who")):
        client.answers[stream] = Answer()
        client.h2.send_headers(stream, [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "test")],
                               end_stream=True)
    client.flush()
    assert [client.finish(stream).status for stream in both] == [200, 200]
    lines = {line["path"]: line for line in (log.next(), log.next())}
    assert [(lines[path]["flags"], lines[path]["tries"]) for path in ("/goaway", "/who")] == [(None, 1), ("moved", 1)]
    moves = 'sluice_proxy_cluster_moves_total{cluster="app"}'
    wait_for(lambda: metric(site, moves) == 1, 10, "the metric")
    client.close()


def test_bytes_that_the_client_has_not_taken_are_not_counted(site, log):
    server = site.nginx("n1")
    (server.www / "page").write_bytes(b"x" * 100_000)
    site.start_proxy([server.port], more={"access_log": log.config})
    client = H2Client(site.namespace, FRONT, window=1000)
    stream = client.request("/page")
    while len(client.answers[stream].body) < 1000:
        client.read()
    client.reset(stream)
    log.next_has(outcome="client_gone", status=200, flags="cut_short", out=1000, tries=1)
    client.close()


def test_grpc_calls(site, log):
    server = site.grpc_server("python", "s1")
    site.start_proxy([server.port], listener={"access_log": log.config})
    site.client("python", "unary")
    log.next_has(path="/test.Echo/Unary", status=200, grpc="OK", outcome="answered", **{"in": 10, "out": 10})
    site.client("python", "fail", 5, "not there")
    log.next_has(path="/test.Echo/Fail", status=200, grpc="NOT_FOUND", message="not there", outcome="answered")
    site.client("python", "bidi", 50)
    line = log.next_has(path="/test.Echo/Bidi", grpc="OK", outcome="answered")
    assert line["in"] > 250 and line["out"] > 250
    server.stop()
    client = H2Client(site.namespace, FRONT)
    client.finish(client.request("/test.Echo/Unary", "POST", body=b"", headers=[("content-type", "application/grpc")]))
    log.next_has(status=200, grpc="UNAVAILABLE", outcome="connect_failed", flags="connect_failed")
    client.close()


def test_a_line_cannot_be_forged(site, network):
    server = site.nginx("n1")
    path = network.directory / "text.log"
    site.start_proxy([server.port], listener={"access_log": {"to": str(path), "format": '"%REQ(user-agent)%" %REQ(:PATH)% end'}})
    site.curl("/who", "-A", 'x" 200 "\\ \u00e4\u009b')
    site.curl("/who", "-A", "-")
    wait_for(lambda: path.exists() and path.read_bytes().count(b"\n") == 2, 10, "two lines")
    assert path.read_text(encoding="ascii").splitlines() == [
        '"x\\" 200 \\"\\\\ \\xc3\\xa4\\xc2\\x9b" /who end', '"-" /who end']


def test_health_checks_and_what_was_not_drawn_are_not_logged(site, log):
    server = site.nginx("n1")
    site.start_proxy([server.port], listener={"health_path": "/health", "access_log": log.config | {"sample_percent": 0}})
    for path in ("/health", "/who", "/who"):
        assert site.curl(path, "-w", "%{http_code}", "-o", "/dev/null").stdout == "200"
    server.stop()
    site.curl("/who", "-o", "/dev/null")
    log.next_has(path="/who", outcome="connect_failed")
    assert len(log.lines()) == 1


def test_logrotate_with_the_snippet_of_the_package_loses_no_line(site, log, network):
    server = site.nginx("n1")
    site.start_proxy([server.port], more={"access_log": log.config, "proxy": {"workers": 2}})
    snippet = (ROOT / "packaging" / "logrotate" / "sluice-proxy").read_text()
    rotate = network.directory / "rotate.conf"
    rotate.write_text(snippet.replace("/var/log/sluice/*.log", f"{log.path}")
                      .replace("systemctl kill --kill-whom=main --signal=USR1 sluice-proxy.service",
                               f"kill -USR1 {site.proxy.pid}"))
    assert f"kill -USR1 {site.proxy.pid}" in rotate.read_text() and f"{log.path} {{" in rotate.read_text()
    client = site.start_h2load("/who", "-n", 20000, "-c", 4, "-m", 10)
    for number in (1, 2):
        wait_for(lambda: log.path.exists() and log.path.stat().st_size > 0, 20, "lines", interval_s=0.002)
        run(["logrotate", "-f", "-s", network.directory / "rotate.state", rotate])
        wait_for(lambda: site.proxy.output().count("event=access_logs_reopened") == number, 10, "the files to be opened anew")
    client.wait(60)

    def lines():
        packed = run(["sh", "-c", f"zcat -f {log.path}*"]).stdout
        return packed.count("\n")

    wait_for(lambda: lines() == 20000, 20, "all lines", interval_s=0.1)
    assert len(list(network.directory.glob("access.log*"))) == 3
    assert all(json.loads(line)["status"] == 200 for line in log.lines())


def test_reloads_take_other_files_and_refuse_those_that_cannot_be_opened(site, log, network):
    server = site.nginx("n1")
    site.start_proxy([server.port], more={"access_log": log.config})
    site.curl("/who")
    log.next()
    other = Log(network.directory / "other.log")
    site.configure([server.port], more={"access_log": other.config})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in site.proxy.output(), 10, "the reload")
    site.curl("/who")
    other.next_has(path="/who")
    site.configure([server.port], more={"access_log": {"to": str(network.directory / "none" / "a.log")}})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in site.proxy.output(), 10, "the refusal")
    assert "a.log: cannot be opened: No such file or directory; make its directory" in site.proxy.output()
    site.curl("/who")
    other.next_has(path="/who")
    assert len(log.lines()) == 1
    # And a start with such a file is none.
    done = site.namespace.run([site.build / "control" / "sluice-proxy", "--config", site.config_path, "--run-dir",
                               network.directory / "other-run"], check=False)
    assert done.returncode == 1 and "make its directory" in done.stderr


def test_a_full_disk_costs_lines_and_nothing_else(site, network):
    server = site.nginx("n1")
    small = network.directory / "small"
    small.mkdir()
    log = {"to": str(small / "a.log"), "json": MEMBERS}
    site.configure([server.port], more={"access_log": log, "metrics": METRICS})
    # The file system goes with the process that alone sees it.
    site.proxy = site.namespace.popen(
        ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=64k none {small} && head -c 30000 /dev/zero >{small}/ballast '
         f'&& exec "$0" --config "$1"', site.build / "control" / "sluice-proxy", site.config_path])
    site.wait_for_port(FRONT, site.proxy)
    dropped = 'sluice_proxy_access_log_dropped_total{reason="write_failed"}'
    written = "sluice_proxy_access_log_lines_total"
    load = site.h2load("/who", "-n", 500, "-c", 1, "-m", 10)
    assert load.good == 500
    wait_for(lambda: metric(site, dropped) + metric(site, written) == 500, 10, "all lines to be written or not")
    lost = metric(site, dropped)
    assert lost > 300
    assert site.proxy.output().count("event=access_log_failing") == 1
    assert "No space left on device" in site.proxy.output()
    seen = Path(f"/proc/{site.proxy.pid}/root{small}")
    (seen / "ballast").unlink()
    site.curl("/who")
    wait_for(lambda: metric(site, written) == 500 - lost + 1, 10, "the next line to be written")
    wait_for(lambda: f"event=access_log_recovered file=\"{small}/a.log\" lines_dropped={lost}" in site.proxy.output(), 10,
             "the log to say that it is over")
    lines = (seen / "a.log").read_text().splitlines()
    # All but the one that was cut off are whole.
    assert sum(line.startswith("{") and line.endswith("}") for line in lines) == 500 - lost + 1
    assert len(lines) <= 500 - lost + 2
