"""What an operator relies on beside traffic: metrics, the log, and what a running sluiced may still do."""

import os
import re
import shlex
import signal
import socket
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from netns import run, wait_for
from one_link import OneLink

pytestmark = pytest.mark.control

ROOT = Path(__file__).resolve().parents[2]
METRICS = "127.0.0.1:9108"
SEED = "a-secret-that-nobody-may-see"


@pytest.fixture
def one_link(build, network):
    return OneLink(network, build)


def configure(one_link, **sections):
    """A config that works, with metrics, and `sections` of the whole file."""
    one_link.write(node={"cluster_seed": SEED}, extra={"metrics": {"listen": METRICS}} | sections)


def scrape_text(one_link):
    return one_link.node.run(["curl", "-sS", "-m", "20", "--fail", f"http://{METRICS}/metrics"]).stdout


def scrape(one_link):
    """{(name, frozenset of labels): value}, by the parser of Prometheus' own library."""
    return {(sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(scrape_text(one_link)) for sample in family.samples}


def value(samples, name, **labels):
    return samples[(name, frozenset(labels.items()))]


def documented_metrics():
    return re.findall(r"^\| `(\w+)` \| (\w+)", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)


def ctl(one_link, *words, **options):
    return one_link.node.run([one_link.build / "control" / "sluicectl", "--socket", one_link.run_dir / "control.sock",
                              *words], **options)


def status_of(pid):
    return dict(line.split(":\t", 1) for line in open(f"/proc/{pid}/status", encoding="ascii").read().splitlines()
                if ":\t" in line)


# --- metrics


@pytest.mark.smoke
def test_metrics_count_what_was_sent_and_parse(one_link):
    configure(one_link)
    one_link.start()
    assert one_link.probe(flows=20, rounds=3) == 60
    # Answers within half a second are the same.
    wait_for(lambda: value(scrape(one_link), "sluice_vip_packets_total", vip="echo") == 60, 5, "a new answer")
    samples = scrape(one_link)
    assert value(samples, "sluice_backend_packets_total", pool="echo", backend="b1") == 60
    assert value(samples, "sluice_backend_resolved", pool="echo", backend="b1") == 1
    assert value(samples, "sluice_backend_slots_ratio", pool="echo", backend="b1") == 1
    assert value(samples, "sluice_flows_inserted_total", worker="0") == 20
    assert value(samples, "sluice_dropped_packets_total", worker="0", reason="no_backend") == 0
    assert value(samples, "sluice_port_up", port="wan") == 1
    assert value(samples, "sluice_announced", address="203.0.113.10") == 0
    assert value(samples, "sluice_table_build_seconds_count") == value(samples, "sluice_table_generation") >= 1
    assert value(samples, "process_resident_memory_bytes") > 1e6
    families = {(family.name + ("_total" if family.type == "counter" else ""), family.type)
                for family in text_string_to_metric_families(scrape_text(one_link))}
    assert families == set(documented_metrics())
    linted = run(["promtool", "check", "metrics"], input_text=scrape_text(one_link), check=False)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert one_link.process.stop() == 0


def test_metrics_follow_changes_and_a_refused_reload(one_link):
    configure(one_link)
    one_link.start()
    ctl(one_link, "backend", "set", "echo", "b1", "weight=7", "state=drain")
    ctl(one_link, "backend", "add", "echo", "b2", "address=10.9.0.9")
    wait_for(lambda: value(scrape(one_link), "sluice_backend_weight", pool="echo", backend="b1") == 7, 5, "the weight")
    samples = scrape(one_link)
    assert value(samples, "sluice_backend_active", pool="echo", backend="b1") == 0
    assert value(samples, "sluice_backend_slots_ratio", pool="echo", backend="b2") == 1
    assert value(samples, "sluice_config_last_reload_successful") == 1
    one_link.config_path.write_text("nonsense")
    one_link.process.send_signal(signal.SIGHUP)
    wait_for(lambda: value(scrape(one_link), "sluice_config_last_reload_successful") == 0, 5, "the failed reload")
    assert one_link.process.stop() == 0


def test_alert_rules_and_dashboard_name_metrics_that_exist():
    known = {name for name, _ in documented_metrics()} | {"up"}
    for path in ("packaging/prometheus/sluice-alerts.yaml", "packaging/grafana/sluice.json"):
        text = (ROOT / path).read_text()
        named = set(re.findall(r"\b(?:sluice|process)_[a-z_]+\b", text))
        named = {re.sub(r"_(sum|count|bucket)$", "", name) if name not in known else name for name in named}
        assert len(named) > 10, path
        assert named <= known, (path, named - known)
    checked = run(["promtool", "check", "rules", ROOT / "packaging/prometheus/sluice-alerts.yaml"], check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


# --- what it may do


def documented_capabilities():
    numbers = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14}
    names = re.findall(r"^\| `(CAP_\w+)` \|", (ROOT / "docs/security.md").read_text(), re.MULTILINE)
    return sum(1 << numbers[name] for name in names)


@pytest.mark.smoke
def test_it_keeps_the_documented_capabilities_and_works_with_them(one_link):
    configure(one_link)
    one_link.start()
    for task in os.listdir(f"/proc/{one_link.process.pid}/task"):
        status = status_of(task)
        for key in ("CapEff", "CapPrm"):
            assert int(status[key], 16) == documented_capabilities(), (status["Name"], key)
        for key in ("CapBnd", "CapInh", "CapAmb"):
            assert int(status[key], 16) == 0, (status["Name"], key)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status["Name"]
    assert "capabilities net_admin net_raw ipc_lock" in ctl(one_link, "status").stdout
    # Other VIPs take a change of the BPF maps.
    one_link.write(node={"cluster_seed": SEED}, extra={"metrics": {"listen": METRICS}}, backend={"weight": 7})
    one_link.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in one_link.process.output(), 10, "the reload")
    ctl(one_link, "vip", "add", "more", "address=203.0.113.11", "protocol=udp", "port=9000", "pool=echo")
    one_link.neighbour.ip("route", "add", "203.0.113.11/32", "via", "10.9.0.1")
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0
    assert one_link.traces() == []
    assert "level=error" not in one_link.process.output() and "level=warning" not in one_link.process.output()


