"""A real name server, NSD, with one zone whose records a test changes; and a hostile one."""

import itertools
import signal
from pathlib import Path

from netns import wait_for

PEERS = Path(__file__).resolve().parent / "peers"
PORT = 5300
ZONE = "example.test"


class NameServer:
    """NSD on the loopback of a site's namespace, for names below example.test."""

    def __init__(self, site, records):
        self.site = site
        self.directory = site.network.directory / "nsd"
        self.directory.mkdir()
        self.serials = itertools.count(1)
        self.write(records)
        self.config = self.directory / "nsd.conf"
        self.config.write_text(f"""
server:
  ip-address: 127.0.0.1@{PORT}
  username: ""
  chroot: ""
  zonesdir: "{self.directory}"
  database: ""
  xfrdfile: ""
  zonelistfile: "{self.directory}/zones.list"
  pidfile: "{self.directory}/nsd.pid"
  cookie-secret-file: ""
  xfrdir: "{self.directory}"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "{ZONE}"
  zonefile: "zone"
""")
        self.process = None
        self.start()

    def start(self):
        self.process = self.site.namespace.popen(["nsd", "-d", "-c", self.config])
        wait_for(lambda: self.process.require_running() or
                 f":{PORT} " in self.site.namespace.run(["ss", "-Hlun"]).stdout, 20, "nsd to listen")

    def kill(self):
        """Its children, too: they share its session."""
        self.site.namespace.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)
        self.process.wait()

    def write(self, records):
        """`records`: lines of the zone, "name ttl type value"."""
        text = f"""$ORIGIN {ZONE}.
@ 0 SOA ns hostmaster {next(self.serials)} 3600 600 86400 0
@ 0 NS ns
ns 0 A 127.0.0.1
""" + "\n".join(records) + "\n"
        (self.directory / "zone.new").write_text(text)
        (self.directory / "zone.new").rename(self.directory / "zone")

    def serve(self, records):
        """Goes on with other records."""
        self.write(records)
        self.process.send_signal(signal.SIGHUP)


def dns(*names, **fields):
    """A cluster's discovery by this name server, impatient. A name is "host:port", or that of SRV records."""
    entries = []
    for name in names:
        host, _, port = name.partition(":")
        entries.append({"name": f"{host}.{ZONE}.", "port": int(port)} if port else {"srv": f"{host}.{ZONE}."})
    return {"discovery": {"kind": "dns", "names": entries, "servers": [f"127.0.0.1:{PORT}"], "timeout": "1s",
                          "min_refresh": "100ms", "failure_base": "100ms", "failure_max": "200ms"} | fields}
