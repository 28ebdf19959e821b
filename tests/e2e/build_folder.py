"""The build folder with the programs under test: $SLUICE_BUILD (default: build/)."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("SLUICE_BUILD", "build")).resolve()


def build_with(program):
    """The folder; fails the test unless control/`program` is there."""
    if not (BUILD / "control" / program).exists():
        pytest.fail(f"{BUILD}/control/{program} is not there: build first (meson setup {BUILD} && ninja -C {BUILD})")
    return BUILD


def sanitizers():
    """The sanitizers that its programs have, as in "address,undefined"; "" if none, or if there is no such folder."""
    options = BUILD / "meson-info" / "intro-buildoptions.json"
    if not options.exists():
        return ""
    found = {option["name"]: option["value"] for option in json.loads(options.read_text(encoding="utf-8"))}["b_sanitize"]
    return "" if found == "none" else found
