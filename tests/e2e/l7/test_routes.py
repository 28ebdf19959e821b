"""What a route says about retries, time-outs and limits; endpoints that are ejected; a proxy that drains."""

import re
import signal
import time

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT, Load

# Of a request, unless its route says another.
DEFAULT_TIMEOUT_S = 15


def route(**fields):
    """The listener's fields for one route that takes everything, with further fields."""
    return {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [{"cluster": "app"} | fields]}]}


def test_paths_go_to_their_clusters(site):
    servers = {name: site.nginx(name) for name in ("a", "b")}
    routes = [{"segments": "/a", "cluster": "to-a", "rewrite": {"prefix": "/"}}, {"cluster": "to-b"}]
    clusters = [{"name": f"to-{name}", "endpoints": [{"address": "127.0.0.1", "port": server.port}]}
                for name, server in servers.items()]
    site.start_proxy([], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
                     more={"clusters": clusters})
    assert site.curl("/a/who").stdout == "a\n"
    assert site.curl("/who").stdout == "b\n"


def test_every_spelling_of_a_path_takes_the_same_route(site):
    app = site.nginx("app", server="location / { return 200 $request_uri; }")
    fields = {"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"segments": "/admin", "respond": {"status": 403}}, {"cluster": "app"}]}]}
    site.start_proxy([app.port], listener=fields)

    def ask(path):
        return site.curl(path, "--path-as-is", "-w", " %{http_code}").stdout

    for path in ("/admin", "/x/../admin/users", "/%61dmin", "/x/%2e%2E/admin", "/./admin"):
        assert ask(path) == " 403", path
    assert ask("/a/./b/../%63%2fd?e=/../f") == "/a/c%2Fd?e=/../f 200"
    assert ask("//admin") == "//admin 200"
    site.configure([app.port], listener=fields | {"merge_slashes": True, "escaped_slashes": "refuse"})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: ask("//admin") == " 403", 10, "the new configuration")
    assert ask("/a%2fb") == "the path has an escaped slash\n 400"
    site.configure([app.port], listener=fields | {"normalize_path": False})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: ask("/x/../admin") == "/x/../admin 200", 10, "the new configuration")


def test_a_slow_server_runs_into_the_request_timeout(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], listener=route(request_timeout="300ms"))
    started = time.monotonic()
    assert site.curl("/hang", "-o", "/dev/null", "-w", "%{http_code}").stdout == "504"
    assert time.monotonic() - started < DEFAULT_TIMEOUT_S
    wait_for(lambda: "reset /hang" in server.output(), 10, "the server to be told")
    assert site.curl("/who").stdout == "h1"


def test_a_try_that_takes_too_long_is_made_elsewhere(site):
    slow = site.python_peer("h2_server.py", "slow")
    fast = site.nginx("fast", server="location = /hang { return 200 fast; }")
    site.start_proxy([slow.port, fast.port], cluster={"policy": "round_robin"},
                     listener=route(retry={"on": ["try-timeout"], "per_try_timeout": "200ms", "max_retries": 2}))
    for _ in range(4):
        assert site.curl("/hang").stdout == "fast"


def test_an_ejected_server_gets_nothing_and_comes_back(site):
    good = site.nginx("good", server="location ~ ^/status { return 200 good; }")
    bad = site.python_peer("h2_server.py", "bad")
    site.start_proxy([good.port, bad.port],
                     cluster={"policy": "round_robin", "outlier": {"server_errors": 3, "base_ejection": "1500ms",
                                                                   "interval": "500ms", "max_ejection_percent": 50}})

    def asked():
        # Not by way of the proxy: its own connection to the server under test.
        client = H2Client(site.namespace, bad.port)
        body = client.finish(client.request("/count")).body
        client.close()
        found = re.search(rb'"/status/500": (\d+)', body)
        return int(found[1]) if found else 0

    for _ in range(10):
        site.curl("/status/500", "-o", "/dev/null")
    ejected_after = asked()
    assert 3 <= ejected_after <= 4
    wait_for(lambda: site.curl("/status/500", "-o", "/dev/null") and asked() > ejected_after, 20,
             "the server to be tried again", interval_s=0.1)


def test_streams_finish_while_the_proxy_drains(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port])
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/sleep/1000")
    assert client.finish(client.request("/who")).body == b"h1"
    site.proxy.send_signal(signal.SIGTERM)
    answer = client.finish(stream)
    assert answer.status == 200 and answer.body == b"h1"
    assert client.goaways
    assert site.proxy.wait(10) == 0
    site.proxy = None


def test_a_drain_ends_when_its_time_is_over(site):
    server = site.python_peer("h2_server.py", "h1")
    site.start_proxy([server.port], more={"proxy": {"drain_time": "1s"}})
    client = H2Client(site.namespace, FRONT)
    client.request("/hang")
    assert client.finish(client.request("/who")).body == b"h1"
    started = time.monotonic()
    site.proxy.send_signal(signal.SIGTERM)
    assert site.proxy.wait(10) == 0
    # How long it takes is what is tested; the time-out by default is 30 s.
    assert time.monotonic() - started > 0.8
    site.proxy = None


def test_a_new_file_is_taken_under_load(site):
    """SIGHUP: a server is added and one removed; no request fails, and the new one gets its share on old connections."""
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers[:2]], cluster={"policy": "round_robin"})
    load = site.start_h2load("/who", "-n", 3000, "-c", 2, "-m", 5, "--rps=300")
    wait_for(lambda: "progress: 20%" in load.output(), 20, "the load to be under way")
    site.configure([server.port for server in servers[1:]], cluster={"policy": "round_robin"})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: servers[2].access_log.read_text(), 10, "the new server to get a request")
    removed = len(servers[0].access_log.read_text().splitlines())
    load.wait(60)
    assert Load(load.output()).bad == 0, load.output()
    # What was under way may still have come.
    assert len(servers[0].access_log.read_text().splitlines()) - removed <= 10
    assert len(servers[2].access_log.read_text().splitlines()) > 500


def test_a_file_that_is_wrong_changes_nothing(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    site.config_path.write_text("listeners: {}\n")
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "proxy.yaml:1" in site.proxy.output(), 10, "the complaint, with its place")
    assert site.curl("/who").stdout == "n1\n"


def test_a_route_answers_redirects_and_limits_by_itself(site):
    routes = [{"path": "/hello", "respond": {"status": 200, "body": "from the proxy"}},
              {"prefix": "/old", "redirect": {"status": 308, "prefix": "/new"}},
              {"prefix": "/few", "respond": {"status": 200}, "rate_limit": {"per_second": 1, "burst": 2}},
              {"cluster": "app"}]
    site.start_proxy([9999], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})
    assert site.curl("/hello").stdout == "from the proxy"
    shown = site.curl("/old/page", "-o", "/dev/null", "-w", "%{http_code} %header{location}").stdout
    assert shown.startswith("308 ") and shown.endswith("/new/page")
    codes = [site.curl("/few", "-o", "/dev/null", "-w", "%{http_code}").stdout for _ in range(4)]
    assert codes[:2] == ["200", "200"] and "429" in codes[2:]
