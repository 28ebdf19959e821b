"""sluice-proxy that starts as root and goes on as somebody else."""

import os
import pwd
import re
import shutil
import signal
from pathlib import Path

import pytest

from netns import run, wait_for
from proxy_site import FRONT

USER = "nobody"
BIND_SERVICE = 1 << 10
# Below 1024: root's, or of who has kept a capability.
LOW, OTHER_LOW = 81, 82


@pytest.fixture
def key(site):
    """(certificate, key), readable by USER until a test changes that."""
    certificate, path = site.network.directory / "cert.pem", site.network.directory / "key.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-keyout", path, "-out", certificate])
    os.chown(path, 0, pwd.getpwnam(USER).pw_gid)
    path.chmod(0o640)
    return certificate, path


@pytest.fixture
def program(site):
    """The proxy where USER can run it: whoever may enter the build folder, /tmp is everybody's."""
    site.network.directory.chmod(0o755)
    return shutil.copy(site.build / "control" / "sluice-proxy", site.network.directory)


def start(site, program, ports, key, listener=None):
    configure(site, ports, key, listener)
    site.proxy = site.namespace.popen([program, "--config", site.config_path])
    wait_for(lambda: site.proxy.require_running() or "event=started" in site.proxy.output(), 20, "the proxy to be ready")


def configure(site, ports, key, listener=None):
    tls = {"certificates": [{"certificate": str(path), "key": str(other)} for path, other in [key]]}
    site.configure(ports, listener={"port": LOW, "tls": tls} | (listener or {}), more={"proxy": {
        "name": "p1", "user": USER, "workers": 2, "upgrade_socket": str(site.network.directory / "upgrade.sock")},
        "access_log": {"to": str(access_log(site))}})


def access_log(site):
    return site.network.directory / "access.log"


def page(site, port):
    return site.namespace.run(["curl", "-sSk", "-m", "10", f"https://127.0.0.1:{port}/who"]).stdout


def field(status, name):
    return re.search(rf"^{name}:\s+(.*)$", status, re.MULTILINE)[1].split()


def threads(pid):
    return {int(path.parent.name): path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")}


def check_restricted(pid, main_keeps):
    user = str(pwd.getpwnam(USER).pw_uid)
    found = threads(pid)
    assert len(found) >= 3
    for thread, status in found.items():
        assert field(status, "Uid") == [user] * 4
        assert field(status, "Gid") == [str(pwd.getpwnam(USER).pw_gid)] * 4
        assert {int(group) for group in field(status, "Groups")} == set(os.getgrouplist(USER, pwd.getpwnam(USER).pw_gid))
        assert int(field(status, "CapEff")[0], 16) == (main_keeps if thread == pid else 0)
        assert int(field(status, "CapPrm")[0], 16) == (main_keeps if thread == pid else 0)
        assert field(status, "NoNewPrivs") == ["1"]
        assert field(status, "Seccomp") == ["2"]


def check_told_before(output, later):
    """The log says that the process was restricted, and that before `later`."""
    assert 0 <= output.find("event=restricted") < output.find(later)


def test_all_threads_become_the_user_and_reloads_go_on(site, program, key):
    server = site.nginx("n1")
    start(site, program, [server.port], key)
    check_restricted(site.proxy.pid, BIND_SERVICE)
    check_told_before(site.proxy.output(), "event=started")
    for socket in (site.run_dir / "proxy.sock", site.network.directory / "upgrade.sock"):
        assert (socket.owner(), socket.stat().st_mode & 0o777) == (USER, 0o660), socket
    assert access_log(site).owner() == USER
    assert page(site, LOW) == "n1\n"
    # A further port below 1024, and the key read again.
    configure(site, [server.port], key, {"name": "other", "port": OTHER_LOW})
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in site.proxy.output(), 10, "the reload")
    assert page(site, OTHER_LOW) == "n1\n"
    site.proxy.send_signal(signal.SIGUSR1)
    wait_for(lambda: "event=access_logs_reopened" in site.proxy.output(), 10, "the logs to be opened anew")
    wait_for(lambda: access_log(site).read_text().count("GET /who") == 2, 10, "both lines")
    assert "_not_writable" not in site.proxy.output()


def test_a_key_that_the_user_cannot_read_is_told_of_and_nothing_breaks(site, program, key):
    server = site.nginx("n1")
    key[1].chmod(0o600)
    start(site, program, [server.port], key)
    assert f'event=file_not_readable file="{key[1]}"' in site.proxy.output()
    assert "/cert.pem" not in site.proxy.output()
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in site.proxy.output(), 10, "the reload to be refused")
    assert page(site, LOW) == "n1\n"


def test_upgrades_by_the_user_itself_and_by_root(site, program, key):
    server = site.nginx("n1")
    start(site, program, [server.port], key)
    old = site.proxy
    old.send_signal(signal.SIGUSR2)
    wait_for(lambda: "event=handed_over" in old.output(), 20, "the next process to take over")
    second = int(re.search(r"event=handed_over to_pid=(\d+)", old.output())[1])
    assert old.wait(10) == 0
    assert page(site, LOW) == "n1\n"
    # It was nobody from the start.
    check_restricted(second, 0)
    wait_for(lambda: site.ctl_json("status")["pid"] == second, 10, "the second one at the control socket")
    site.proxy = site.namespace.popen([program, "--config", site.config_path, "--upgrade"])
    wait_for(lambda: site.proxy.require_running() or "event=started" in site.proxy.output(), 20, "the third process")
    assert f"event=taken_over from_pid={second}" in site.proxy.output()
    # Root's last act is before it has anything to lose.
    check_told_before(site.proxy.output(), "event=taken_over")
    check_restricted(site.proxy.pid, BIND_SERVICE)
    wait_for(lambda: site.ctl_json("status")["pid"] == site.proxy.pid, 10, "the third one at the control socket")
    assert page(site, LOW) == "n1\n"


def test_a_log_of_somebody_else_is_told_of(site, program, key):
    server = site.nginx("n1")
    access_log(site).touch()
    os.chown(access_log(site), pwd.getpwnam("daemon").pw_uid, 0)
    start(site, program, [server.port], key)
    assert f'event=log_not_writable file="{access_log(site)}"' in site.proxy.output()
    assert access_log(site).owner() == "daemon"


def test_a_directory_that_the_user_cannot_write_to_is_told_of(site, program, key):
    server = site.nginx("n1")
    site.run_dir.mkdir()
    start(site, program, [server.port], key)
    assert f'event=run_dir_not_writable directory="{site.run_dir}"' in site.proxy.output()


def test_a_user_that_is_not_there_is_an_error(site):
    site.configure([9], more={"proxy": {"name": "p1", "user": "no-such-user"}})
    proxy = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    assert proxy.wait() == 1
    assert "proxy.user: no such user 'no-such-user'" in proxy.output()
    assert f":{FRONT} " not in site.namespace.run(["ss", "-Hltn"]).stdout


def test_who_is_not_root_cannot_become_somebody_else(site, program):
    site.configure([9], more={"proxy": {"name": "p1", "user": "daemon"}})
    proxy = site.namespace.popen(["setpriv", "--reuid", USER, "--clear-groups", program, "--config", site.config_path])
    assert proxy.wait() == 1
    assert "proxy.user: cannot become user 'daemon': only root can" in proxy.output()
