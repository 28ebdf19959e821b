"""A new process takes over from the running one: nobody who connects or waits for an answer notices."""

import json
import os
import re
import signal
import socket
import threading

import pytest

from h2_client import H2Client
from netns import Process, run, wait_for
from proxy_site import FRONT, PEERS, PYTHON, REQUESTS, STATUSES

SECOND = FRONT + 1
DRAIN_S = 5
METRICS = "127.0.0.1:9109"


@pytest.fixture
def upgrades(site):
    return Upgrades(site)


class Upgrades:
    """The proxy of a site, and those that take over from it."""

    def __init__(self, site):
        self.site = site
        self.socket = site.network.directory / "upgrade.sock"

    def configure(self, servers, workers=1, proxy=None, more=None, **fields):
        self.site.configure([server.port for server in servers], more={"proxy": {
            "name": "p1", "workers": workers, "drain_time": f"{DRAIN_S}s", "upgrade_socket": str(self.socket)}
            | (proxy or {})} | (more or {}), **fields)

    def launch(self, *words, **options) -> Process:
        program = self.site.build / "control" / "sluice-proxy"
        return self.site.namespace.popen([program, "--config", self.site.config_path, *words], **options)

    def start(self, servers, workers=1, words=(), **fields):
        self.configure(servers, workers, **fields)
        self.site.proxy = self.launch(*words)
        return self.wait_until_started(self.site.proxy)

    def wait_until_started(self, process):
        wait_for(lambda: process.require_running() or "event=started" in process.output(), 20, "the proxy to be ready")
        return process

    def upgrade(self, servers, workers=1, **fields):
        """Has another process take over; returns the one before, which may still have clients."""
        old = self.site.proxy
        self.start(servers, workers, words=["--upgrade"], **fields)
        assert f"event=taken_over from_pid={old.pid}" in self.site.proxy.output()
        return old

    def listening(self):
        """The pids that hold listening sockets, by port."""
        lines = self.site.namespace.run(["ss", "-Hltnp"]).stdout.splitlines()
        found = {}
        for line in lines:
            port = int(re.search(r":(\d+) ", line)[1])
            found.setdefault(port, []).append({int(pid) for pid in re.findall(r"pid=(\d+)", line)})
        return found


