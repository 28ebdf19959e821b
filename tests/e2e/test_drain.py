"""A backend is drained, somebody waits until its last flow is gone, and it is removed."""

import collections
import json
import re

import pytest

from netns import wait_for
from topology import VIP4

pytestmark = pytest.mark.control

PORT = 8080  # the servers listen on it, and no VIP of the file has it
IDLE_TIMEOUT_S = 4
CONNECTIONS = 40
FLOWS_LEFT = 6


@pytest.fixture
def site(running_site):
    ctl(running_site, "pool", "add", "new")
    for backend in running_site.backends:
        ctl(running_site, "backend", "add", "new", backend.name, f"address={backend.address4}")
    ctl(running_site, "vip", "add", "new", f"address={VIP4}", "protocol=tcp", f"port={PORT}", "pool=new",
        f"idle_timeout={IDLE_TIMEOUT_S}s")
    wait_for(running_site.nodes[0]._is_ready, 10, "the way to the new backends")
    yield running_site
    ctl(running_site, "vip", "remove", "new")
    ctl(running_site, "pool", "remove", "new")


def ctl(site, *words, **options):
    return site.nodes[0].ctl(*words, **options)


def drain(site, backend, *options):
    """`backend drain --wait...`; the exit code and the number of flows that it says were left."""
    done = ctl(site, "backend", "drain", "new", backend.name, *options, check=False)
    assert done.stderr == ""
    said = re.search(rf"^pool new: backend {backend.name}: (\d+) flows? left after [0-9.]+ s$", done.stdout, re.M)
    assert said, done.stdout
    return done.returncode, int(said[1])


def flows(site):
    """Flows by backend's name, counted now."""
    answer = json.loads(ctl(site, "flows", "new", "--json").stdout)
    assert [pool["vips"] for pool in answer["pools"]] == [["new"]]
    return {backend["name"]: backend["flows"] for backend in answer["pools"][0]["backends"]}


def placed(held):
    return collections.Counter(one["backend"] for one in held)


@pytest.mark.smoke
def test_a_drain_waits_until_the_last_flow_is_gone(site):
    first = site.backends[0]
    assert set(flows(site).values()) == {0}
    holder = site.hold(VIP4, CONNECTIONS, PORT)
    counted = flows(site)
    code, left = drain(site, first, "--wait=1s")
    assert code == FLOWS_LEFT
    held = holder.finish()
    assert [one["error"] for one in held if one["error"]] == []
    assert counted == {backend.name: placed(held)[backend.name] for backend in site.backends}
    assert left == placed(held)[first.name] > 0

    # The clients have closed: the flows go with their idle time-out.
    assert drain(site, first, "--wait", "1m") == (0, 0)
    wait_for(lambda: set(flows(site).values()) == {0}, IDLE_TIMEOUT_S + 10, "the other flows to expire")


def test_without_flows_it_returns_at_once_and_without_limit(site):
    assert drain(site, site.backends[1], "--wait") == (0, 0)


def test_a_backend_that_is_active_again_is_not_waited_for(site):
    first = site.backends[0]
    holder = site.hold(VIP4, CONNECTIONS, PORT)
    node = site.nodes[0]
    waiting = node.namespace.popen([site.program("sluicectl"), "--socket", node.socket_path, "backend", "drain", "new",
                                    first.name, "--wait"])
    wait_for(lambda: "state active -> drain" in waiting.output(), 10, "the drain to begin")
    ctl(site, "backend", "undrain", "new", first.name)
    assert waiting.wait(10) == 1, waiting.output()
    assert "active again" in waiting.output()
    assert [one["error"] for one in holder.finish() if one["error"]] == []


def test_the_removal_of_a_drained_backend_touches_nobody_else(site):
    first, *others = site.backends
    holder = site.hold(VIP4, CONNECTIONS, PORT)
    before = flows(site)
    drain(site, first, "--wait=1ms")
    ctl(site, "backend", "remove", "new", first.name)
    wait_for(lambda: first.name not in flows(site), 10, "the backend to be gone")
    after = flows(site)
    held = holder.finish()
    assert [one for one in held if one["error"] and one["backend"] != first.name] == []
    assert {name: placed(held)[name] for name in after} == {backend.name: before[backend.name] for backend in others}
    broken = [one for one in held if one["error"]]
    assert len(broken) == before[first.name] > 0, "those that were on it have lost their server"
