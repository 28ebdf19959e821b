"""Builds the tree and runs test suites; what scripts/test calls after it has installed what is missing.

Counts are per test case, not per program: Google Test programs and pytest write XML reports, and these are summed.
A program that dies without a report counts as one failure, so does a build error, and so does a run without any test.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
JOBS = os.cpu_count() or 1
HUGE_PAGES = Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
HUGE_PAGES_NEEDED = 256

FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
PROGRAM_TIMEOUT_S = 900
PYTEST_TIMEOUT_S = 1800

# A sanitizer's finding ends the program: a report that nobody reads is no test.
SANITIZER_ENV = {
    "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
# Read by the programs of the end-to-end tests; without effect in a build without sanitizers.
LSAN_OPTIONS = f"suppressions={ROOT}/tests/e2e/lsan.supp:print_suppressions=0"


class BuildError(Exception):
    """The tree does not build; the text is what the tools said."""


@dataclass
class BuildType:
    """One way to build the tree, and the folder for it."""

    folder: str
    meson_options: list
    env: dict = field(default_factory=dict)
    test_env: dict = field(default_factory=dict)

    @property
    def path(self):
        return ROOT / self.folder


RELEASE = BuildType("build", ["--buildtype=release"])
SANITIZER = BuildType("build-asan",
                      # Line tables are enough for a stack trace, and -O1 halves the time to build.
                      # GCC 12 with sanitizers sees uninitialized values that are none: warnings are the release
                      # build's business.
                      ["--buildtype=plain", "-Doptimization=1", "-Dwerror=false", "-Dcpp_args=-g1", "-Db_sanitize=address,undefined",
                       "-Db_lundef=false"],
                      test_env=SANITIZER_ENV)
FUZZ = BuildType("build-fuzz",
                 ["--buildtype=debugoptimized", "-Db_sanitize=address,undefined", "-Db_lundef=false", "-Dfuzz=true"],
                 env={"CC": "clang-16", "CXX": "clang++-16"}, test_env=SANITIZER_ENV)


@dataclass
class Results:
    """What has run so far."""

    passed: int = 0
    failures: list = field(default_factory=list)
    skipped: list = field(default_factory=list)

    @property
    def failed(self):
        return len(self.failures)

    def add_failure(self, name, text):
        first_line = next((line.strip() for line in text.splitlines() if line.strip()), "")
        self.failures.append(f"FAILED {name}: {first_line[:300]}")
        print(f"\nFAILED {name}\n{text.rstrip()}\n", flush=True)

    def add_skip(self, name, reason):
        self.skipped.append(f"SKIPPED {name}: {reason}")


def say(text):
    print(f"== {text}", flush=True)


def tail(text, lines=80):
    return "\n".join(text.splitlines()[-lines:])


# --- building

def build(kind, targets=(), niceness=0):
    """Configures (once) and builds; returns the folder. Raises BuildError."""
    started = time.monotonic()
    nice = ["nice", "-n", str(niceness)]
    env = os.environ | kind.env
    if not (kind.path / "build.ninja").exists():
        configured = subprocess.run([*nice, "meson", "setup", kind.path, *kind.meson_options], cwd=ROOT, env=env, text=True,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if configured.returncode != 0:
            # A folder that was half configured would not be tried again.
            shutil.rmtree(kind.path, ignore_errors=True)
            raise BuildError(f"meson setup {kind.folder} failed\n{tail(configured.stdout)}")
    built = subprocess.run([*nice, "ninja", "-C", kind.path, *targets], cwd=ROOT, env=env, text=True, errors="replace",
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if built.returncode != 0:
        # A compiler's words follow the first FAILED line; meson's, when it configures anew, come before.
        lines = built.stdout.splitlines()
        first = next((number for number, line in enumerate(lines) if line.startswith("FAILED:")), len(lines))
        raise BuildError(f"ninja -C {kind.folder} failed\n" + "\n".join(lines[max(first - 10, 0):first + 80]))
    say(f"built {kind.folder}/ in {time.monotonic() - started:.0f} s")
    return kind.path


def registered_tests(kind, suite):
    """The programs that meson.build files register in `suite`."""
    listed = subprocess.run(["meson", "introspect", "--tests", kind.path], cwd=ROOT, text=True, capture_output=True,
                            check=True)
    return [test for test in json.loads(listed.stdout)
            if suite in (name.rsplit(":", 1)[-1] for name in test["suite"])]


# --- running

def run_program(command, *, env, timeout_s, cwd=None):
    """Runs to the end or to the time-out; returns (status, output). A status below 0 is a signal."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(command, env=env, cwd=cwd, stdout=output, stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL)
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = -signal.SIGALRM
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        return status, output.read()


