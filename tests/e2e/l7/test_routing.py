"""Which route a request takes, as it comes on the wire, and what the route changes of request and answer."""

import json

import pytest

from counters import METRICS, endings
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

HOSTS = {"shop": ["shop.test", "SHOP.example:8000"], "below": ["*.shop.test"], "deep": ["*.eu.shop.test"], "others": ["*"]}


def answering(name, **match):
    return {"name": name, "respond": {"status": 200, "body": name}} | match


def hosts(routes, **fields):
    return {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]} | fields


@pytest.fixture(params=["2", "1.1"])
def ask(site, request):
    """Sends a request in this version of HTTP; returns the answer's body."""
    version = "--http2-prior-knowledge" if request.param == "2" else "--http1.1"

    def asked(path, *words):
        return site.namespace.run(["curl", "-sS", "-m", "30", version, *words, f"http://127.0.0.1:{FRONT}{path}"]).stdout

    return asked


# --- which one

def test_the_authority_names_the_virtual_host(site, ask):
    site.start_proxy([9999], listener={"cluster": None, "hosts": [
        {"name": name, "domains": domains, "routes": [answering(name)]} for name, domains in HOSTS.items()]})
    for host, name in (("shop.test", "shop"), ("Shop.Test", "shop"), ("shop.test:8000", "shop"), ("www.shop.test", "below"),
                       ("a.b.shop.test:99", "below"), ("www.eu.shop.test", "deep"), ("eu.shop.test", "below"),
                       ("shop.example:8000", "shop"), ("shop.example", "others"), ("noshop.test", "others")):
        assert ask("/", "-H", f"host: {host}") == name, host


def test_without_a_host_for_all_others_there_is_no_route(site, ask):
    site.start_proxy([9999], listener={"cluster": None, "hosts": [{"name": "shop", "domains": ["shop.test"],
                                                                   "routes": [answering("shop")]}]})
    assert ask("/", "-H", "host: shop.test") == "shop"
    assert ask("/", "-H", "host: other.test", "-w", " %{http_code}") == "no route matches the request\n 404"


def test_paths_methods_fields_and_parameters_name_the_route(site, ask):
    site.start_proxy([9999], listener=hosts([
        answering("exact", path="/a/b"), answering("prefix", prefix="/pre"), answering("regex", regex="/v[0-9]+/.*"),
        answering("any-case", path="/CaSe", ignore_case=True), answering("writes", prefix="/w", methods=["POST", "PUT"]),
        answering("canary", headers=[{"name": "x-canary", "prefix": "be"}]),
        answering("not-bot", prefix="/people", headers=[{"name": "user-agent", "contains": "bot", "invert": True}]),
        answering("second", query=[{"name": "v", "exact": "2"}]),
        answering("both", headers=[{"name": "x-a"}], query=[{"name": "q", "suffix": "z"}]), answering("rest")]))
    for path, words, name in (
            ("/a/b?c=d", (), "exact"), ("/a/b/", (), "rest"), ("/prefix", (), "prefix"), ("/v12/x", (), "regex"),
            ("/xv12/x", (), "rest"), ("/case", (), "any-case"), ("/w", ("-X", "PUT"), "writes"), ("/w", (), "rest"),
            ("/", ("-H", "x-canary: beta"), "canary"), ("/", ("-H", "X-Canary: alpha"), "rest"),
            ("/people", ("-A", "curl"), "not-bot"), ("/people", ("-A", "a bot"), "rest"), ("/?u=1&v=2", (), "second"),
            ("/?v=22", (), "rest"), ("/?q=xyz", ("-H", "x-a: 1"), "both"), ("/?q=xyz", (), "rest")):
        assert ask(path, *words) == name, (path, words)


