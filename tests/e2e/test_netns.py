"""The tests' own ground: what a killed run leaves is removed by the next one."""

import subprocess
import sys
from pathlib import Path

from netns import NETNS_DIR, Network, is_alive, sweep, wait_for

OWNER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from netns import Network
network = Network()
namespace = network.namespace("orphan")
namespace.popen(["sleep", "1000"])
while not namespace.pids(): pass
print(namespace.name, network.directory, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_leaves_is_swept(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owner = subprocess.run([sys.executable, script, Path(__file__).parent], capture_output=True, text=True, check=False)
    assert owner.returncode == -9, owner.stderr
    name, directory = owner.stdout.split()
    # Reaped by subprocess.run, so the owner's pid is gone; its namespace is not.
    assert (NETNS_DIR / name).exists()
    sweep()
    assert not (NETNS_DIR / name).exists()
    assert not Path(directory).exists()


def test_programs_die_with_the_run_that_started_them(tmp_path):
    script = tmp_path / "owner.py"
    script.write_text(OWNER.replace("print(namespace.name, network.directory", "print(namespace.pids()[0]"))
    owner = subprocess.run([sys.executable, script, Path(__file__).parent], capture_output=True, text=True, check=False)
    pid = int(owner.stdout)

    wait_for(lambda: not is_alive(pid), 5, "the orphan to be killed")
    sweep()


def test_two_networks_side_by_side_share_no_name():
    with Network() as one, Network() as other:
        assert one.namespace("same").name != other.namespace("same").name
        assert one.directory != other.directory
