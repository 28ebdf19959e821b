"""Connections to endpoints that are there before the first request."""

import signal

from netns import wait_for


def connections(site, port):
    listed = site.namespace.run(["ss", "-Htn", "state", "established", "dport", "=", f":{port}"]).stdout
    return len(listed.splitlines())


def test_connections_are_made_before_there_are_requests(site):
    servers = [site.nginx(f"n{number}") for number in (1, 2)]
    site.start_proxy([server.port for server in servers], cluster={"preconnect": 3}, more={"proxy": {"workers": 2}})
    for server in servers:
        wait_for(lambda server=server: connections(site, server.port) == 6, 10, "three connections of each worker")
    assert site.curl("/who").stdout in ("n1\n", "n2\n")
    assert [connections(site, server.port) for server in servers] == [6, 6], "the first request needs none of its own"


def test_an_endpoint_that_comes_back_is_connected_to(site):
    server = site.nginx("n1")
    health = {"kind": "tcp", "interval": "100ms", "fast_interval": "100ms", "timeout": "100ms", "fall": 1, "rise": 1}
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
