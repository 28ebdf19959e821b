"""health_watch, the program that runs health checks and tells what they find, on targets of a test's choice."""

import json
import os
import time
from pathlib import Path

import netns
from netns import wait_for

ROOT = Path(__file__).resolve().parents[3]
NO_ANSWER = r"no answer within 500 ms"


def watch_command(*targets):
    program = ROOT / os.environ.get("SLUICE_BUILD", "build") / "tests" / "e2e" / "health_watch"
    assert program.exists(), f"{program} is not there: build first"
    return [program, *(json.dumps({"address": "127.0.0.1", **target}) for target in targets)]


class Watch:
    """health_watch on some targets."""

    def __init__(self, directory, *targets, namespace=None, env=None):
        self.log = directory / f"watch-{time.monotonic_ns()}.log"
        command = watch_command(*targets)
        self.process = netns.Process(namespace.enter(command) if namespace else command, self.log, env=env)

    def lines(self):
        self.process.require_running()
        return [json.loads(line) for line in self.process.output().splitlines(keepends=True)
                if line.startswith("[{") and line.endswith("\n")]

    def wait(self, **expected):
        """Until the first target has these values; returns all of its values."""
        def as_expected():
            latest = self.lines()[-1][0] if self.lines() else {}
            return latest if expected.items() <= latest.items() else None
        return wait_for(as_expected, what=f"{expected}")

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        status = self.process.stop()
        # What a sanitizer finds at the end is a failure too.
        assert failure or status == 0, f"health_watch ended with status {status}:\n{self.process.output()}"


def check(directory, namespace=None, env=None, **target):
    """What the first check finds."""
    with Watch(directory, target, namespace=namespace, env=env) as watch:
        return watch.wait(settled=True)
