"""Runs the benchmarks of one tier in one go, so that its figures can be compared with each other."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import announce_bench
import control_bench
import l7_bench
import l7_costs

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("SLUICE_BUILD", "build")
HUGE_PAGES = Path("/proc/sys/vm/nr_hugepages")
HUGE_PAGES_WANTED = 160
TESTPMD_SECONDS = 3


class BenchError(Exception):
    """A benchmark that could not run; the text says why."""


def build(*targets):
    """Builds the programs in the release build folder."""
    if not (BUILD / "build.ninja").exists():
        subprocess.run(["meson", "setup", BUILD, ROOT], check=True, stdout=sys.stderr)
    subprocess.run(["ninja", "-C", BUILD, *targets], check=True, stdout=sys.stderr)


def reserve_huge_pages():
    """Raises the number of 2 MB pages where there are too few; never lowers it."""
    if int(HUGE_PAGES.read_text()) < HUGE_PAGES_WANTED:
        try:
            HUGE_PAGES.write_text(str(HUGE_PAGES_WANTED))
        except PermissionError as error:
            raise BenchError("huge pages are needed: run as root, or sysctl -w vm.nr_hugepages="
                             f"{HUGE_PAGES_WANTED}") from error


def json_of(program, *words):
    """What a benchmark program prints as JSON."""
    done = subprocess.run([BUILD / "tests" / "bench" / program, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{program}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def testpmd_mac_clocks():
    """Clocks per packet of DPDK's own forwarder that only rewrites MAC addresses: null devices, bursts of 32."""
    everywhere = "(" + ",".join(str(cpu) for cpu in sorted(os.sched_getaffinity(0))) + ")"
    command = ["dpdk-testpmd", "--no-pci", "--in-memory", "--iova-mode=va", "-m", "64", "--log-level=*:warning",
               "--lcores", f"0@{everywhere},1@{everywhere}", "--vdev", "net_null0,size=60", "--vdev",
               "net_null1,size=60", "--", "-i", "--forward-mode=mac", "--record-core-cycles", "--auto-start",
               "--total-num-mbufs=8192", "--burst=32"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as process:
        try:
            process.wait(TESTPMD_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # it forwards until it is told to stop
        output, _ = process.communicate("stop\nquit\n", timeout=30)
    found = re.search(r"CPU cycles/packet=([0-9.]+)", output)
    if not found:
        raise BenchError(f"testpmd gave no figure:\n{output[-2000:]}")
    return float(found.group(1))


def bench_l4():
    """The L4 tier; returns what --json writes."""
    build("tests/bench/l4_bench", "tests/bench/maglev_bench")
    reserve_huge_pages()
    l4 = json_of("l4_bench", "--json")
    floor = testpmd_mac_clocks()
    maglev = json_of("maglev_bench", "--json")

    print(f"Clocks per packet (TSC, code for {l4['code']}): parse to encapsulated, counters on, 100 backends, "
          "bursts of 32")
    print(f"  {'case':<12}{'flows':>10}{'clocks':>10}")
    for row in l4["l4"]:
        print(f"  {row['case']:<12}{row['flows']:>10}{row['clocks_per_packet']:>10.1f}")
    print(f"  testpmd, mac mode over null devices, with their receive and transmit: {floor:.1f}")
    print("Maglev table, equal weights")
    print(f"  {'backends':>10}{'size':>10}{'ms':>10}")
    for row in maglev:
        print(f"  {row['backends']:>10}{row['size']:>10}{row['ms']:>10.2f}")
    return {"l4": l4["l4"], "testpmd_mac_clocks": floor, "maglev": maglev}


def bench_l7(quick):
    """The L7 tier beside HAProxy, nghttpx and nginx; returns what --json writes."""
    build("control/sluice-proxy")
    try:
        return l7_bench.bench_l7(BUILD / "control" / "sluice-proxy", quick=quick)
    except (l7_bench.LoadFailed, AssertionError) as error:
        raise BenchError(str(error)) from error


def bench_l7_costs():
    """What the proxy's access log and traces cost; returns what --json writes."""
    build("control/sluice-proxy")
    try:
        return l7_costs.bench_costs(BUILD / "control" / "sluice-proxy")
    except (l7_bench.LoadFailed, AssertionError) as error:
        raise BenchError(str(error)) from error


def bench_control():
    """The control plane of an L4 node; returns what --json writes."""
    build("control/sluiced", "tests/bench/health_bench")
    reserve_huge_pages()
    try:
        figures = control_bench.bench(BUILD / "control" / "sluiced")
    except RuntimeError as error:
        raise BenchError(str(error)) from error
    control_bench.show(figures)
    health = json_of("health_bench")
    control_bench.show_health(health)
    return {"control": figures, "health": health}


def bench_announce():
    """How fast VIPs of a killed node are withdrawn; returns what --json writes."""
    build("control/sluiced", "control/sluicectl", "control/sluice-backend")
    reserve_huge_pages()
    try:
        figures = announce_bench.bench(BUILD)
    except (RuntimeError, AssertionError) as error:
        raise BenchError(str(error)) from error
    announce_bench.show(figures)
    return {"announce": figures}


BENCHES = {"announce": lambda quick: bench_announce(), "control": lambda quick: bench_control(),
           "l4": lambda quick: bench_l4(), "l7": bench_l7, "l7-costs": lambda quick: bench_l7_costs()}


def main():
    """Exit status 0, or 1 with a line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures one tier.")
    parser.add_argument("tier", choices=sorted(BENCHES))
    parser.add_argument("--json", metavar="FILE", help="write the figures here too")
    parser.add_argument("--quick", action="store_true", help="l7: fewer rounds, the plain shapes only")
    given = parser.parse_args()
    try:
        figures = BENCHES[given.tier](given.quick)
    except (BenchError, subprocess.CalledProcessError) as error:
        sys.exit(f"scripts/bench: {error}")
    if given.json:
        Path(given.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