def ending(status):
    """A process's end in words."""
    if status == -signal.SIGALRM:
        return "ran into the time-out"
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def add_junit(results, xml_path, prefix):
    """Sums one XML report of Google Test or pytest; returns (number of its test cases, number that failed)."""
    cases = failures = 0
    for case in ElementTree.parse(xml_path).iter("testcase"):
        if case.get("status") == "notrun":
            continue
        cases += 1
        name = f"{prefix}{case.get('classname')}.{case.get('name')}"
        broken = case.findall("failure") + case.findall("error")
        if broken:
            failures += 1
            texts = [(part.get("message") or "") + "\n" + (part.text or "") for part in broken]
            texts += [part.text or "" for tag in ("system-out", "system-err") for part in case.findall(tag)]
            results.add_failure(name, "\n".join(texts))
        elif (skip := case.find("skipped")) is not None:
            results.add_skip(name, (skip.get("message") or skip.text or "no reason given").strip())
        else:
            results.passed += 1
    return cases, failures


def add_gtest(results, test, kind, status, output, xml_path):
    """Counts one Google Test program."""
    prefix = f"[{kind.folder}] {test['name']}: "
    if xml_path.exists():
        cases, failures = add_junit(results, xml_path, prefix)
        if cases == 0:
            results.add_failure(prefix + "no tests", "the program has no test cases")
        elif status != 0 and failures == 0:
            results.add_failure(prefix + "end", f"all its tests passed, but it {ending(status)}\n{tail(output)}")
        return
    # It died in a test: what had passed before counts, the one that was running has failed.
    results.passed += len(re.findall(r"^\[       OK \]", output, re.MULTILINE))
    running = re.findall(r"^\[ RUN      \] (\S+)", output, re.MULTILINE)
    results.add_failure(prefix + (running[-1] if running else "start"), f"it {ending(status)}\n{tail(output)}")


def run_gtest_suite(results, kind, suite):
    """Runs all Google Test programs of a suite, as many at a time as there are CPUs."""
    tests = registered_tests(kind, suite)
    if not tests:
        results.add_failure(f"{kind.folder}: {suite}", f"no test program is registered in the suite '{suite}'")
        return
    started = time.monotonic()
    before = results.passed
    with tempfile.TemporaryDirectory(prefix="sluice-tests-") as reports:
        def run_one(test):
            xml_path = Path(reports) / f"{test['name']}.xml"
            env = os.environ | kind.test_env | test["env"]
            status, output = run_program([*test["cmd"], f"--gtest_output=xml:{xml_path}"], env=env,
                                         timeout_s=PROGRAM_TIMEOUT_S, cwd=test["workdir"])
            return test, status, output, xml_path

        side_by_side = [test for test in tests if test.get("is_parallel", True)]
        alone = [test for test in tests if not test.get("is_parallel", True)]
        for group, jobs in ((side_by_side, JOBS), (alone, 1)):
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                for test, status, output, xml_path in pool.map(run_one, group):
                    add_gtest(results, test, kind, status, output, xml_path)
    say(f"{suite} in {kind.folder}/: {results.passed - before} passed of {len(tests)} programs "
        f"in {time.monotonic() - started:.0f} s")


