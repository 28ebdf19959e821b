"""Clusters whose endpoints come from a name server that says something else while the proxy runs."""

from discovery_town import SERVER_PORT, a_records, background_load, finish
from name_server import PORT, ZONE, NameServer, dns
from netns import wait_for
from proxy_site import PEERS, PYTHON


def test_a_record_set_that_grows_and_shrinks_under_load(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    town.expect({"127.0.0.11", "127.0.0.12"})
    client = background_load(site, 3)
    server.serve(a_records(11, 12, 13, 14))
    town.wait_for_event("endpoints_changed", "endpoints=4", 'added="127.0.0.13:9000 127.0.0.14:9000"')
    server.serve(a_records(14))
    town.wait_for_event("endpoints_changed", "endpoints=1")
    server.serve(a_records(12, 15))
    town.wait_for_event("endpoints_changed", "endpoints=2", 'removed="127.0.0.14:9000"')
    finish(client)
    town.expect({"127.0.0.12", "127.0.0.15"})


def test_endpoints_that_flap_under_load(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    client = background_load(site, 3)
    for turn in range(1, 7):
        server.serve(a_records(11, 12) if turn % 2 == 0 else a_records(13))
        town.wait_for_event("endpoints_changed", count=1 + turn)
    finish(client)


def test_a_time_to_live_is_waited_for(site, town):
    """With a long one nothing is asked again; that of a CNAME counts as well as those of the addresses."""
    server = NameServer(site, ["app 1 CNAME real", *a_records(11, name="real", ttl=600)])
    town.start(dns("app:9000", "long:9000", when_empty="remove"))
    server.serve(["app 600 CNAME real", *a_records(12, name="real", ttl=600)])
    town.wait_for_event("endpoints_changed", 'added="127.0.0.12:9000" removed="127.0.0.11:9000"')
    server.serve([*a_records(13), *a_records(14, name="long")])
    town.wait_for_event("endpoints_changed", 'added="127.0.0.14:9000"')
    town.expect({"127.0.0.12", "127.0.0.14"})


def test_the_shortest_time_to_live_of_a_services_hosts_counts(site, town):
    def zone(number):
        records = [f"_s._tcp 600 SRV 0 0 {SERVER_PORT} {name}" for name in ("a", "b", "c")]
        return [*records, *a_records(11, name="a", ttl=600), *a_records(number, name="b", ttl=1),
                *a_records(12, name="c", ttl=600)]

    server = NameServer(site, zone(13))
    town.start(dns("_s._tcp"))
    town.expect({"127.0.0.11", "127.0.0.12", "127.0.0.13"})
    server.serve(zone(14))
    town.wait_for_event("endpoints_changed", 'added="127.0.0.14:9000" removed="127.0.0.13:9000"')


def test_a_name_server_that_dies_takes_no_endpoint_with_it(site, town):
    server = NameServer(site, a_records(11, 12))
    town.start(dns("app:9000"))
    client = background_load(site, 3)
    server.kill()
    town.wait_for_event("discovery_failed", "cluster=app", "endpoints_kept=2", f"A app.{ZONE}")
    town.expect({"127.0.0.11", "127.0.0.12"})
    wait_for(lambda: town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"'] >= 2, 10)
    wait_for(lambda: town.metric("sluice_proxy_discovery_age_seconds")['cluster="app"'] > 0.5, 10)
    assert len(town.events("discovery_failed")) <= 2, "once for each error"
    server.write(a_records(12, 13))
    server.start()
    town.wait_for_event("discovery_recovered", "cluster=app", f'source="app.{ZONE}."')
    town.wait_for_event("endpoints_changed", "endpoints=2", 'added="127.0.0.13:9000"')
    finish(client)
    town.expect({"127.0.0.12", "127.0.0.13"})


def test_failures_after_a_good_answer_count_from_the_first(site, town):
    """Each waits twice as long as the one before it: those of the first outage would make it 11 s and more."""
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000", failure_max="60s"))

    def failed():
        return town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"']

    server.kill()
    wait_for(lambda: failed() >= 5, 20, "five failures")
    server.start()
    town.wait_for_event("discovery_recovered")
    server.kill()
    before = failed()
    wait_for(lambda: failed() >= before + 4, 10, "four more")


def test_service_records_give_ports_weights_and_priorities(site, town):
    def service(priority, weight, host):
        return f"_http._tcp.app 0 SRV {priority} {weight} {SERVER_PORT} {host}"

    hosts = [record for number in (11, 12, 13) for record in a_records(number, name=f"h{number}")]
    server = NameServer(site, [service(10, 30, "h11"), service(10, 10, "h12"), service(20, 1, "h13"), *hosts])
    town.start(dns("_http._tcp.app"), policy="weighted_round_robin")
    assert town.answered(times=120) == {"127.0.0.11": 90, "127.0.0.12": 30}
    server.serve([service(10, 10, "h11"), service(10, 10, "h13"), *hosts])
    town.wait_for_event("endpoints_changed", "endpoints=2")
    town.expect({"127.0.0.11", "127.0.0.13"})
    assert town.answered(times=120) == {"127.0.0.11": 60, "127.0.0.13": 60}
    # A target that is gone keeps its address as long as the service names it.
    server.serve([service(10, 10, "h11"), service(10, 10, "h13"), *hosts[:2]])
    town.wait_for_event("discovery_empty", f"h13.{ZONE}")
    town.expect({"127.0.0.11", "127.0.0.13"})


def test_both_families(site, town):
    server = NameServer(site, [*a_records(11), "app 0 AAAA fd00::11", "app 0 AAAA fd00::12"])
    town.start(dns("app:9000", family="both"))
    town.expect({"127.0.0.11", "fd00::11", "fd00::12"})
    server.serve(["app 0 AAAA fd00::12"])
    town.wait_for_event("endpoints_changed", "endpoints=1")
    town.expect({"fd00::12"})
    town.reload(dns("app:9000", family="ipv6"))
    town.expect({"fd00::12"})


def test_an_answer_that_is_too_long_for_a_datagram(site, town):
    NameServer(site, [f"app 0 A 127.0.1.{number}" for number in range(1, 201)])
    town.start(dns("app:9000"))
    assert town.metric("sluice_proxy_discovery_endpoints") == {'cluster="app"': 200}


def test_a_name_that_is_gone_takes_its_endpoints_along_if_told_so(site, town):
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000", when_empty="remove"))
    town.expect({"127.0.0.11"})
    server.serve([])
    town.wait_for_event("endpoints_changed", "endpoints=0", 'removed="127.0.0.11:9000"')
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_health_checks_follow_the_names(site, town):
    """A new endpoint is checked, and one where nobody listens is found out."""
    server = NameServer(site, a_records(11))
    health = {"kind": "tcp", "interval": "100ms", "fast_interval": "50ms", "timeout": "500ms", "fall": 2}
    town.start(dns("app:9000"), health=health, panic_percent=0)
    server.serve(a_records(11, 99))
    town.wait_for_event("backend_unhealthy", "127.0.0.99:9000")
    town.expect({"127.0.0.11"})


def test_outlier_detection_follows_the_names(site, town):
    """A new endpoint is judged, too: nobody listens there."""
    server = NameServer(site, a_records(11))
    town.start(dns("app:9000"), outlier={"connect_failures": 2, "max_ejection_percent": 100})
    server.serve(a_records(11, 99))
    town.wait_for_event("endpoints_changed", "endpoints=2")
    wait_for(lambda: town.answered() and town.events("ejected"), 10, "an ejection")
    town.wait_for_event("ejected", "endpoint=127.0.0.99:9000 reason=consecutive-connect-failures")


def test_a_reload_changes_where_endpoints_come_from(site, town):
    """What the cluster has is kept until the new source has answered."""
    server = NameServer(site, a_records(11, 12))
    listed = {"endpoints": [{"address": "127.0.0.15", "port": SERVER_PORT}]}
    town.start(listed)
    client = background_load(site, 3)
    town.reload(dns("app:9000"))
    town.wait_for_event("endpoints_changed", 'removed="127.0.0.15:9000"')
    town.expect({"127.0.0.11", "127.0.0.12"})
    server.kill()
    town.reload(dns("other:9000", "app:9000"))
    town.expect({"127.0.0.11", "127.0.0.12"})
    town.reload(listed)
    town.expect({"127.0.0.15"})
    finish(client)


def test_a_name_server_that_answers_garbage(site, town):
    """Also where SRV records are asked for. What was good is kept, and a good server is believed again."""
    good = NameServer(site, [*a_records(11), f"_s._tcp 0 SRV 0 0 {SERVER_PORT} app"])
    town.start(dns("app:9000", "_s._tcp", family="both", timeout="400ms"))
    # On a busy machine even a good server may take longer than that.
    answers = "sluice_proxy_discovery_answers_total"
    wait_for(lambda: town.metric(answers)['cluster="app",result="good"'] >= 4, 10)
    town.expect({"127.0.0.11"})
    good.kill()
    bad = site.namespace.popen([PYTHON, "-u", PEERS / "bad_name_server.py", PORT, 7])
    wait_for(lambda: int((bad.output().split() or ["0"])[-1]) > 60, 30, "many bad answers")
    town.wait_for_event("discovery_failed", "cluster=app")
    site.proxy.require_running()
    bad.stop()
    good.write(a_records(12))
    good.start()
    town.wait_for_event("endpoints_changed", 'added="127.0.0.12:9000"')
    wait_for(lambda: "127.0.0.12" in town.answered(), 10)
