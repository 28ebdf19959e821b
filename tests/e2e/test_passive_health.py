"""What traffic shows about backends whose health checks are good."""

import contextlib
import json

import pytest

from netns import wait_for
from topology import HERE, VIP4

pytestmark = pytest.mark.control

PORT = 8080  # the servers listen on it, and no VIP of the file has it
CHECKED_PORT = 80


@pytest.fixture
def site(running_site):
    yield running_site
    ctl(running_site, "vip", "remove", "new")
    ctl(running_site, "pool", "remove", "new")


def ctl(site, *words, **options):
    return site.nodes[0].ctl(*words, **options)


def serve(site, passive):
    """A service whose backends are checked on another port than the one that clients use."""
    ctl(site, "pool", "add", "new", "health.kind=tcp", f"health.port={CHECKED_PORT}", "health.interval=200ms",
        "health.fast_interval=100ms", f"health.passive={passive}")
    for backend in site.backends:
        ctl(site, "backend", "add", "new", backend.name, f"address={backend.address4}")
    ctl(site, "vip", "add", "new", f"address={VIP4}", "protocol=tcp", f"port={PORT}", "pool=new")
    wait_for(site.nodes[0]._is_ready, 10, "the way to the new backends")
    for backend in site.backends:
        wait_for(lambda backend=backend: report(site, backend)["health"] == "healthy", 10, f"{backend.name} to be healthy")


def report(site, backend):
    """What `sluicectl health --json` says of the backend in pool new."""
    backends = json.loads(ctl(site, "health", "--json").stdout)["backends"]
    return next(one for one in backends if (one["pool"], one["name"]) == ("new", backend.name))


@contextlib.contextmanager
def new_connections(site):
    """Clients that go on opening connections."""
    process = site.client.popen(["/usr/bin/python3", HERE / "load.py", "open", VIP4, PORT, 60])
    try:
        yield
        process.require_running()
    finally:
        process.stop()


@contextlib.contextmanager
def rules(namespace, rule):
    """An nftables rule on what the namespace receives."""
    namespace.run(["nft", "-f", "-"], input_text="table inet sluicetest { chain input { type filter hook input priority 0; "
                  f"{rule}; }}; }}\n")
    try:
        yield
    finally:
        namespace.run(["nft", "delete", "table", "inet", "sluicetest"])


def silent(backend):
    """The backend's port answers to nobody any more; its checked port does."""
    return rules(backend.namespace, f"tcp dport {PORT} tcp flags syn drop")


def test_a_backend_that_drops_syns_is_out_though_its_checks_are_good(site):
    first, *others = site.backends
    serve(site, passive="on")
    with new_connections(site):
        with silent(first):
            down = wait_for(lambda: (found := report(site, first))["health"] != "healthy" and found, 60,
                            f"{first.name} to be found out")
            assert down["health_error"].startswith("traffic: "), down
            held = wait_for(lambda: (found := report(site, first))["health"] == "held" and found, 10, "good checks")
            assert held["health_error"] == down["health_error"], "why it is out, though its checks are good"
            assert held["failed_checks"] == 0
            assert held["syns_again"] >= 5
            assert first.name not in site.spread(VIP4, 200, PORT)
        assert [report(site, backend)["health"] for backend in others] == ["healthy", "healthy"]
    table = ctl(site, "health").stdout
    assert f"{held['syns_again']}" in table and "REPEATED" in table
    assert "event=backend_unhealthy pool=new" in site.nodes[0].process.output()


def test_without_passive_it_is_only_counted(site):
    first = site.backends[0]
    serve(site, passive="off")
    with new_connections(site), silent(first):
        wait_for(lambda: report(site, first)["syns_again"] >= 60, 60, "SYNs to be repeated")
        assert report(site, first)["health"] == "healthy"
        assert report(site, site.backends[1])["syns_again"] <= 5


def test_icmp_errors_about_its_answers_count(site):
    serve(site, passive="off")
    first = site.backends[0]
    assert report(site, first)["unreachable_errors"] == 0
    with rules(site.client, f"ip saddr {VIP4} tcp sport {PORT} reject with icmp type host-unreachable"):
        with new_connections(site):
            wait_for(lambda: all(report(site, backend)["unreachable_errors"] for backend in site.backends), 30,
                     "errors to be counted")
    stats = json.loads(ctl(site, "stats", "--json").stdout)["backends"]
    assert all(one["unreachable_errors"] for one in stats if one["pool"] == "new")