def test_calls_are_routed_by_service_and_method(site):
    """With real calls: each of three servers has its own."""
    servers = {name: site.grpc_server("python", name) for name in ("unary", "echo", "rest")}
    clusters = [{"name": name, "endpoints": [{"address": "127.0.0.1", "port": server.port}]} for name, server in servers.items()]
    site.start_proxy([], more={"clusters": clusters}, listener=hosts([
        {"grpc_service": "test.Echo", "grpc_method": "Unary", "cluster": "unary"},
        {"grpc_service": "test.Echo", "cluster": "echo"}, {"cluster": "rest"}]))
    assert site.client("python", "unary")["served_by"] == "unary"
    assert site.client("python", "spread", 5) == {"echo": 5}
    # The same path, and no call.
    client = H2Client(site.namespace, FRONT)
    client.finish(client.request("/test.Echo/Who", "POST", body=b""))
    client.close()
    counts = {cluster["name"]: cluster["endpoints"][0]["requests"] for cluster in site.ctl_json("clusters")["clusters"]}
    assert counts == {"unary": 1, "echo": 5, "rest": 1}


def test_clusters_get_their_part_by_weight(site):
    servers = {name: site.nginx(name, http="keepalive_requests 1000000;") for name in ("stable", "canary", "off")}
    clusters = [{"name": name, "endpoints": [{"address": "127.0.0.1", "port": server.port}]} for name, server in servers.items()]
    weights = {"stable": 9, "canary": 1, "off": 0}
    site.start_proxy([], more={"clusters": clusters}, listener=hosts([
        {"clusters": [{"cluster": name, "weight": weight} for name, weight in weights.items()]}]))
    assert site.h2load("/who", "-n", 2000, "-c", 2, "-m", 10).good == 2000
    wait_for(lambda: sum(len(server.access_log.read_text().splitlines()) for server in servers.values()) == 2000, 10, "all lines")
    counts = {name: len(server.access_log.read_text().splitlines()) for name, server in servers.items()}
    # 200, give or take five standard deviations.
    assert 130 < counts["canary"] < 270 and counts["off"] == 0, counts


# --- what it changes

@pytest.fixture
def app(site):
    return site.python_peer("h2_server.py", "app")


def fields_seen(ask, *words, path="/headers"):
    """What the endpoint sees of a request, as {name: [values]}."""
    seen = {}
    for name, value in json.loads(ask(path, *words)):
        seen.setdefault(name, []).append(value)
    return seen


def test_fields_of_requests_are_changed(site, ask, app):
    site.start_proxy([app.port], listener=hosts([{"cluster": "app", "request_headers": [
        {"set": "x-set", "value": "ours"}, {"add": "x-add", "value": "ours"}, {"add_if_absent": "x-absent", "value": "ours"},
        {"remove": "x-gone"}]}]))
    theirs = [word for name in ("set", "add", "absent", "gone", "other") for word in ("-H", f"X-{name}: theirs")]
    seen = fields_seen(ask, *theirs)
    assert {name: seen.get(f"x-{name}") for name in ("set", "add", "absent", "gone", "other")} == {
        "set": ["ours"], "add": ["theirs", "ours"], "absent": ["theirs"], "gone": None, "other": ["theirs"]}
    seen = fields_seen(ask)
    assert (seen["x-set"], seen["x-add"], seen["x-absent"]) == (["ours"], ["ours"], ["ours"])


def test_fields_of_answers_are_changed(site, ask):
    fields = "".join(f"add_header x-{name} theirs; " for name in ("set", "add", "absent", "gone", "other"))
    server = site.nginx("n1", server=f"location = /fields {{ {fields} return 200 x; }}")
    site.start_proxy([server.port], listener=hosts([{"cluster": "app", "response_headers": [
        {"set": "x-set", "value": "ours"}, {"add": "x-add", "value": "ours"}, {"add_if_absent": "x-absent", "value": "ours"},
        {"remove": "x-gone"}, {"remove": "server"}]}]))
    found = [line.split(": ") for line in ask("/fields", "-i").lower().splitlines() if ": " in line]
    seen = {name: [value for other, value in found if other == name] for name, _ in found}
    assert {name: seen.get(f"x-{name}") for name in ("set", "add", "absent", "gone", "other")} == {
        "set": ["ours"], "add": ["theirs", "ours"], "absent": ["theirs"], "gone": None, "other": ["theirs"]}
    assert "server" not in seen
    # No endpoint is asked for it: nothing but what was not there is missing.
    assert "x-absent: ours" in ask("/who", "-i").lower()


