"""What every demonstration has around it: a build, namespaces that go away whatever happens, and an exit status."""

import signal
import sys
import textwrap
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from netns import Network  # noqa: E402
from suites import RELEASE, BuildError, build  # noqa: E402


class DemoFailed(Exception):
    """What should have been seen was not; the text says what was."""


def show(text):
    print(textwrap.indent(text.rstrip(), "     "), flush=True)


def run_demo(picture, programs, demonstrate, prepare=lambda: None):
    """Builds `programs`, calls `demonstrate(network)` and returns the exit status. Failures come with what the programs
    said."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        build(RELEASE, programs)
        prepare()
        started = time.monotonic()
        print(picture)
        with Network() as network:
            try:
                demonstrate(network)
            except (AssertionError, DemoFailed) as failure:
                print(f"\ndemo failed: {failure}\n\nWhat the programs said:\n{network.logs()}", file=sys.stderr)
                return 1
        print(f"\nAll is well, in {time.monotonic() - started:.0f} s; nothing of it is left on this machine.")
        return 0
    except BuildError as failure:
        print(f"demo: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted, everything removed", file=sys.stderr)
        return 130
