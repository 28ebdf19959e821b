"""A second try beside a slow first one: the first answer of the two goes to the client, the other try is given up."""

import json
import re
import signal

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

METRICS = 9109


def start(site, ports, protocol="http2", cluster=None, route=None, **retry):
    """Round robin over `ports`: a second try takes a turn, too, so that a first one may always meet the same server."""
    site.start_proxy(ports, cluster={"policy": "round_robin", "protocol": protocol} | (cluster or {}),
                     listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
                         {"cluster": "app", "retry": {"hedge_after": "100ms"} | retry} | (route or {})]}]},
                     more={"metrics": {"listen": f"127.0.0.1:{METRICS}"}})


def received(site, server):
    """What came in at a server: {path: [bytes of bodies, trailers]}. Not by way of the proxy."""
    client = H2Client(site.namespace, server.port)
    answer = json.loads(client.finish(client.request("/received")).body)
    client.close()
    return answer


def hedges(site):
    """(sent, won)"""
    text = site.namespace.run(["curl", "-s", f"http://127.0.0.1:{METRICS}/metrics"]).stdout
    return tuple(int(re.search(rf'hedged_requests_total{{result="{result}"}} (\d+)', text)[1]) for result in ("sent", "won"))


def test_a_slow_server_is_not_waited_for(site):
    slow = site.python_peer("h2_server.py", "slow")
    fast = site.nginx("fast", server="location = /hang { return 200 fast; }")
    start(site, [slow.port, fast.port])
    for _ in range(6):
        assert site.curl("/hang").stdout == "fast"
    sent, won = hedges(site)
    assert sent == won >= 3
    wait_for(lambda: slow.output().count("reset /hang") == sent, 10, "the slow server to be told")


def test_over_http1_the_slow_connection_is_closed(site):
    slow = site.node_peer("slow_http1_server.js")
    fast = site.nginx("fast", version="")
    start(site, [slow.port, fast.port], protocol="http1")
    for _ in range(6):
        assert site.curl("/who").stdout == "fast\n"
    sent, won = hedges(site)
    assert sent == won >= 3
    wait_for(lambda: slow.output().count("closed /who") == sent, 10, "the slow server to be told")


def test_a_first_answer_that_comes_in_time_needs_no_second(site):
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers], hedge_after="5s")
    for _ in range(6):
        assert site.curl("/sleep/50").stdout in ("a", "b")
    assert hedges(site) == (0, 0)


def test_the_first_may_still_win(site):
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers])
    for _ in range(4):
        assert site.curl("/sleep/400").stdout in ("a", "b")
    sent, won = hedges(site)
    assert sent == 4 and won == 0
    wait_for(lambda: sum(server.output().count("reset /sleep/400") for server in servers) == 4, 10,
             "the second tries to be given up")


def test_an_answer_that_has_begun_is_the_only_one(site):
    """The second try, which began later, would have answered in the midst of it."""
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers])
    client = H2Client(site.namespace, FRONT)
    for _ in range(2):
        answer = client.finish(client.request("/drip/300/10"))
        assert answer.ended and bytes(answer.body) in (b"a" * 10, b"b" * 10)
    sent, won = hedges(site)
    assert sent == 2 and won == 0
    # A try that had ended by itself would not be told.
    wait_for(lambda: sum(server.output().count("reset /drip/300/10") for server in servers) == 2, 10,
             "the second tries to be given up")


def test_a_bad_answer_of_the_second_is_none_while_the_first_may_be_good(site):
    slow = site.python_peer("h2_server.py", "slow")
    bad = site.nginx("bad", server="location = /sleep/500 { return 503; }")
    start(site, [slow.port, bad.port], on=["5xx"])
    for _ in range(4):
        done = site.curl("/sleep/500", "-w", " %{http_code}").stdout
        assert done == "slow 200"


def test_the_second_goes_elsewhere(site):
    """By their keys, the first tries of some always meet the server that does not answer."""
    slow = site.python_peer("h2_server.py", "slow")
    fast = site.nginx("fast", server="location = /hang { return 200 fast; }")
    start(site, [slow.port, fast.port], cluster={"policy": "maglev"}, route={"hash": [{"header": "x-key"}]})
    for key in range(10):
        assert site.curl("/hang", "-m", "10", "-H", f"x-key: {key}").stdout == "fast"
    sent, won = hedges(site)
    assert sent == won > 0


@pytest.mark.parametrize("allowed", [0, 1])
def test_second_tries_stay_within_the_budget_of_retries(site, allowed):
    """A second try that is over is one no more."""
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers], cluster={"retry_percent": 0, "retry_min": allowed})
    for _ in range(3):
        assert site.curl("/sleep/300").stdout in ("a", "b")
    assert hedges(site) == (3 * allowed, 0)


def test_second_tries_that_win_are_given_back_to_the_budget(site):
    slow = site.python_peer("h2_server.py", "slow")
    fast = site.nginx("fast", server="location = /hang { return 200 fast; }")
    start(site, [slow.port, fast.port], cluster={"retry_percent": 0, "retry_min": 1})
    for _ in range(6):
        assert site.curl("/hang", "-m", "10").stdout == "fast"
    sent, won = hedges(site)
    assert sent == won >= 3


def test_a_request_that_has_not_all_come_is_sent_once(site):
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers])
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/upload", "PUT", end=False)
    client.h2.send_data(stream, b"begun")
    client.flush()
    client.read_for(0.3)  # several times what a second try is put off by
    client.h2.send_data(stream, b" and ended", end_stream=True)
    client.flush()
    assert client.finish(stream).status == 200
    assert hedges(site) == (0, 0)
    assert sorted(received(site, server).get("/upload", [0, 0])[0] for server in servers) == [0, 15]


def test_a_post_is_sent_once_unless_the_operator_knows_better(site):
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers])
    assert site.curl("/sleep/300", "-d", "x").stdout in ("a", "b")
    assert hedges(site) == (0, 0)


def test_a_body_goes_to_both(site):
    slow, fast = (site.python_peer("h2_server.py", name) for name in ("slow", "fast"))
    start(site, [slow.port, fast.port], any_method=True)
    client = H2Client(site.namespace, FRONT)
    answers = [client.finish(client.request("/upload", "POST", body=b"x" * 10_000)).body for _ in range(2)]
    assert sorted(answers) == [b"fast", b"slow"] and hedges(site) == (0, 0)
    slow.send_signal(signal.SIGSTOP)
    try:
        for _ in range(4):
            assert client.finish(client.request("/upload", "POST", body=b"x" * 10_000)).body == b"fast"
        # A text of metrics is a second old at most.
        wait_for(lambda: hedges(site)[0] >= 2, 5, "two second tries")
        sent, won = hedges(site)
        assert sent == won
        # One of the first two and these four, each whole.
        assert received(site, fast)["/upload"] == [50_000, 0]
    finally:
        slow.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("first", ["/reset", "/hang"])
def test_both_may_fail(site, first):
    servers = [site.python_peer("h2_server.py", name) for name in ("a", "b")]
    start(site, [server.port for server in servers], per_try_timeout="300ms")
    status = site.curl(first, "-o", "/dev/null", "-w", "%{http_code}").stdout
    assert status == ("502" if first == "/reset" else "504")
    assert site.curl("/who").stdout in ("a", "b")
