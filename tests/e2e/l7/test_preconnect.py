"""Connections to endpoints that are there before the first request."""

import signal

from netns import wait_for


def connections(site, port):
    listed = site.namespace.run(["ss", "-Htn", "state", "established", "dport", "=", f":{port}"]).stdout
    return len(listed.splitlines())


def of_endpoints(site, field):
    """What the proxy says of each. Its connections are those without health checks."""
    endpoints = site.ctl_json("clusters", "app")["clusters"][0]["endpoints"]
    return [endpoint[field] for endpoint in sorted(endpoints, key=lambda endpoint: endpoint["endpoint"])]


def test_connections_are_made_before_there_are_requests(site):
    servers = [site.nginx(f"n{number}") for number in (1, 2)]
    site.start_proxy([server.port for server in servers], cluster={"preconnect": 3}, more={"proxy": {"workers": 2}})
    for server in servers:
        wait_for(lambda server=server: connections(site, server.port) == 6, 10, "three connections of each worker")
    assert site.curl("/who").stdout in ("n1\n", "n2\n")
    assert [connections(site, server.port) for server in servers] == [6, 6], "the first request needs none of its own"


def test_an_endpoint_that_comes_back_is_connected_to(site):
    server = site.nginx("n1")
    health = {"kind": "tcp", "interval": "100ms", "fast_interval": "100ms", "timeout": "1s", "fall": 1, "rise": 1}
    site.start_proxy([server.port], cluster={"preconnect": 2, "health": health})
    wait_for(lambda: connections(site, server.port) == 2, 10, "two connections")
    server.send_signal(signal.SIGKILL)
    server.wait()
    # Changes are put in force together, a moment later: one that is taken back by then is none.
    wait_for(lambda: "unhealthy" in site.ctl("clusters"), 10, "the endpoint to be out")
    site.nginx("n1", port=server.port)
    wait_for(lambda: connections(site, server.port) == 2, 10, "two connections to the new server")


def test_without_it_there_is_no_connection_before_the_first_request(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    assert connections(site, server.port) == 0
    site.curl("/who")
    assert connections(site, server.port) == 1


def test_no_more_than_the_cluster_may_have(site):
    servers = [site.nginx(f"n{number}") for number in (1, 2)]
    site.start_proxy([server.port for server in servers], cluster={"preconnect": 3, "max_connections": 4})
    wait_for(lambda: sum(connections(site, server.port) for server in servers) >= 4, 10, "connections")
    # They are all made in one go, before requests.
    assert site.curl("/who").stdout in ("n1\n", "n2\n")
    assert [connections(site, server.port) for server in servers] == [3, 1]


def test_an_endpoint_that_is_out_is_left_alone(site):
    """Its server is there again and its checks are bad still, when another one comes back."""
    def start(number, port=None):
        return site.nginx(f"n{number}", port=port, version="", server="location = /health { try_files /health =503; }")

    def restart(number):
        servers[number].send_signal(signal.SIGKILL)
        servers[number].wait()
        servers[number] = start(number, servers[number].port)

    servers = [start(number) for number in (0, 1)]
    health = {"kind": "http", "path": "/health", "interval": "100ms", "fast_interval": "50ms", "timeout": "1s", "fall": 1,
              "rise": 1}
    # Both are taken for healthy until they have been asked.
    site.start_proxy([server.port for server in servers],
                     cluster={"protocol": "http1", "preconnect": 2, "health": health, "panic_percent": 0})
    wait_for(lambda: of_endpoints(site, "healthy") == [False, False], 10, "both to be out")
    for number in (0, 1):
        restart(number)
    (servers[1].www / "health").write_text("fine")
    wait_for(lambda: of_endpoints(site, "connections") == [0, 2], 10,
             "connections to the one that is back, and to no other")
    assert site.curl("/who").stdout == "n1\n"
    assert of_endpoints(site, "connections") == [0, 2]