def open_sockets(pid):
    """The inodes of its sockets, one for each descriptor."""
    def links():
        return [os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")]

    # Once more if one is closed meanwhile.
    return [link for link in wait_for(links, 5, "all descriptors to be seen") if link.startswith("socket:")]


def stopped(process):
    """Its output, after SIGTERM."""
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    return process.output()


class Callers:
    """Everybody at once: new connections all the time, and connections that stay."""

    def __init__(self, site):
        self.site = site
        self.requesting = [site.namespace.popen([PYTHON, PEERS / "requests_until.py", FRONT, how])
                           for how in ("once", "once", "keep", "keep")]
        self.going, self.loads, self.failures = True, 0, []
        self.threads = [threading.Thread(target=self.load, args=[words]) for words in (
            ["-n", 20, "-c", 20], ["--h1", "-n", 20, "-c", 20])]
        for thread in self.threads:
            thread.start()

    def load(self, words):
        while self.going:
            done = self.site.namespace.run(["h2load", *words, f"http://127.0.0.1:{FRONT}/who"], check=False)
            counted, statuses = REQUESTS.search(done.stdout), STATUSES.search(done.stdout)
            self.loads += 1
            if not counted or not statuses or counted[1] != statuses[1]:
                self.failures.append(done.stdout[-900:] + done.stderr)

    def stop(self):
        """What was wrong; [] is the aim."""
        self.going = False
        for thread in self.threads:
            thread.join()
        wrong = list(self.failures)
        for process in self.requesting:
            ended = json.loads(stopped(process).splitlines()[-1])
            assert ended.get("200", 0) > 0
            if set(ended) != {"200"}:
                wrong.append(ended)
        return wrong


def test_nobody_notices_upgrades_with_more_and_with_fewer_workers(site, upgrades):
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;") for number in (1, 2)]
    upgrades.start(servers, workers=2)
    callers = Callers(site)
    before = []
    try:
        for workers in (3, 1, 1):
            loads = callers.loads
            wait_for(lambda loads=loads: callers.loads > loads + 3, 20, "the load to be under way")
            before.append(upgrades.upgrade(servers, workers))
        loads = callers.loads
        wait_for(lambda: callers.loads > loads + 3, 20, "the load to go on")
    finally:
        wrong = callers.stop()
    assert not wrong, wrong
    for process in before:
        assert process.wait(DRAIN_S + 5) == 0
        assert "event=drained clients_left=0 requests_cut=0" in process.output()
    # Sockets are never fewer than they were: what waits in one must be accepted.
    assert upgrades.listening()[FRONT] == [{site.proxy.pid}] * 3


def test_grpc_calls_go_on(site, upgrades):
    servers = [site.grpc_server("python", "s1")]
    upgrades.start(servers)
    found = {}
    caller = threading.Thread(target=lambda: found.update(site.client("python", "hold", 3)))
    caller.start()
    wait_for(lambda: upgrades.site.namespace.run(["ss", "-Htn", "state", "established", f"sport = :{FRONT}"]).stdout, 10,
             "the client to connect")
    old = upgrades.upgrade(servers)
    caller.join()
    assert set(found) == {"s1"} and found["s1"] > 100, found
    assert old.wait(DRAIN_S + 5) == 0


def test_what_was_begun_is_ended_by_the_old_one(site, upgrades):
    server = site.python_peer("h2_server.py", "s")
    upgrades.start([server])
    client = H2Client(site.namespace, FRONT)
    begun = client.request("/upload", "POST", end=False)
    client.finish(client.request("/"))
    old = upgrades.upgrade([server])
    while len(client.goaways) < 2:
        client.read()
    # Two steps: the first leaves streams that are on their way alone.
    assert [int.from_bytes(one[:4], "big") for one in client.goaways] == [(1 << 31) - 1, 3]
    client.h2.send_data(begun, b"last", end_stream=True)
    client.flush()
    answer = client.finish(begun)
    assert answer.status == 200 and answer.body == b"s"
    assert old.wait(5) == 0
    client.close()


def test_a_stream_that_does_not_end_is_cut_and_told_of(site, upgrades):
    server = site.python_peer("h2_server.py", "s")
    upgrades.start([server], proxy={"drain_time": "1s"})
    client = H2Client(site.namespace, FRONT)
    client.request("/sleep/60000")
    client.finish(client.request("/"))
    old = upgrades.upgrade([server])
    assert old.wait(10) == 0
    assert 'level=warning event=drained clients_left=1 requests_cut=1 listeners="front: 1 clients, 1 requests"' in old.output()
    client.close()


def test_listeners_may_come_and_go_in_the_same_step(site, upgrades):
    server = site.nginx("n1")
    upgrades.start([server], workers=2)
    upgrades.upgrade([server], workers=2, listener={"name": "other", "port": SECOND})
    done = site.namespace.run(["curl", "-sS", "-m", "10", f"http://127.0.0.1:{SECOND}/who"])
    assert done.stdout == "n1\n"
    wait_for(lambda: FRONT not in upgrades.listening(), 5, "the old listener to be closed")
    # And back: what was before the upgrade.
    upgrades.upgrade([server], workers=2)
    assert site.curl("/who").stdout == "n1\n"


def test_metrics_and_control_socket_are_the_new_ones_while_the_old_one_still_has_clients(site, upgrades):
    server = site.python_peer("h2_server.py", "s")
    more = {"metrics": {"listen": METRICS}}
    upgrades.start([server], more=more, proxy={"drain_time": "60s"})
    client = H2Client(site.namespace, FRONT)
    client.request("/hang")
    client.finish(client.request("/"))
    old = upgrades.upgrade([server], more=more, proxy={"name": "p2", "drain_time": "60s"})

    def info():
        text = site.namespace.run(["curl", "-sSf", "-m", "10", f"http://{METRICS}/metrics"]).stdout
        return re.search(r'sluice_proxy_info{proxy="(\w+)"', text)[1]

    wait_for(lambda: info() == "p2", 10, "the new one's metrics")
    wait_for(lambda: site.ctl_json("status")["pid"] == site.proxy.pid, 10, "the new one at the control socket")
    assert "event=metrics_not_served" not in site.proxy.output()
    assert old.exit_status() is None
    client.close()
    assert old.wait(DRAIN_S) == 0
    # It has not taken the socket's file with it.
    assert site.ctl_json("status")["proxy"] == "p2"


def test_what_the_old_one_found_unhealthy_gets_nothing_of_the_new_one(site, upgrades):
    servers = [site.nginx(f"n{number}") for number in (1, 2)]

    def care(**health):
        return {"policy": "round_robin", "panic_percent": 0, "health": {"kind": "http2", "path": "/who", "fall": 1, "rise": 1} | health}

    def standings():
        endpoints = site.ctl_json("clusters", "app")["clusters"][0]["endpoints"]
        return [endpoint["standing"] for endpoint in endpoints]

    upgrades.start(servers, cluster=care(interval="200ms", timeout="1s"))
    servers[0].send_signal(signal.SIGSTOP)
    wait_for(lambda: standings() == ["unhealthy", "serves"], 10, "the check to fail")
    # The new one's own first check of it has no result yet.
    upgrades.upgrade(servers, cluster=care(interval="60s", timeout="60s"))
    assert [site.curl("/who", "-m", "20").stdout for _ in range(4)] == ["n2\n"] * 4
    servers[0].send_signal(signal.SIGCONT)
    wait_for(lambda: standings() == ["serves", "serves"], 10, "the new one's check to end")


def test_a_second_one_by_mistake_is_refused(site, upgrades):
    server = site.nginx("n1")
    upgrades.start([server], workers=2)
    other = upgrades.launch()
    assert other.wait() == 1
    assert "proxy.sock: another process listens there" in other.output() and "--upgrade" in other.output()
    other = upgrades.launch("--run-dir", site.network.directory / "other-run")
    assert other.wait() == 1
    assert f"cannot listen on 127.0.0.1:{FRONT}: Address already in use" in other.output()
    assert "--upgrade" in other.output()
    # It has not touched the other one's socket.
    upgrades.upgrade([server])


def test_a_new_process_that_cannot_start_changes_nothing(site, upgrades):
    server = site.nginx("n1")
    old = upgrades.start([server])
    good = site.config_path.read_text()
    for broken, status, message in (
            (good.replace('"port"', '"prt"', 1), 3, "found unknown field 'prt'"),
            # Bad only once the sockets have been handed over.
            (good.replace('"address": "127.0.0.1"', '"address": "192.0.2.1"', 1), 1, "cannot listen on 192.0.2.1"),
            (good.replace(str(upgrades.socket), ""), 3, "proxy.upgrade_socket")):
        site.config_path.write_text(broken)
        new = upgrades.launch("--upgrade")
        assert new.wait() == status
        assert message in new.output()
        assert site.curl("/who").stdout == "n1\n"
    wait_for(lambda: old.output().count("event=handover_failed") == 1, 5, "the old one to notice")
    upgrades.upgrade([server])


def stopped_in_the_middle(upgrades, servers):
    """A new process that has been sent the sockets, and is stopped (SIGSTOP) before it can say anything."""
    old = upgrades.site.proxy
    upgrades.configure(servers, workers=3)
    old.send_signal(signal.SIGSTOP)
    new = upgrades.launch("--upgrade")

    def asks():
        new.require_running()
        line = upgrades.site.namespace.run(["ss", "-Hxl", "src", upgrades.socket]).stdout
        return line.split()[2] == "1"

    wait_for(asks, 10, "the new process to ask")
    new.send_signal(signal.SIGSTOP)
    old.send_signal(signal.SIGCONT)
    wait_for(lambda: f"event=handover_begun pid={new.pid}" in old.output(), 10, "the offer")
    return new


def test_a_new_process_that_is_killed_in_the_middle_changes_nothing(site, upgrades):
    server = site.nginx("n1")
    old = upgrades.start([server], workers=2)
    new = stopped_in_the_middle(upgrades, [server])
    # Nobody is lost to sockets that the new one holds and does not accept from.
    assert site.h2load("/who", "-n", 100, "-c", 100).good == 100
    third = upgrades.launch("--upgrade")
    assert third.wait() == 1
    assert f"pid {new.pid} is about to take over" in third.output()
    # A file that it would take at another time.
    upgrades.configure([server], workers=2)
    old.send_signal(signal.SIGHUP)
    refused = r'event=reload_refused .*error="another process is about to take over"'
    wait_for(lambda: re.search(refused, old.output()), 5, "the reload to be refused")
    new.send_signal(signal.SIGKILL)
    wait_for(lambda: f"event=handover_failed pid={new.pid}" in old.output(), 5, "the old one to notice")
    assert site.h2load("/who", "-n", 100, "-c", 100).good == 100
    upgrades.upgrade([server], workers=2)
    assert old.wait(10) == 0
    assert site.curl("/who").stdout == "n1\n"


@pytest.mark.parametrize("words", [[], ["--upgrade"]])
def test_the_socket_of_a_dead_process_is_no_obstacle(site, upgrades, words):
    server = site.nginx("n1")
    dead = upgrades.start([server])
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    assert upgrades.socket.exists()
    upgrades.start([server], words=words)
    assert site.curl("/who").stdout == "n1\n"
    upgrades.upgrade([server])


def test_the_socket_goes_with_the_last_process(site, upgrades):
    server = site.nginx("n1")
    upgrades.start([server])
    old = upgrades.upgrade([server])
    assert old.wait(10) == 0
    assert upgrades.socket.exists()
    assert site.proxy.stop() == 0
    assert not upgrades.socket.exists()
    site.proxy = None


def test_tls_sessions_are_resumed_by_the_new_one(site, upgrades):
    directory = site.network.directory
    certificate, key, session = directory / "cert.pem", directory / "key.pem", directory / "session.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", key, "-out", certificate])
    listener = {"tls": {"certificates": [{"certificate": str(certificate), "key": str(key)}], "min_version": "1.2"}}

    def connect(*words):
        return site.namespace.run(["openssl", "s_client", "-connect", f"127.0.0.1:{FRONT}", "-tls1_2", *words],
                                  input_text="Q\n").stdout

    server = site.nginx("n1")
    upgrades.start([server], listener=listener)
    assert "New, TLSv1.2" in connect("-sess_out", session)
    upgrades.upgrade([server], listener=listener)
    assert "Reused, TLSv1.2" in connect("-sess_in", session)
    # A start anew knows no old ticket.
    assert site.proxy.stop() == 0
    upgrades.start([server], listener=listener)
    assert "New, TLSv1.2" in connect("-sess_in", session)