def test_the_clients_address_is_told_and_a_list_that_is_there_goes_on(site, ask, app):
    site.start_proxy([app.port])
    assert fields_seen(ask)["x-forwarded-for"] == ["127.0.0.1"]
    seen = fields_seen(ask, "-H", "x-forwarded-for: 192.0.2.1", "-H", "X-Forwarded-For: 192.0.2.2, 192.0.2.3", "--interface",
                       "127.0.0.9")
    assert seen["x-forwarded-for"] == ["192.0.2.1, 192.0.2.2, 192.0.2.3, 127.0.0.9"]
    site.proxy.stop()
    site.start_proxy([app.port], listener={"forwarded_for": False})
    assert "x-forwarded-for" not in fields_seen(ask)
    assert fields_seen(ask, "-H", "x-forwarded-for: 192.0.2.1")["x-forwarded-for"] == ["192.0.2.1"]


def test_path_and_host_are_written_anew(site, ask, app):
    site.start_proxy([app.port], listener=hosts([
        {"prefix": "/api/", "cluster": "app", "rewrite": {"prefix": "/", "host": "inside.test"}},
        {"prefix": "/all", "cluster": "app", "rewrite": {"path": "/headers"}},
        {"cluster": "app", "rewrite": {"regex": "^/users/([^/]+)/(.*)$", "substitution": "/\\2?of=\\1"}}]))
    seen = fields_seen(ask, path="/api/headers?x=/api/")
    assert (seen[":path"], seen[":authority"]) == (["/headers?x=/api/"], ["inside.test"])
    seen = fields_seen(ask, path="/all/of/it")
    assert (seen[":path"], seen[":authority"]) == (["/headers"], [f"127.0.0.1:{FRONT}"])
    assert fields_seen(ask, path="/users/ann/headers")[":path"] == ["/headers?of=ann"]


def test_what_is_of_the_connection_does_not_go_on(site, ask, app):
    """And te: trailers, without which gRPC servers answer no call, does."""
    site.start_proxy([app.port])
    words = [] if ask("/who", "-o", "/dev/null", "-w", "%{http_version}") == "2" else [
        "-H", "Connection: keep-alive, X-Mine", "-H", "X-Mine: 1", "-H", "Keep-Alive: timeout=5", "-H", "Proxy-Connection: close"]
    seen = fields_seen(ask, "-H", "te: trailers", "-b", "a=1; b=2", *words)
    assert not {"connection", "keep-alive", "proxy-connection", "x-mine", "transfer-encoding"} & set(seen)
    assert seen["te"] == ["trailers"] and "; ".join(seen["cookie"]) == "a=1; b=2"


def test_redirects_keep_what_is_not_said(site, ask):
    site.start_proxy([9999], listener=hosts([
        {"prefix": "/secure", "redirect": {"scheme": "https", "port": 8443, "status": 307}},
        {"prefix": "/moved", "redirect": {"host": "new.test", "path": "/there", "strip_query": True}}]))

    def location(path):
        return ask(path, "-o", "/dev/null", "-H", "host: old.test", "-w", "%{http_code} %header{location}")

    assert location("/secure/x?y=z") == "307 https://old.test:8443/secure/x?y=z"
    assert location("/moved?y=z") == "301 http://new.test/there"


@pytest.mark.parametrize("headers,status", [([], 413), ([("content-type", "application/grpc")], 200)], ids=["plain", "grpc"])
def test_a_body_above_the_routes_limit_is_refused(site, app, headers, status):
    site.start_proxy([app.port], more=METRICS, listener=hosts([{"cluster": "app", "max_request_bytes": 5000}]))
    client = H2Client(site.namespace, FRONT)
    assert client.finish(client.request("/upload", "POST", body=bytes(5000), headers=headers)).status == 200
    answer = client.finish(client.request("/upload", "POST", body=bytes(5001), headers=headers))
    assert answer.status == status and answer.headers.get("grpc-status") == ("8" if headers else None)
    wait_for(lambda: endings(site, "too_large") == 1, 10, "the outcome", interval_s=0.1)
    assert client.finish(client.request("/who")).status == 200
    client.close()
