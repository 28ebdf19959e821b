"""Which endpoints are preferred: by priority, by zone, those that have been there for long; and when all are used."""

import signal

import pytest

from netns import wait_for

QUICK = {"kind": "http", "path": "/health", "interval": "100ms", "fast_interval": "50ms", "timeout": "1s", "rise": 1, "fall": 1}
KEEP = "keepalive_requests 1000000;"


class Group:
    """Servers n0, n1, ... behind the proxy, each healthy as long as it has a file."""

    def __init__(self, site, fields, *, proxy=None, **cluster):
        self.site, self.proxy, self.cluster = site, proxy, cluster
        self.servers, self.endpoints = [], []
        for field in fields:
            self.add(field)
        site.start_proxy([], **self.settings())

    def add(self, fields):
        name = f"n{len(self.servers)}"
        server = self.site.nginx(name, version="", http=KEEP, server="location = /health { try_files /health =503; }")
        (server.www / "health").touch()
        self.servers.append(server)
        self.endpoints.append({"address": "127.0.0.1", "port": server.port} | fields)

    def settings(self):
        return {"cluster": {"protocol": "http1", "endpoints": self.endpoints} | self.cluster,
                "more": {"proxy": {"name": "p1"} | (self.proxy or {})}}

    def reload(self):
        before = self.site.proxy.output().count(" event=reloaded ")
        self.site.configure([], **self.settings())
        self.site.proxy.send_signal(signal.SIGHUP)
        wait_for(lambda: self.site.proxy.output().count(" event=reloaded ") > before, 10, "the reload")

    def shares(self, requests=400):
        """How many of so many requests each server gets."""
        def asked():
            return [sum("/who" in line for line in server.access_log.read_text().splitlines()) for server in self.servers]

        before = asked()
        load = self.site.h2load("/who", "-n", requests, "-c", 2, "-m", 5)
        assert load.good == requests, load.output
        # nginx writes its line when the answer has gone.
        after = wait_for(lambda: sum(found := asked()) >= sum(before) + requests and found, 10, "all lines")
        return [now - then for now, then in zip(after, before)]

    def used(self):
        """The numbers of those that get requests."""
        return {number for number, share in enumerate(self.shares(60)) if share}

    def harm(self, *numbers):
        for number in numbers:
            (self.servers[number].www / "health").unlink()
        self.wait_for_standing(numbers, False)

    def heal(self, *numbers):
        for number in numbers:
            (self.servers[number].www / "health").touch()
        self.wait_for_standing(numbers, True)

    def wait_for_standing(self, numbers, healthy):
        def seen():
            listed = self.site.ctl_json("clusters", "app")["clusters"][0]["endpoints"]
            found = {int(endpoint["endpoint"].rsplit(":", 1)[1]): endpoint["healthy"] for endpoint in listed}
            return [found[self.servers[number].port] for number in numbers] == [healthy] * len(numbers)

        wait_for(seen, 10, f"{numbers} to be {'healthy' if healthy else 'unhealthy'}")


def test_a_lower_priority_gets_what_the_higher_one_cannot_take(site):
    group = Group(site, [{"priority": 0}] * 4 + [{"priority": 1}] * 2, policy="round_robin", health=QUICK)
    assert group.used() == {0, 1, 2, 3}
    # Three of four and a reserve of 40 %: still all that it takes.
    group.harm(0)
    wait_for(lambda: group.used() == {1, 2, 3}, 10, "the three others to take it all")
    # Half of them carry 1.4 times a half: 70 %.
    group.harm(1)
    wait_for(lambda: 0.6 < sum(group.shares()[2:4]) / 400 < 0.8, 10, "a part to go to the other level")
    group.harm(2, 3)
    wait_for(lambda: group.used() == {4, 5}, 10, "the other level to take it all")
    group.heal(0, 1, 2, 3)
    wait_for(lambda: group.used() == {0, 1, 2, 3}, 10, "the first level to take it back")


def test_the_proxys_own_zone_is_preferred_and_others_help(site):
    group = Group(site, [{"zone": "here"}] * 4 + [{"zone": "there"}] * 6, proxy={"zone": "here"}, policy="round_robin",
                  panic_percent=0, health=QUICK)
    assert group.used() == {0, 1, 2, 3}
    # One of four that is left in each carries 1.4 times a quarter.
    group.harm(0, 1, 2)
    wait_for(lambda: 0.25 < group.shares()[3] / 400 < 0.45, 10, "the other zone to help")
    group.heal(0, 1, 2)
    wait_for(lambda: group.used() == {0, 1, 2, 3}, 10, "the zone to keep to itself again")


def test_too_few_healthy_ones_are_not_believed(site):
    group = Group(site, [{}] * 3, policy="round_robin", panic_percent=50, health=QUICK)
    group.harm(0)
    wait_for(lambda: group.used() == {1, 2}, 10, "requests to avoid the one")
    group.harm(1)
    wait_for(lambda: group.used() == {0, 1, 2}, 10, "all to be used, as one of three is too few")
    group.cluster["panic_percent"] = 0
    group.reload()
    wait_for(lambda: group.used() == {2}, 10, "checks to be believed whatever they say")


@pytest.mark.parametrize("policy", ["round_robin", "weighted_round_robin", "least_request", "random"])
def test_a_new_endpoint_starts_slowly_if_told_so(site, policy):
    """At first with a tenth of its weight."""
    group = Group(site, [{}] * 2, policy=policy, slow_start="30m")
    assert min(group.shares()) > 100, "the first ones have nobody to ease in beside"
    group.add({})
    group.reload()
    wait_for(lambda: group.shares(50)[2], 10, "the new one to be used")
    share = group.shares(1000)[2] / 1000
    # A tenth beside two: 0.048.
    assert 0.005 < share < 0.12, share
    del group.cluster["slow_start"]
    group.reload()
    wait_for(lambda: group.shares(300)[2] > 70, 10, "its whole share")
