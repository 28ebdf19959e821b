"""Network namespaces for tests and the demo: make them, join them by veth pairs, run programs in them, leave nothing.

    with Network() as net:
        client, server = net.namespace("client"), net.namespace("server")
        link(End(client, "eth0", ["192.0.2.1/24"]), End(server, "eth0", ["192.0.2.2/24"]))
        client.run(["ping", "-c1", "-W1", "192.0.2.2"])

Whoever dies, however it dies, the next user cleans up: a namespace carries its owner's pid in its name
(`sl<pid>-<n>`) and sweep() removes those whose owner is gone. Programs die with their parent, because the kernel
kills them (PR_SET_PDEATHSIG). Two test runs side by side never share a name.
"""

import ctypes
import itertools
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

NETNS_DIR = Path("/run/netns")
OWNED_NAMESPACE = re.compile(r"^sl(\d+)-\d+$")
OWNED_DIRECTORY = re.compile(r"^sluice-(\d+)-")

_numbers = itertools.count(1)


class CommandFailed(AssertionError):
    """A command ended otherwise than it had to; its text carries the command, the exit status and all output."""


class ProgramEnded(CommandFailed):
    """A program that has to run has ended. No use in waiting further: wait_for() passes this on."""


class WaitTimeout(AssertionError):
    """What was waited for did not happen in time."""


def wait_for(condition, timeout_s=10.0, what=None, interval_s=0.02):
    """Calls `condition` until it returns something true and returns that; raises WaitTimeout after `timeout_s`.

    `what` completes the sentence "waited ... for". An exception of `condition` counts as "not yet" and is named in the
    failure.
    """
    deadline = time.monotonic() + timeout_s
    last_error = None
    while True:
        try:
            value = condition()
            last_error = None
        except ProgramEnded:
            raise
        except (OSError, ValueError, KeyError, AssertionError, subprocess.SubprocessError) as error:
            value, last_error = None, error
        if value:
            return value
        if time.monotonic() > deadline:
            text = f"waited {timeout_s} s in vain for {what or getattr(condition, '__name__', condition)}"
            if last_error is not None:
                text += f"; last error: {last_error}"
            raise WaitTimeout(text)
        time.sleep(interval_s)


