"""Clusters whose endpoints stand in a file that changes while the proxy runs."""

import json
import os

import pytest

from discovery_town import MORE, a_records, background_load, endpoints_text, file_at, finish
from name_server import NameServer, dns
from netns import wait_for
from proxy_site import FRONT


def replace(path, text):
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


@pytest.fixture
def path(site):
    directory = site.network.directory / "endpoints"
    directory.mkdir()
    return directory / "app.yaml"


def test_a_file_that_is_replaced_under_load(site, town, path):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    town.expect({"127.0.0.11"})
    client = background_load(site, 2)
    replace(path, endpoints_text(12, 13))
    town.wait_for_event("endpoints_changed", "endpoints=2", 'removed="127.0.0.11:9000"')
    town.expect({"127.0.0.12", "127.0.0.13"})
    replace(path, "# YAML, too\nendpoints:\n  - {address: 127.0.0.14, port: 9000, weight: 3}\n"
                  "  - {address: 127.0.0.15, port: 9000}\n")
    town.wait_for_event("endpoints_changed", "endpoints=2", 'added="127.0.0.14:9000 127.0.0.15:9000"')
    finish(client)
    town.reload(file_at(path), policy="weighted_round_robin")
    wait_for(lambda: town.answered(times=120) == {"127.0.0.14": 90, "127.0.0.15": 30}, 10)


@pytest.mark.parametrize("bad, error", [
    ('{"endpoints": [{"address": "127.0.0.12", "port": 9', "app.yaml:1:"),
    ("endpoints:\n  - {address: 127.0.0.12, port: 9000}\n  - {address: 127.0.0.13, prt: 9000}\n",
     "app.yaml:3:27: endpoints[1]: found unknown field 'prt', did you mean 'port'?"),
    ("", "the file holds nothing"),
    ("\x00\x01\xff garbage \xfe", "app.yaml:1:"),
    (None, "No such file"),
], ids=["half-written", "mistake", "empty", "garbage", "removed"])
def test_a_bad_file_keeps_what_was_good(site, town, path, bad, error):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    if bad is None:
        path.unlink()
    else:
        path.write_bytes(bad.encode("latin-1"))
    town.wait_for_event("discovery_failed", "cluster=app", "endpoints_kept=1", error)
    town.expect({"127.0.0.11"})
    wait_for(lambda: town.metric("sluice_proxy_discovery_age_seconds")['cluster="app"'] > 0, 5)
    replace(path, endpoints_text(12))
    town.wait_for_event("discovery_recovered", "cluster=app")
    town.expect({"127.0.0.12"})
    assert town.metric("sluice_proxy_discovery_answers_total")['cluster="app",result="failed"'] >= 1


def test_a_file_that_is_written_in_place(site, town, path):
    """Taken when its writer closes it, not before."""
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    text = endpoints_text(12, 13)
    with open(path, "w", encoding="ascii") as file:
        file.write(text[:30])
        file.flush()
        os.fsync(file.fileno())
        town.expect({"127.0.0.11"})
        file.write(text[30:])
    town.wait_for_event("endpoints_changed", "endpoints=2")
    assert not town.events("discovery_failed")


def test_an_empty_list_is_meant(site, town, path):
    path.write_text(endpoints_text(11))
    town.start(file_at(path))
    replace(path, endpoints_text())
    town.wait_for_event("endpoints_changed", "endpoints=0")
    assert site.curl("/", "-o", "/dev/null", "-w", "%{http_code}").stdout == "503"


def test_links_are_swapped_as_kubernetes_does_it(site, town, path):
    """The file is a link through ..data, which is a link to a directory that is replaced."""
    def publish(name, text):
        (path.parent / name).mkdir()
        (path.parent / name / path.name).write_text(text)
        (path.parent / "..data_tmp").symlink_to(name)
        (path.parent / "..data_tmp").rename(path.parent / "..data")

    publish("..2026_1", endpoints_text(11))
    path.symlink_to(f"..data/{path.name}")
    town.start(file_at(path))
    for turn, number in enumerate((12, 13, 14), start=2):
        publish(f"..2026_{turn}", endpoints_text(number))
        town.wait_for_event("endpoints_changed", f'added="127.0.0.{number}:9000"')
    town.expect({"127.0.0.14"})


def test_a_folder_that_is_not_there_at_the_start(site, town, path):
    folder = path.parent / "later"
    town.start(file_at(folder / "deep" / "app.yaml"))
    town.wait_for_event("discovery_failed", "No such file", "endpoints_kept=0")
    (folder / "deep").mkdir(parents=True)
    replace(folder / "deep" / "app.yaml", endpoints_text(11))
    town.wait_for_event("endpoints_changed", 'added="127.0.0.11:9000"')
    town.expect({"127.0.0.11"})


def test_a_file_and_names_side_by_side(site, town, path):
    """Two clusters, each with its own source, one bad."""
    path.write_text("nonsense")
    NameServer(site, a_records(11))
    site.configure([], cluster=town.cluster(dns("app:9000")), more=MORE)
    config = json.loads(site.config_path.read_text())
    config["clusters"].append({"name": "other"} | file_at(path))
    site.config_path.write_text(json.dumps(config))
    site.proxy = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    site.wait_for_port(FRONT, site.proxy)
    town.wait_for_event("discovery_failed", "cluster=other")
    town.expect({"127.0.0.11"})
    assert town.metric("sluice_proxy_discovery_endpoints") == {'cluster="app"': 1, 'cluster="other"': 0}
