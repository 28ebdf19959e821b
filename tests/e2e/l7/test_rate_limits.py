"""What a route lets through: by all, by a field, by an address; and what those are told who are refused."""

import pytest

from counters import METRICS, endings
from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

# A token that is given while a test runs would be one too many: so few a second that none is.
SLOW = {"per_second": 1, "burst": 2}
RESOURCE_EXHAUSTED = "8"


def start(site, ports=(9999,), *, proxy=None, **limit):
    routes = [{"path": "/free", "respond": {"status": 200}},
              {"rate_limit": SLOW | limit} | ({"respond": {"status": 200}} if ports == (9999,) else {"cluster": "app"})]
    site.start_proxy(ports, more=METRICS | {"proxy": {"name": "p1"} | (proxy or {})},
                     listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]})


def statuses(site, *words, times=6, path="/x"):
    """At once: of each that many, so that no second passes in between."""
    done = site.namespace.run(["curl", "-sS", "-m", "30", "--http1.1", "-w", "%{http_code} ", *words,
                               *["-o", "/dev/null", f"http://127.0.0.1:{FRONT}{path}"] * times])
    return done.stdout.split()


def good(found):
    """How many were let through; one more, if the clock has struck."""
    assert set(found) <= {"200", "429"}, found
    return found.count("200")


@pytest.mark.parametrize("by,one,other", [
    ({"header": "x-user"}, ["-H", "x-user: a"], ["-H", "x-user: b"]),
    ({"source_address": True}, ["--interface", "127.0.0.2"], ["--interface", "127.0.0.3"]),
    ({"cookie": "who"}, ["-b", "who=a"], ["-b", "x=y; who=b"]),
], ids=["header", "address", "cookie"])
def test_each_value_has_a_limit_of_its_own(site, by, one, other):
    start(site, by=[by])
    assert 2 <= good(statuses(site, *one)) <= 3
    assert 2 <= good(statuses(site, *other)) <= 3
    assert good(statuses(site, *one, times=1)) <= 1
    assert statuses(site, *one, times=4, path="/free") == ["200"] * 4


def test_two_parts_make_one_key(site):
    start(site, by=[{"header": "x-user"}, {"path": True}])
    for user in ("a", "b"):
        for path in ("/1", "/2"):
            assert 2 <= good(statuses(site, "-H", f"x-user: {user}", path=path)) <= 3, (user, path)


def test_without_a_key_all_share_the_limit(site):
    start(site)
    assert 2 <= good(statuses(site, "--interface", "127.0.0.2")) <= 3
    assert good(statuses(site, "--interface", "127.0.0.3", "-H", "x-user: b")) <= 2
    wait_for(lambda: endings(site, "rate_limited") > 0, 10, "the outcome", interval_s=0.1)


def test_the_limit_holds_for_all_workers_together(site):
    start(site, proxy={"workers": 4}, per_second=1, burst=20)
    load = site.h2load("/x", "-n", 400, "-c", 40, "-m", 5)
    assert 20 <= load.good <= 25, load.output


def test_who_is_refused_is_told_so_in_words_that_it_understands(site):
    server = site.grpc_server("python", "s1")
    start(site, (server.port,), burst=1)
    client = H2Client(site.namespace, FRONT)
    first = client.request("/test.Echo/Who", "POST", body=bytes(5), headers=[("content-type", "application/grpc"), ("te", "trailers")])
    assert client.finish(first).trailers["grpc-status"] == "0"
    call = client.finish(client.request("/test.Echo/Who", "POST", body=bytes(5), headers=[("content-type", "application/grpc")]))
    assert call.status == 200 and call.ended and call.body == b""
    assert (call.headers["grpc-status"], call.headers["grpc-message"]) == (RESOURCE_EXHAUSTED, "too many requests")
    plain = client.finish(client.request("/x"))
    assert (plain.status, bytes(plain.body)) == (429, b"too many requests\n")
    client.close()


def test_grpc_itself_takes_it_for_resource_exhausted(site):
    server = site.grpc_server("python", "s1")
    start(site, (server.port,), burst=1)
    # Six calls in a row: one gets a token, the others of the same second none.
    answers = site.client("python", "streams", 6)
    assert answers.get("RESOURCE_EXHAUSTED", 0) >= 3, answers
