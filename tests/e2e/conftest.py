"""Fixtures of the end-to-end tests. The programs under test come from $SLUICE_BUILD (default: build/)."""

import os

import pytest

import netns
from build_folder import build_with, sanitizers
from topology import Site


def pytest_configure(config):
    config.addinivalue_line("markers", "control: what sluiced's control thread does; scripts/test control runs these")
    config.addinivalue_line("markers", "smoke: the few that scripts/test quick and the sanitizer build run")
    config.addinivalue_line("markers", "measures(what): bounds what sanitizers add to, memory or speed; not run with them")


def pytest_collection_modifyitems(items):
    skip_without_root(items)
    skip_measurements_with_sanitizers(items)


def skip_without_root(items):
    """Without root nothing here can run: an error on a CI machine, a named skip on a laptop."""
    if os.geteuid() == 0:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError("the end-to-end tests need root (network namespaces, BPF, AF_XDP)")
    for item in items:
        item.add_marker(pytest.mark.skip(reason="needs root: sudo scripts/test e2e"))


def skip_measurements_with_sanitizers(items):
    """What such a build takes of memory and time says nothing of the product."""
    if not (found := sanitizers()):
        return
    for item in items:
        if mark := item.get_closest_marker("measures"):
            item.add_marker(pytest.mark.skip(reason=f"measures {mark.args[0]}: not with sanitizers ({found})"))


@pytest.fixture(scope="session")
def build():
    """The build folder with the programs under test."""
    return build_with("sluiced")


@pytest.fixture
def network():
    """Namespaces that go away with the test."""
    with netns.Network() as made:
        yield made


@pytest.fixture(scope="module")
def running_site(build):
    """One node and three backends with web servers, started once for a file's tests."""
    with netns.Network() as network:
        try:
            site = Site(network, build, nodes=1, backends=3, only_web=True)
            site.start()
        except AssertionError as error:
            pytest.fail(f"{error}\n{network.logs()}")
        yield site
        assert site.nodes[0].stop() == 0, site.nodes[0].process.output()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the programs in its namespaces said."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for name in ("network", "site"):
        network = item.funcargs.get(name) if hasattr(item, "funcargs") else None
        network = getattr(network, "network", network)
        if isinstance(network, netns.Network):
            report.sections.append(("programs", network.logs()))
            return
