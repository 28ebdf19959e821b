"""Fixtures of the proxy's end-to-end tests. What all end-to-end tests share is one folder up."""

import os
from pathlib import Path

import pytest

from proxy_site import ProxySite

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def build():
    """The build folder with the program under test."""
    path = (ROOT / os.environ.get("SLUICE_BUILD", "build")).resolve()
    if not (path / "control" / "sluice-proxy").exists():
        pytest.fail(f"{path}/control/sluice-proxy is not there: build first (meson setup {path} && ninja -C {path})")
    return path


@pytest.fixture
def site(network, build):
    """A namespace for the proxy and its servers; nothing runs in it yet. A test's end checks that the proxy still runs."""
    made = ProxySite(network, build)
    yield made
    if made.proxy is not None:
        made.proxy.require_running()
        assert made.proxy.stop() == 0, "sluice-proxy did not end well on SIGTERM"