def test_systemd_is_told_which_process_goes_on(site, upgrades):
    """SIGUSR2 starts the next one, in the same control group; NotifyAccess=main wants the old one to say so."""
    path = str(site.network.directory / "notify")
    server = site.nginx("n1")
    upgrades.configure([server])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(10)
        old = upgrades.launch(env=os.environ | {"NOTIFY_SOCKET": path})
        assert manager.recv(100) == b"READY=1"
        site.config_path.write_text(site.config_path.read_text().replace('"port"', '"prt"', 1))
        old.send_signal(signal.SIGUSR2)
        wait_for(lambda: 'event=upgrade_failed this_process_goes_on=true error="the new process ended with exit status 3"'
                 in old.output(), 10, "the failure to be told of")
        upgrades.configure([server])
        old.send_signal(signal.SIGUSR2)
        name, pid = manager.recv(100).decode().split("=")
        assert name == "MAINPID"
        assert manager.recv(100) == b"READY=1"
        # Not "STOPPING=1": the service goes on.
        assert old.wait(10) == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(100)
        assert upgrades.listening()[FRONT] == [{int(pid)}]
        assert site.curl("/who").stdout == "n1\n"
        manager.settimeout(10)
        os.kill(int(pid), signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"


def test_only_one_successor_at_a_time_is_started(site, upgrades):
    server = site.nginx("n1")
    old = upgrades.start([server])
    config = site.config_path.read_text()
    # A file that the successor does not get to the end of.
    site.config_path.unlink()
    os.mkfifo(site.config_path)
    old.send_signal(signal.SIGUSR2)
    wait_for(lambda: "event=upgrade_begun" in old.output(), 10, "a successor")
    successor = int(re.search(r"event=upgrade_begun pid=(\d+)", old.output())[1])
    old.send_signal(signal.SIGUSR2)
    wait_for(lambda: f"pid {successor} has been started for it already; wait for it, or end it" in old.output(), 10,
             "the refusal")
    assert old.output().count("event=upgrade_begun") == 1
    os.kill(successor, signal.SIGKILL)
    wait_for(lambda: "the new process ended with signal 9" in old.output(), 10, "its end to be told of")
    site.config_path.unlink()
    site.config_path.write_text(config)
    upgrades.upgrade([server])
    assert site.curl("/who").stdout == "n1\n"


def test_a_successor_has_what_is_handed_over_and_nothing_else(site, upgrades):
    """A descriptor that is inherited would keep a client's connection open, or a listening socket that nobody accepts from."""
    server = site.nginx("n1")
    upgrades.start([server], workers=2)
    # What has itself been handed over is among what may be inherited.
    assert upgrades.upgrade([server], workers=2).wait(DRAIN_S + 5) == 0
    old = site.proxy
    client = H2Client(site.namespace, FRONT)
    client.finish(client.request("/who"))
    before = set(open_sockets(old.pid))
    old.send_signal(signal.SIGUSR2)
    wait_for(lambda: "event=handed_over" in old.output(), 20, "the next process to take over")
    successor = int(re.search(r"event=handed_over to_pid=(\d+)", old.output())[1])
    wait_for(lambda: upgrades.listening()[FRONT] == [{successor}] * 2, 10, "the old one to let go")
    after = open_sockets(successor)
    # Two listening sockets, and the one where the next process asks.
    assert sorted(after) == sorted(set(after)) and len(before & set(after)) == 3
    client.close()
    assert old.wait(DRAIN_S + 5) == 0
    site.proxy = upgrades.wait_until_started(upgrades.launch("--upgrade"))
    assert site.curl("/who").stdout == "n1\n"


def test_the_sockets_of_a_stranger_are_not_taken(site, upgrades):
    server = site.nginx("n1")
    folder = site.network.directory / "open"
    folder.mkdir()
    folder.chmod(0o777)
    upgrades.socket = folder / "upgrade.sock"
    listen = ("import socket,sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('listens', flush=True); "
              "s.accept()[0].recv(1)")
    stranger = site.namespace.popen(["setpriv", "--reuid", "65534", "--clear-groups", PYTHON, "-c", listen, upgrades.socket])
    wait_for(lambda: "listens" in stranger.output(), 10, "the stranger to listen")
    upgrades.configure([server])
    new = upgrades.launch("--upgrade")
    assert new.wait() == 1
    assert f"{upgrades.socket}: belongs to user 65534, who is neither root nor" in new.output()


def test_only_root_and_the_same_user_get_the_sockets(site, upgrades):
    server = site.nginx("n1")
    upgrades.start([server])
    os.chmod(upgrades.socket, 0o777)
    ask = ("import socket,sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
           "print(socket.recv_fds(s, 1000, 10)[:2])")
    done = run(["setpriv", "--reuid", "65534", "--clear-groups", PYTHON, "-c", ask, upgrades.socket])
    assert "refused" in done.stdout and done.stdout.rstrip().endswith("[])")
    assert "event=handover_refused" in site.proxy.output() and "user=65534" in site.proxy.output()