def test_programs_of_external_checks_have_no_capabilities(one_link):
    seen = one_link.directory / "seen"
    script = f"id -u; grep -E 'CapEff|CapPrm|NoNewPrivs' /proc/self/status; unshare -n true && echo escaped; mv {seen}.new {seen}"
    one_link.write(pool={"health": {"kind": "external", "command": ["/bin/sh", "-c", f"({script}) >{seen}.new 2>&1; mv {seen}.new {seen}"]}})
    one_link.start()
    wait_for(seen.exists, 10, "the check to run")
    text = seen.read_text()
    assert text.startswith("0\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n"), text
    assert "escaped" not in text
    assert one_link.process.stop() == 0


def test_the_limit_of_open_files_follows_the_checked_backends_or_the_log_says_so(one_link):
    def limit():
        for line in open(f"/proc/{one_link.process.pid}/limits", encoding="ascii"):
            if line.startswith("Max open files"):
                return int(line.split()[3])
        return None

    one_link.write(pool={"health": {"kind": "tcp", "port": 1}})
    one_link.start(prefix=["prlimit", "--nofile=256:2048", "--"])
    assert limit() >= 513
    assert "event=too_few_files" not in one_link.process.output()
    services = one_link.directory / "services.yaml"
    backends = "\n".join(f"      - {{ address: 10.20.{i // 250}.{i % 250 + 1} }}" for i in range(2048))
    services.write_text("pools:\n  - name: many\n    health: { kind: tcp, port: 1, interval: 60m }\n"
                        f"    backends:\n{backends}\n")
    ctl(one_link, "config", "apply", services, "--timeout", "30")
    # Beyond the hard limit only with CAP_SYS_RESOURCE at the start, which a container may lack.
    assert limit() >= 2560 or "event=too_few_files limit=2048 needed=2560" in one_link.process.output()
    assert one_link.process.stop() == 0


def test_the_control_socket_is_not_for_others(one_link):
    one_link.write()
    one_link.start(prefix=["sh", "-c", "umask 0; exec \"$@\"", "sh"])
    mode = stat.S_IMODE((one_link.run_dir / "control.sock").stat().st_mode)
    assert mode == 0o660
    one_link.directory.chmod(0o755)
    refused = one_link.node.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS",
                                 "--unix-socket", one_link.run_dir / "control.sock", "http://x/v1/status"], check=False)
    assert refused.returncode != 0 and refused.stdout == ""
    assert one_link.process.stop() == 0