def run_pytest(results, kind, arguments):
    """Runs end-to-end tests (a folder, and pytest's options) against the programs in one build folder, their progress
    on the terminal."""
    reserve_huge_pages()
    with tempfile.TemporaryDirectory(prefix="sluice-tests-") as reports:
        xml_path = Path(reports) / "e2e.xml"
        env = os.environ | kind.test_env | {"SLUICE_BUILD": str(kind.path), "LSAN_OPTIONS": LSAN_OPTIONS}
        process = subprocess.Popen(
            ["/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "-v", "--tb=no", "--no-header",
             "--no-summary", f"--junitxml={xml_path}", *arguments], cwd=ROOT, env=env)
        try:
            status = process.wait(PYTEST_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            # As Ctrl-C: pytest ends the test, cleans up and still writes its report.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            status = -signal.SIGALRM
        except KeyboardInterrupt:
            # The terminal has sent it to pytest too, which needs a moment to clean up.
            process.wait(60)
            raise
        cases = failures = 0
        if xml_path.exists():
            cases, failures = add_junit(results, xml_path, f"[{kind.folder}] ")
        if cases == 0 or (status != 0 and failures == 0):
            results.add_failure(f"[{kind.folder}] pytest", f"it {ending(status)} after {cases} tests")


def reserve_huge_pages():
    """Raises, never lowers, the number of 2 MB pages until enough are free for two nodes."""
    free = int((HUGE_PAGES / "free_hugepages").read_text())
    total = int((HUGE_PAGES / "nr_hugepages").read_text())
    if free >= HUGE_PAGES_NEEDED or os.geteuid() != 0:
        return
    wanted = total + HUGE_PAGES_NEEDED - free
    (HUGE_PAGES / "nr_hugepages").write_text(str(wanted))
    got = int((HUGE_PAGES / "nr_hugepages").read_text())
    say(f"huge pages: raised from {total} to {got} x 2 MB")


# --- suites

def unit(results):
    for kind in (RELEASE, SANITIZER):
        build(kind)
        run_gtest_suite(results, kind, "unit")


def packet(results):
    for kind in (RELEASE, SANITIZER):
        build(kind)
        reserve_huge_pages()
        run_gtest_suite(results, kind, "packet")


def e2e(results):
    build(RELEASE)
    run_pytest(results, RELEASE, ["tests/e2e", "--ignore=tests/e2e/l7"])
    build(SANITIZER)
    run_pytest(results, SANITIZER, ["tests/e2e", "--ignore=tests/e2e/l7", "-m", "smoke"])


def control(results):
    """The control plane of sluiced: a part of unit and e2e, for who works on it."""
    build(RELEASE)
    run_gtest_suite(results, RELEASE, "control")
    run_pytest(results, RELEASE, ["tests/e2e", "--ignore=tests/e2e/l7", "-m", "control"])


def l7(results):
    build(RELEASE)
    run_pytest(results, RELEASE, ["tests/e2e/l7"])
    build(SANITIZER)
    run_pytest(results, SANITIZER, ["tests/e2e/l7", "-m", "smoke"])


def run_fuzz_target(target):
    """Runs one for FUZZ_SECONDS; returns (status, output, inputs that broke it as text)."""
    with tempfile.TemporaryDirectory(prefix="sluice-fuzz-") as corpus:
        env = os.environ | FUZZ.test_env | target["env"]
        command = [*target["cmd"], f"-max_total_time={FUZZ_SECONDS}", f"-artifact_prefix={corpus}/", corpus]
        seeds = ROOT / "tests" / "fuzz" / "corpus" / target["name"]
        if seeds.is_dir():
            command.append(str(seeds))
        status, output = run_program(command, env=env, timeout_s=FUZZ_SECONDS * 4 + 60)
        found = "".join(f"\ninput {path.name} (hex): {path.read_bytes()[:8192].hex()}"
                        for path in Path(corpus).glob("*-*"))
        return status, output, found


def build_fuzz_targets_ahead():
    """End-to-end tests leave the CPUs idle for most of their time: what comes after them is built meanwhile."""
    def build_quietly():
        with contextlib.suppress(BuildError):  # fuzz() builds again, and tells
            build(FUZZ, ["fuzz-targets"], niceness=19)

    thread = threading.Thread(target=build_quietly)
    thread.start()
    return thread


def fuzz(results):
    """Each target for FUZZ_SECONDS, from the seeds in corpus/NAME if there are any; longer runs: CONTRIBUTING.md."""
    build(FUZZ, ["fuzz-targets"])
    targets = registered_tests(FUZZ, "fuzz")
    if not targets:
        results.add_failure("fuzz", "no fuzz target is registered in the suite 'fuzz'")
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        for target, (status, output, found) in zip(targets, pool.map(run_fuzz_target, targets)):
            runs = re.search(r"Done (\d+) runs", output)
            if status == 0 and runs and int(runs[1]) > 0:
                results.passed += 1
                say(f"fuzz {target['name']}: {runs[1]} runs in {FUZZ_SECONDS} s")
            else:
                results.add_failure(f"fuzz {target['name']}", f"it {ending(status)}\n{tail(output)}{found}")


def quick(results):
    """Under three minutes: what to run before a commit."""
    build(RELEASE)
    run_gtest_suite(results, RELEASE, "unit")
    run_gtest_suite(results, RELEASE, "packet")
    run_pytest(results, RELEASE, ["tests/e2e", "-m", "smoke"])


SUITES = {"quick": quick, "unit": unit, "packet": packet, "e2e": e2e, "control": control, "l7": l7, "fuzz": fuzz}


def everything(results):
    """Each of them but for those that are parts of others."""
    for suite in (unit, packet):
        run_suite(suite, results)
    ahead = build_fuzz_targets_ahead()
    try:
        run_suite(e2e, results)
    finally:
        ahead.join()
    for suite in (l7, fuzz):
        run_suite(suite, results)


def run_suite(suite, results):
    """A tree that does not build is a failure of the suite."""
    try:
        suite(results)
    except BuildError as error:
        results.add_failure(f"build for {suite.__name__}", str(error))


def close(results):
    """Prints the closing line; returns the exit status."""
    # The failures once more, in one place: their texts are spread over a long output.
    for line in results.skipped + results.failures:
        print(line)
    skipped = f", {len(results.skipped)} skipped" if results.skipped else ""
    print(f"{results.passed} passed, {results.failed} failed{skipped}", flush=True)
    return 0 if results.failed == 0 and results.passed > 0 else 1


def main():
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds Sluice and runs its tests.")
    parser.add_argument("suite", nargs="?", help="one of: " + ", ".join(SUITES) + " (default: all; quick and control are parts of others)")
    arguments = parser.parse_args()
    results = Results()
    if arguments.suite is not None and arguments.suite not in SUITES:
        results.add_failure(f"scripts/test {arguments.suite}",
                            f"there is no suite '{arguments.suite}'; there are: {', '.join(SUITES)}")
        return close(results)
    suite = everything if arguments.suite is None else SUITES[arguments.suite]
    try:
        run_suite(suite, results)
    except KeyboardInterrupt:
        results.add_failure(suite.__name__, "interrupted")
    if results.passed + results.failed == 0:
        results.add_failure("scripts/test", "no test was run")
    return close(results)


if __name__ == "__main__":
    sys.exit(main())
