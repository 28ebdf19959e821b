"""A start that cannot succeed says in one line what to do, and leaves nothing behind."""

import re
import shutil
from pathlib import Path

import pytest

from one_link import OneLink


@pytest.fixture
def one_link(build, network):
    return OneLink(network, build)


def refused(one_link, *words, **options):
    """Runs sluiced and expects it to fail with one line that carries all `words`, and without a trace."""
    done = one_link.sluiced(**options)
    assert done.returncode > 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("sluiced: "), done.stderr
    assert done.stdout == ""
    for word in words:
        assert re.search(word, lines[0]), done.stderr
    assert one_link.traces() == []
    return lines[0]


@pytest.mark.smoke
def test_missing_interface(one_link):
    one_link.write(port={"af_xdp": "nope0"})
    refused(one_link, "port 'wan'", "no interface 'nope0'", "interfaces are: .*eth0")


def test_interface_that_is_down(one_link):
    one_link.write()
    one_link.node.ip("link", "set", "eth0", "down")
    refused(one_link, "'eth0' is down", "ip link set dev eth0 up")


def test_mtu_above_what_af_xdp_takes(build, network):
    one_link = OneLink(network, build, mtu=9000)
    one_link.write(port={"mtu": 1600})
    refused(one_link, "MTU 9000", "at most 3400", "ip link set dev eth0 mtu 1600")


def test_more_workers_than_queues(one_link):
    one_link.write(workers={"count": 2})
    refused(one_link, "'eth0' has 1 queue", "2 workers", "1 worker", "ethtool -L eth0 combined 2")


def test_fewer_queues_in_the_file_than_the_interface_has(build, network):
    one_link = OneLink(network, build, queues=2)
    one_link.write(port={"queues": 1})
    refused(one_link, "'eth0' has 2 receive queue", "'queues: 1'", "ethtool -L eth0")


def test_a_cpu_that_does_not_exist(one_link):
    one_link.write(workers={"cores": [1023]})
    refused(one_link, "workers.cores", "no CPU 1023", "may use: 0")


def test_a_cpu_that_sluiced_may_not_use(one_link):
    one_link.write(workers={"cores": [1]})
    refused(one_link, "workers.cores", "no CPU 1", r"may use: 0 \(", prefix=["taskset", "-c", "0"])


def test_memory_too_small_for_the_buffers(one_link):
    one_link.write(dpdk={"memory_mb": 16}, workers={"flow_table_flows": 1024}, port={"descriptors": 8192})
    line = refused(one_link, "dpdk.memory_mb", "16 MiB are not enough", "packet buffers", "descriptors")
    # What it asks for is enough.
    enough = int(re.search(r"set it to (\d+) or more", line)[1])
    one_link.write(dpdk={"memory_mb": enough, "huge_pages": False}, workers={"flow_table_flows": 1024},
                   port={"descriptors": 8192})
    one_link.start()
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0


def test_memory_too_small_for_the_flow_table(one_link):
    one_link.write(dpdk={"memory_mb": 64}, workers={"flow_table_flows": 1 << 24})
    refused(one_link, "dpdk.memory_mb", "64 MiB are not enough", r"1 flow table\(s\) 25\d MiB", "flow_table_flows")


def test_too_few_huge_pages_left_for_another_process(one_link):
    one_link.write(dpdk={"memory_mb": 1000000})
    refused(one_link, "not enough free huge pages", "1000000 MiB wanted", "vm.nr_hugepages", "huge_pages: false")


@pytest.mark.parametrize("huge_pages", [True, False], ids=["huge", "no-huge"])
def test_a_bad_argument_for_eal(one_link, huge_pages):
    one_link.write(dpdk={"eal_args": ["--main-lcore=77"], "huge_pages": huge_pages})
    done = one_link.sluiced()
    # EAL also prints a line of its own, and its usage to stdout.
    assert done.returncode > 0
    last = done.stderr.splitlines()[-1]
    assert re.match(r"sluiced: DPDK did not start: .*--main-lcore=77.*Main lcore is not enabled", last), done.stderr
    assert one_link.traces() == []


@pytest.mark.parametrize("vdev", ["net_nope0", "net_pcap0,rx_pcap=/nonexistent/in.pcap", "net_null0,sise=3"],
                         ids=["no-driver", "no-file", "no-argument"])
def test_a_bad_vdev(one_link, vdev):
    one_link.write(ports=[{"name": "offline", "vdev": vdev}],
                   backend={"next_hop": {"port": "offline", "mac": "02:00:00:00:00:01"}})
    line = refused(one_link, "port 'offline'", f"'{vdev.split(',')[0]}'")
    if "/nonexistent" in vdev:
        assert "/nonexistent/in.pcap" in line


def test_a_vdev_with_fewer_queues_than_workers(one_link):
    one_link.write(ports=[{"name": "offline", "vdev": "net_pcap0,tx_pcap=/dev/null,rx_iface=lo"}],
                   workers={"count": 2}, backend={"next_hop": {"port": "offline", "mac": "02:00:00:00:00:01"}})
    refused(one_link, "port 'offline'", "1 receive and 1 transmit", "fewer workers")


def pci_port(one_link, address):
    one_link.write(ports=[{"name": "nic", "pci": address}],
                   backend={"next_hop": {"port": "nic", "mac": "02:00:00:00:00:01"}})


def test_a_pci_device_that_is_not_there(one_link):
    pci_port(one_link, "fffe:1f:1f.7")
    refused(one_link, "port 'nic'", "no PCI device fffe:1f:1f.7", "lspci")