# --- the log


def test_the_log_level_changes_while_it_runs(one_link):
    configure(one_link)
    one_link.start()
    assert ctl(one_link, "node", "log-level").stdout == "info\n"
    assert "level=debug" not in one_link.process.output()
    assert ctl(one_link, "node", "log-level", "debug").stdout == "node: log level debug until the restart\n"
    ctl(one_link, "backend", "set", "echo", "b1", "weight=7")
    assert re.search(r"level=debug event=table_published generation=\d+ build_ms=", one_link.process.output())
    wrong = ctl(one_link, "node", "log-level", "loud", check=False)
    assert wrong.returncode == 1 and "accepted: debug, info, warning, error" in wrong.stderr
    # A file with another level counts when it is read.
    configure(one_link, log={"level": "warning"})
    one_link.process.send_signal(signal.SIGHUP)
    wait_for(lambda: ctl(one_link, "node", "log-level").stdout == "warning\n", 10, "the level of the file")
    assert one_link.process.stop() == 0


def test_the_seed_is_nowhere_to_be_seen(one_link):
    configure(one_link, log={"level": "debug"})
    one_link.start()
    config = one_link.config_path.read_text()
    one_link.config_path.write_text(config.replace(SEED, SEED * 50))
    one_link.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in one_link.process.output(), 10, "the refusal")
    assert "node.cluster_seed: found a secret of 1400 bytes" in one_link.process.output()
    said = [one_link.process.output(), scrape_text(one_link), ctl(one_link, "status").stdout,
            ctl(one_link, "status", "--json").stdout, ctl(one_link, "events", "--json").stdout,
            ctl(one_link, "config", "export").stdout]
    checked = one_link.node.run([one_link.build / "control" / "sluiced", "--check", one_link.config_path], check=False)
    assert checked.returncode == 3
    for text in (*said, checked.stdout, checked.stderr):
        assert SEED not in text
    assert one_link.process.stop() == 0


def test_a_journal_that_is_not_there_is_told_at_the_start(one_link):
    if os.path.exists("/run/systemd/journal/socket"):
        pytest.skip("journald runs on this machine")
    one_link.write(extra={"log": {"to": "journal"}})
    done = one_link.sluiced()
    assert done.returncode == 1
    assert done.stderr == ("sluiced: log.to: journald does not listen on /run/systemd/journal/socket; "
                           "use log.to: stderr\n")


# --- systemd


def test_systemd_hears_that_it_is_ready_alive_and_stopping(one_link):
    path = one_link.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(20)
        one_link.write()
        one_link.start(prefix=["env", f"NOTIFY_SOCKET={path}", "WATCHDOG_USEC=400000"])
        assert listener.recv(100) == b"READY=1"
        assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        # A thread that hangs says nothing, and systemd ends it.
        one_link.process.send_signal(signal.SIGSTOP)
        listener.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                listener.recv(100)
        one_link.process.send_signal(signal.SIGCONT)
        listener.settimeout(20)
        assert listener.recv(100) == b"WATCHDOG=1"
        one_link.process.send_signal(signal.SIGTERM)
        heard = listener.recv(100)
        while heard == b"WATCHDOG=1":
            heard = listener.recv(100)
        assert heard == b"STOPPING=1"
        assert one_link.process.stop() == 0


def test_the_units_are_what_systemd_understands(build, tmp_path):
    for name, instance in (("sluiced.service", "sluiced.service"), ("sluice-backend@.service", "sluice-backend@eth0.service")):
        text = (build / "packaging" / name).read_text()
        assert "@" not in text.replace("sluice-backend@", "")
        # The programs are not installed here.
        for program in ("sluiced", "sluice-backend"):
            text = re.sub(rf"=\S*/{program} ", f"={shlex.quote(str(build / 'control' / program))} ", text)
        unit = tmp_path / instance
        unit.write_text(text)
        checked = run(["systemd-analyze", "verify", "--man=no", unit], check=False)
        complaints = [line for line in checked.stderr.splitlines() if name.split("@")[0].split(".")[0] in line]
        assert complaints == [], checked.stderr