def run(command, *, check=True, timeout_s=60.0, input_text=None, env=None):
    """Runs `command` (a list) to its end; returns CompletedProcess with text output.

    With `check`, an exit status other than 0 raises CommandFailed with everything that was printed.
    """
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s,
                              input=input_text, env=env, check=False)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{shlex.join(command)}` did not end within {timeout_s} s\n"
                            f"stdout: {error.stdout!r}\nstderr: {error.stderr!r}") from None
    if check and done.returncode != 0:
        raise CommandFailed(f"`{shlex.join(command)}` ended with status {done.returncode}\n"
                            f"--- stdout\n{done.stdout}--- stderr\n{done.stderr}")
    return done


class Process:
    """A program running in a namespace, with its output in a file. Made by Namespace.popen()."""

    def __init__(self, command, log_path, env=None):
        self.command = [str(word) for word in command]
        self.log_path = Path(log_path)
        with open(self.log_path, "ab") as log:
            # --pdeathsig: a killed test run takes its programs with it. It survives the exec of nsenter and of the
            # program, so call this from a thread that lives as long as the program has to.
            # A session of its own: Ctrl-C reaches our own cleanup only, which then stops programs in order.
            self._popen = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *self.command],
                                           stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env,
                                           start_new_session=True)

    @property
    def pid(self):
        return self._popen.pid

    def exit_status(self):
        """The exit status (negative: the signal), or None while it runs."""
        return self._popen.poll()

    def output(self):
        """All that it has written so far, stdout and stderr together."""
        return self.log_path.read_text(errors="replace")

    def send_signal(self, number):
        self._popen.send_signal(number)

    def wait(self, timeout_s=10.0):
        """Waits for its end and returns the exit status."""
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise WaitTimeout(f"`{shlex.join(self.command)}` still runs after {timeout_s} s; its output:\n"
                              f"{self.output()}") from None

    def require_running(self):
        """Raises ProgramEnded with its output when it has ended."""
        if (status := self.exit_status()) is not None:
            raise ProgramEnded(f"`{shlex.join(self.command)}` has ended with status {status}; its output:\n"
                                f"{self.output()}")

    def stop(self, timeout_s=10.0):
        """SIGTERM, after `timeout_s` SIGKILL; returns the exit status. Harmless when it has ended already."""
        if self.exit_status() is None:
            self.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.send_signal(signal.SIGKILL)
        return self._popen.wait()


class Namespace:
    """One network namespace. Made by Network.namespace(), which also removes it."""

    def __init__(self, label, directory, *, forwarding=False):
        self.label = label
        self.name = f"sl{os.getpid()}-{next(_numbers)}"
        self.directory = Path(directory)
        self.processes = []
        run(["ip", "netns", "add", self.name])
        settings = {
            "net.ipv4.conf.all.rp_filter": 0,
            "net.ipv4.conf.default.rp_filter": 0,
            # An IPv6 address must be usable at once, not after duplicate address detection.
            "net.ipv6.conf.all.accept_dad": 0,
            "net.ipv6.conf.default.accept_dad": 0,
            "net.ipv6.conf.default.dad_transmits": 0,
            "net.ipv6.conf.default.accept_ra": 0,
        }
        if forwarding:
            settings |= {
                "net.ipv4.ip_forward": 1,
                "net.ipv6.conf.all.forwarding": 1,
                # A router with several nodes behind it: the 5-tuple picks the path, as real routers do.
                "net.ipv4.fib_multipath_hash_policy": 1,
                "net.ipv6.fib_multipath_hash_policy": 1,
            }
        self.sysctl(settings)
        self.run(["ip", "link", "set", "lo", "up"])

    def enter(self, command):
        """`command` as it runs inside. Not `ip netns exec`: that remounts /sys and hides the BPF file system."""
        return ["nsenter", f"--net={NETNS_DIR / self.name}", "--", *(str(word) for word in command)]

    def run(self, command, **options):
        """run() inside this namespace."""
        return run(self.enter(command), **options)

    def popen(self, command, *, log=None, env=None):
        """Starts `command` inside and returns a Process; it is stopped with the namespace at the latest."""
        number = len(self.processes)
        log_path = log or self.directory / f"{self.label}-{number}-{Path(str(command[0])).name}.log"
        process = Process(self.enter(command), log_path, env=env)
        self.processes.append(process)
        return process

    def socket(self, *arguments):
        """socket.socket(*arguments) that belongs to the namespace, for use from here."""
        made = []

        def enter_and_make():
            libc = ctypes.CDLL(None, use_errno=True)
            with open(NETNS_DIR / self.name, encoding="ascii") as file:
                if libc.setns(file.fileno(), 0) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.socket(*arguments))

        # The thread alone moves, and ends there.
        thread = threading.Thread(target=enter_and_make)
        thread.start()
        thread.join()
        return made[0]

    def sysctl(self, settings):
        """Sets {name: value}; names with dots."""
        self.run(["sysctl", "-q", "-w", *(f"{name}={value}" for name, value in settings.items())])

    def ip(self, *words):
        """`ip WORDS...` inside; returns its stdout."""
        return self.run(["ip", *words]).stdout

    def add_address(self, device, address):
        """Adds `address` (with prefix length), usable at once for IPv6 too."""
        nodad = ["nodad"] if ":" in address else []
        self.ip("address", "add", address, "dev", device, *nodad)

    def mac(self, device):
        """The device's MAC address as aa:bb:cc:dd:ee:ff."""
        return self.ip("-o", "link", "show", "dev", device).split("link/ether ")[1].split()[0]

    def pids(self):
        """All processes inside, whoever started them."""
        return [int(word) for word in run(["ip", "netns", "pids", self.name], check=False).stdout.split()]

    def remove(self):
        """Stops what runs inside and deletes the namespace."""
        for process in reversed(self.processes):
            process.stop()
        remove_namespace(self.name)


@dataclass
class End:
    """One end of a veth pair. `tx_offload=False` makes the kernel fill in whole checksums when it sends here: needed on
    the peer of an AF_XDP port, which would receive partial ones otherwise."""

    namespace: Namespace
    device: str
    addresses: list = field(default_factory=list)
    mac: str = None
    tx_offload: bool = True


def link(a, b, *, mtu=1500, queues=1):
    """Joins two namespaces by a veth pair, up and with its addresses."""
    def words(end):
        mac = ["address", end.mac] if end.mac else []
        return ["name", end.device, *mac, "mtu", str(mtu), "numrxqueues", str(queues), "numtxqueues", str(queues),
                "netns", end.namespace.name]

    run(["ip", "link", "add", *words(a), "type", "veth", "peer", *words(b)])
    for end in (a, b):
        for address in end.addresses:
            end.namespace.add_address(end.device, address)
        if not end.tx_offload:
            end.namespace.run(["ethtool", "-K", end.device, "tx", "off"])
        end.namespace.ip("link", "set", end.device, "up")
    # IPv6 waits for the kernel's (at times late) word that the carrier is there.
    for end in (a, b):
        wait_for(lambda end=end: "state UP" in end.namespace.ip("-o", "link", "show", "dev", end.device), 5.0,
                 f"the carrier of {end.device}", interval_s=0.005)


class Network:
    """A set of namespaces and one temporary directory, removed together."""

    def __init__(self):
        sweep()
        self.namespaces = []
        self.directory = Path(tempfile.mkdtemp(prefix=f"sluice-{os.getpid()}-"))
        # nginx workers and other programs that give up root read their files here.
        self.directory.chmod(0o755)

    def namespace(self, label, *, forwarding=False):
        """Makes a namespace; `label` only serves readers, the real name is unique."""
        made = Namespace(label, self.directory, forwarding=forwarding)
        self.namespaces.append(made)
        return made

    def logs(self):
        """The output of every program, for a failure's report."""
        parts = []
        for log_path in sorted(self.directory.glob("*.log")):
            parts.append(f"--- {log_path.name}\n{log_path.read_text(errors='replace')[-4000:]}")
        return "\n".join(parts)

    def remove(self):
        for namespace in reversed(self.namespaces):
            namespace.remove()
        self.namespaces.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


def remove_namespace(name):
    """Kills, by pid, what still runs in the namespace and deletes it."""
    def left():
        pids = [int(word) for word in run(["ip", "netns", "pids", name], check=False).stdout.split()]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    wait_for(left, 5.0, f"the programs in namespace {name} to die")
    run(["ip", "netns", "delete", name], check=False)


def is_alive(pid):
    """Whether the process exists and is more than a zombie that nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rsplit(") ", 1)[1][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def sweep():
    """Removes the namespaces and directories of owners that are gone (a killed test run)."""
    def is_orphan(pattern, name):
        match = pattern.match(name)
        return match is not None and not is_alive(match[1])

    if NETNS_DIR.exists():
        for path in NETNS_DIR.iterdir():
            if is_orphan(OWNED_NAMESPACE, path.name):
                remove_namespace(path.name)
    for path in Path(tempfile.gettempdir()).iterdir():
        if is_orphan(OWNED_DIRECTORY, path.name):
            shutil.rmtree(path, ignore_errors=True)
