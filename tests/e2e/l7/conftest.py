"""Fixtures of the proxy's end-to-end tests. What all end-to-end tests share is one folder up."""

import json

import pytest

from build_folder import build_with
from discovery_town import Town
from proxy_site import ProxySite


@pytest.fixture(scope="session")
def build():
    """The build folder with the program under test."""
    return build_with("sluice-proxy")


@pytest.fixture
def site(network, build):
    """A namespace for the proxy and its servers; nothing runs in it yet. A test's end checks that the proxy still runs."""
    made = ProxySite(network, build)
    yield made
    if made.proxy is not None:
        made.proxy.require_running()
        assert made.proxy.stop() == 0, "sluice-proxy did not end well on SIGTERM"


@pytest.fixture
def server(site):
    """A server that answers / with one byte."""
    return site.nginx("n1", server="location = / { return 200 x; }")


@pytest.fixture
def town(site, monkeypatch):
    """A site with many servers, whose clusters have no list of endpoints where they have discovery."""
    made = Town(site)
    configure = site.configure

    def without_endpoints(ports, **fields):
        configure(ports, **fields)
        config = json.loads(site.config_path.read_text())
        for cluster in config["clusters"]:
            if "discovery" in cluster:
                del cluster["endpoints"]
        site.config_path.write_text(json.dumps(config, indent=1))

    monkeypatch.setattr(site, "configure", without_endpoints)
    return made
