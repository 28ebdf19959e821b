"""Checks by a program of the operator's: what it is told, what its end means, and that nothing of it is left."""

import os

import pytest

from broken_servers import hang
from health_watch import Watch, check
from netns import wait_for

pytestmark = pytest.mark.control


@pytest.fixture
def program(tmp_path):
    """program(text): a shell script; returns its path."""
    def write(text):
        path = tmp_path / "check.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)
    return write


@pytest.mark.parametrize("text, error", [
    ("exit 0", ""),
    ("echo fine; exit 0", ""),
    ("exit 3", "exit status 3"),
    ("echo; echo 'disk \"sda\" full'; echo more; exit 1", "exit status 1: disk 'sda' full"),
    ("echo no such table >&2; exit 2", "exit status 2: no such table"),
    ("yes | head -c 1000000; exit 1", "exit status 1: y"),
    ("kill -SEGV $$", "ended by signal 11 (Segmentation fault)"),
    ("sleep 60", "no end of the program within 500 ms"),
    ("trap '' TERM; echo begun; sleep 60", "no end of the program within 500 ms"),
], ids=["good", "good-with-words", "bad", "bad-with-words", "bad-with-words-on-stderr", "bad-with-far-too-much",
        "killed", "hangs", "hangs-and-ignores-sigterm"])
def test_external_programs(text, error, tmp_path, program):
    found = check(tmp_path, kind="external", command=[program(text)], port=80)
    assert (found["healthy"], found["error"]) == (error == "", error)


def test_external_program_knows_what_to_check(tmp_path, program):
    found = check(tmp_path, kind="external", backend="web1", port=80, env={**os.environ, "SLUICE_PORT": "other"},
                  command=[program('echo "$SLUICE_POOL $SLUICE_BACKEND $SLUICE_ADDRESS $SLUICE_PORT $*"; exit 1'),
                           "a b", "c"])
    assert found["error"] == "exit status 1: 0 web1 127.0.0.1 80 a b c"


def test_external_program_that_is_not_there(tmp_path):
    found = check(tmp_path, kind="external", command=["/nonexistent/check"])
    assert found["error"] == "cannot start '/nonexistent/check': No such file or directory"


@pytest.mark.parametrize("ending", ["sleep 62", "exit 0"], ids=["at-the-time-out", "at-its-end"])
def test_external_program_is_killed_with_its_children(ending, tmp_path, program):
    # The shell, and what it has put into the background.
    pids = tmp_path / "pids"
    command = program(f"echo $$ >> {pids}; sleep 61 & echo $! >> {pids}; {ending}")
    with Watch(tmp_path, {"kind": "external", "command": [command], "interval_ms": 60000}) as watch:
        assert watch.wait(settled=True)["healthy"] == (ending == "exit 0")

        def all_gone():
            return not any(os.path.exists(f"/proc/{pid}") for pid in pids.read_text().split())
        wait_for(all_gone, what="the end of all its processes")
        assert len(pids.read_text().split()) == 2


def test_external_program_gets_no_descriptors_of_ours(tmp_path, program, serve):
    command = program("ls /proc/self/fd | tr '\\n' ' '; exit 1")
    with Watch(tmp_path, {"kind": "external", "command": [command]},
               {"kind": "http", "port": serve(hang), "timeout_ms": 3000}) as watch:
        # 3 is the folder that ls reads, opened by the shell's child itself.
        assert watch.wait(settled=True)["error"].split() == "exit status 1: 0 1 2 3".split()
