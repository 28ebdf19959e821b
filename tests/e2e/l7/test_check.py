"""What `sluice-proxy --check` says of the files that a configuration names. Nothing listens, nothing is made."""

import json
import os
import shutil
import socket

import pytest

ENDPOINTS = "endpoints:\n  - {address: 127.0.0.11, port: 9000}\n  - {address: 127.0.0.12, port: 9000}\n"
NOBODY = ["setpriv", "--reuid", "nobody", "--clear-groups"]


class Checks:
    """A configuration whose cluster follows a file, and what --check says of it."""

    def __init__(self, site):
        self.site, self.folder = site, site.network.directory / "named"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        site.network.directory.chmod(0o755)
        # Whoever may enter the build folder, /tmp is everybody's.
        self.program = shutil.copy(site.build / "control" / "sluice-proxy", site.network.directory)
        self.endpoints = self.folder / "app.yaml"
        self.endpoints.write_text(ENDPOINTS)

    def __call__(self, *, as_whom=(), cluster=None, more=None):
        """(exit status, standard output, standard error)"""
        self.site.configure([], cluster={"discovery": {"kind": "file", "path": str(self.endpoints)}} | (cluster or {}),
                            more=more)
        config = json.loads(self.site.config_path.read_text())
        del config["clusters"][0]["endpoints"]
        self.site.config_path.write_text(json.dumps(config))
        before = sorted(self.site.network.directory.rglob("*"))
        done = self.site.namespace.run([*as_whom, self.program, "--check", self.site.config_path], check=False)
        assert sorted(self.site.network.directory.rglob("*")) == before, "a file was made"
        return done.returncode, done.stdout, done.stderr

    def logs(self, path):
        """The three that there are, each to `path`.N."""
        return {"cluster": {"health": {"kind": "tcp", "event_log": f"{path}.1"}, "outlier": {"event_log": f"{path}.2"}},
                "more": {"access_log": {"to": f"{path}.3"}}}


@pytest.fixture
def check(site):
    return Checks(site)


def test_what_is_good_is_counted(site, check):
    assert check(**check.logs(check.folder / "log")) == (
        0, f"{site.config_path}: good: 1 listeners, 1 clusters, 2 endpoints\n", "")


@pytest.mark.parametrize("text, where", [
    ("endpoints:\n  - {address: 127.0.0.12, prt: 9000}\n", ":2:27: endpoints[0]: found unknown field 'prt', did you mean"),
    ('{"endpoints": [{"address": "127.0.0.12", "port": 9', ":1:"), (None, ": ")])
def test_a_file_of_endpoints_that_is_not_good_is_told_with_its_place(check, text, where):
    if text is None:
        check.endpoints.unlink()
    else:
        check.endpoints.write_text(text)
    status, output, errors = check()
    assert status == 0 and errors == "", "a start goes on, too"
    lines = output.splitlines()
    assert any(line.startswith(f"warning: {check.endpoints}{where}") for line in lines), output
    assert f"warning: cluster app: a start has no endpoints for it until {check.endpoints} is good" in lines
    assert lines[-1].endswith(" 0 endpoints")


def test_a_file_of_endpoints_that_this_user_cannot_read(check):
    check.endpoints.chmod(0o600)
    check.site.config_path.touch()
    check.site.config_path.chmod(0o644)
    status, output, _ = check(as_whom=NOBODY)
    assert status == 0 and f"warning: {check.endpoints}: " in output and "Permission denied" in output


def test_log_files_that_a_start_could_not_open(site, check):
    status, output, errors = check(**check.logs(check.folder / "none" / "log"))
    assert status == 3 and output == ""
    found = sorted(errors.splitlines())
    assert found == [
        f"{site.config_path}: access log {check.folder}/none/log.3: cannot be opened: No such file or directory; make its "
        "directory",
        *(f"{site.config_path}: cluster app: event log {check.folder}/none/log.{number}: cannot be opened: No such file or "
          "directory; accepted: a file in a directory that is there, and that sluice-proxy may write to"
          for number in (1, 2))]


def test_log_files_are_looked_at_without_opening_them(site, check):
    path = check.folder / "log"
    os.mkfifo(f"{path}.1")
    (check.folder / "log.2").mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.3")
    status, _, errors = check(**check.logs(path))
    assert status == 3
    # Whether somebody reads the FIFO is seen at the start only.
    assert "log.1" not in errors
    assert "log.2: cannot be opened: Is a directory" in errors
    assert "log.3: cannot be opened: No such device or address" in errors


def test_log_files_that_this_user_could_not_open(site, check):
    site.config_path.touch()
    site.config_path.chmod(0o644)
    _, _, errors = check(as_whom=NOBODY, **check.logs(check.folder / "log"))
    assert errors.count("cannot be opened: Permission denied") == 3
    check.folder.chmod(0o777)
    assert check(as_whom=NOBODY, **check.logs(check.folder / "log"))[0] == 0