def test_a_pci_device_that_the_kernel_drives(one_link):
    addresses = [path.parent.name for path in Path("/sys/bus/pci/devices").glob("*/driver")
                 if path.resolve().name not in ("vfio-pci", "uio_pci_generic", "igb_uio")]
    if not addresses:
        pytest.skip("this machine has no PCI device with a driver")
    pci_port(one_link, addresses[0])
    refused(one_link, "port 'nic'", addresses[0], "driver", f"driverctl set-override {addresses[0]} vfio-pci")


def test_an_unwritable_run_dir(one_link):
    blocked = one_link.directory / "file"
    blocked.write_text("")
    one_link.write(node={"run_dir": str(blocked / "run")})
    refused(one_link, str(blocked), "control socket")


def test_a_run_dir_that_its_user_may_not_write(one_link):
    one_link.directory.chmod(0o755)
    one_link.run_dir.mkdir(mode=0o755)
    one_link.write()
    refused(one_link, str(one_link.run_dir), "ermission denied", **as_nobody(one_link))


NEEDED = ["net_admin", "net_raw", "ipc_lock", "sys_admin"]


def test_no_permission_for_af_xdp(one_link):
    with_run_dir_of_nobody(one_link)
    refused(one_link, "AF_XDP", "not permitted", "root", *(f"CAP_{name.upper()}" for name in NEEDED),
            **as_nobody(one_link))


@pytest.mark.parametrize("missing", NEEDED)
def test_a_missing_capability_is_named(one_link, missing):
    with_run_dir_of_nobody(one_link)
    refused(one_link, "port 'wan'", f"lacks CAP_{missing.upper()}:",
            **as_nobody(one_link, [name for name in NEEDED if name != missing]))


def test_four_capabilities_are_enough(one_link):
    with_run_dir_of_nobody(one_link)
    one_link.start(**as_nobody(one_link, NEEDED))
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0
    assert one_link.traces() == []


def with_run_dir_of_nobody(one_link):
    one_link.run_dir.mkdir()
    shutil.chown(one_link.run_dir, 65534)
    one_link.write()


def as_nobody(one_link, capabilities=()):
    # A copy that `nobody` may run wherever the tree lies.
    program = one_link.directory / "sluiced"
    shutil.copy(one_link.build / "control" / "sluiced", program)
    names = ",".join(f"+{name}" for name in capabilities)
    keep = ["--inh-caps", names, "--ambient-caps", names] if names else []
    return {"program": program,
            "prefix": ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *keep, "--"]}


def test_a_second_sluiced_on_the_interface(one_link):
    one_link.write()
    one_link.start()
    other = one_link.directory / "other.yaml"
    one_link.write(node={"run_dir": str(one_link.directory / "other-run"),
                         "state_dir": str(one_link.directory / "other-state")}, path=other)
    done = one_link.sluiced(path=other)
    assert done.returncode > 0
    assert re.fullmatch(r"sluiced: port 'wan': eth0 is served by another sluiced.*stop it first\n", done.stderr)
    assert list((one_link.directory / "other-run").iterdir()) == []
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0
    assert one_link.traces() == []


def test_a_second_sluiced_in_the_run_dir(one_link):
    one_link.write()
    one_link.start()
    other = one_link.directory / "other.yaml"
    one_link.write(node={"state_dir": str(one_link.directory / "other-state")}, path=other)
    done = one_link.sluiced(path=other)
    assert done.returncode > 0
    assert re.fullmatch(r"sluiced: .*control.sock: another process listens there.*\n", done.stderr)
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0


def test_a_second_sluiced_with_the_state_dir_is_told_who_has_it(one_link):
    one_link.write()
    one_link.start()
    other = one_link.directory / "other.yaml"
    one_link.write(node={"run_dir": str(one_link.directory / "other-run")}, path=other)
    done = one_link.sluiced(path=other)
    assert done.returncode > 0
    assert done.stderr == (f"{one_link.directory}/state: in use by another sluiced, pid {one_link.process.pid}; "
                           "stop it or set another node.state_dir\n")
    # The kernel gives the lock up however its holder ends.
    one_link.process.send_signal(9)
    one_link.process.wait()
    one_link.start()
    assert one_link.process.stop() == 0


def test_a_foreign_xdp_program_stays(one_link):
    one_link.node.run([one_link.build / "control" / "sluice-backend", "attach", "--interface", "eth0", "--vip",
                       "192.0.2.1", "--mode", "native"])
    one_link.write()
    done = one_link.sluiced()
    assert done.returncode > 0
    assert re.fullmatch(r"sluiced: port 'wan': eth0 has an XDP program that is not Sluice's: .*xdp off.*\n", done.stderr)
    assert one_link.traces() == ["XDP program", *(trace for trace in one_link.traces() if "/sys/fs/bpf" in trace)]
    one_link.node.run([one_link.build / "control" / "sluice-backend", "detach", "--interface", "eth0"])


@pytest.mark.smoke
def test_after_a_failure_of_the_second_port_the_first_is_as_before(build, network):
    one_link = OneLink(network, build)
    one_link.write(ports=[{"name": "wan", "af_xdp": "eth0"}, {"name": "offline", "vdev": "net_nope0"}],
                   backend={"next_hop": {"port": "wan", "mac": "02:00:00:00:00:01"}})
    refused(one_link, "port 'offline'", "net_nope0")


def test_a_start_after_a_failure_succeeds(one_link):
    one_link.write(port={"af_xdp": "nope0"})
    refused(one_link, "nope0")
    one_link.write()
    one_link.start()
    assert one_link.probe() == 20
    assert one_link.process.stop() == 0
    assert one_link.traces() == []
