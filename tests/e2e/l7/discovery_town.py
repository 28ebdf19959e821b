"""Servers at many addresses, and a cluster whose endpoints are discovered: by names (name_server) or in a file."""

import json
import re
from collections import Counter

from netns import wait_for
from proxy_site import Load

METRICS = 9109
SERVERS = [f"127.0.0.{number}" for number in range(11, 16)] + ["fd00::11", "fd00::12"]
SERVER_PORT = 9000
MORE = {"metrics": {"listen": f"127.0.0.1:{METRICS}"}}


class Town:
    """Servers at all of SERVERS, in one nginx, before the proxy; and who has answered how often."""

    def __init__(self, site):
        self.site = site
        # h2load takes 127.0.0.1 for no address where there is an IPv6 one and no other IPv4 one (AI_ADDRCONFIG).
        for address in ("192.0.2.1", *SERVERS[5:]):
            site.namespace.run(["ip", "address", "add", address, "dev", "lo"])
        self.log = site.network.directory / "answered.log"
        blocks = 'log_format by_address "$server_addr";\n' + "".join(f"""
            server {{
              listen {f'[{address}]' if ':' in address else address}:{SERVER_PORT} http2 backlog=1024;
              access_log {self.log} by_address;
              location / {{ return 200 "{address}\\n"; }}
            }}""" for address in SERVERS)
        self.nginx = site.nginx("town", http="keepalive_requests 10000000;\n" + blocks)

    def start(self, discovery, *, proxy=None, **cluster):
        self.site.start_proxy([], cluster=self.cluster(discovery, **cluster), more=self.more(proxy))

    def reload(self, discovery, *, proxy=None, **cluster):
        before = self.events("reloaded")
        self.site.configure([], cluster=self.cluster(discovery, **cluster), more=self.more(proxy))
        self.site.proxy.send_signal(1)
        wait_for(lambda: len(self.events("reloaded")) > len(before), 10, "the reload")

    @staticmethod
    def cluster(discovery, **fields):
        # None: no list at all, unlike an empty one.
        return {"name": "app", "policy": "round_robin"} | discovery | fields

    @staticmethod
    def more(proxy):
        return MORE | {"proxy": {"name": "p1"} | (proxy or {})}

    def answered(self, path="/", times=60):
        """Who answers `times` requests: Counter of addresses."""
        before = len(self.log.read_text().splitlines()) if self.log.exists() else 0
        load = self.site.h2load(path, "-n", times, "-c", 3, "-m", 5)
        assert load.bad == 0, load.output
        wait_for(lambda: len(self.log.read_text().splitlines()) >= before + times, 5, "the servers' log")
        return Counter(self.log.read_text().splitlines()[before:])

    def expect(self, addresses):
        """Waits until these answer and no others: the log tells of endpoints before each worker has them."""
        wait_for(lambda: set(self.answered()) == addresses, 10, f"{addresses} to answer", interval_s=0.05)

    def events(self, kind):
        """The log's lines of one kind."""
        return [line for line in self.site.proxy.output().splitlines() if f" event={kind} " in line]

    def wait_for_event(self, kind, *words, count=1, timeout_s=10):
        def found():
            self.site.proxy.require_running()
            return len([line for line in self.events(kind) if all(word in line for word in words)]) >= count

        wait_for(found, timeout_s, f"event {kind} with {words}")

    def metric(self, name):
        """Samples by their labels."""
        # They are served a moment after the proxy has begun to listen.
        text = self.site.namespace.run(["curl", "-sS", "--retry", "10", "--retry-delay", "1", "--retry-connrefused",
                                        f"http://127.0.0.1:{METRICS}/metrics"]).stdout
        found = re.findall(rf"^{name}\{{(.*?)\}} (\S+)$", text, re.M)
        return {labels: float(value) for labels, value in found}


def a_records(*numbers, name="app", ttl=0):
    return [f"{name} {ttl} A 127.0.0.{number}" for number in numbers]


def background_load(site, seconds, rate=400):
    return site.start_h2load("/", "-n", rate * seconds, "-c", 4, "-m", 10, f"--rps={rate // 4}", "-T", 60)


def finish(client):
    client.wait(60)
    load = Load(client.output())
    assert load.bad == 0 and load.total > 0, load.output


def endpoints_text(*numbers, **fields):
    return json.dumps({"endpoints": [{"address": f"127.0.0.{number}", "port": SERVER_PORT} | fields
                                     for number in numbers]})


def file_at(path):
    return {"discovery": {"kind": "file", "path": str(path)}}
