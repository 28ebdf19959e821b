"""Services that are added, changed and removed by sluicectl while a node runs and carries traffic."""

import json

import pytest

from netns import wait_for
from topology import VIP4, url

pytestmark = pytest.mark.control

PORT = 8080  # the servers listen on it, and no VIP of the file has it


@pytest.fixture
def site(running_site):
    yield running_site
    running_site.restore()
    exported = running_site.network.directory / "file-services.yaml"
    exported.write_text(services_of_file(running_site))
    running_site.nodes[0].ctl("config", "apply", exported)


def services_of_file(site):
    text = site.config(site.nodes[0], site.pool)
    return text[text.index("vips:"):]


def ctl(site, *words, **options):
    return site.nodes[0].ctl(*words, **options)


def add_service(site, backends):
    ctl(site, "pool", "add", "new")
    for backend in backends:
        ctl(site, "backend", "add", "new", backend.name, f"address={backend.address4}")
    ctl(site, "vip", "add", "new", f"address={VIP4}", "protocol=tcp", f"port={PORT}", "pool=new")
    wait_for(site.nodes[0]._is_ready, 10, "the way to the new backends")


def generation(site):
    return json.loads(ctl(site, "vip", "list", "--json").stdout)["generation"]


@pytest.mark.smoke
def test_a_service_added_to_a_running_node_is_served_changed_and_removed(site):
    first, second, third = site.backends
    assert ctl(site, "pool", "add", "new").stdout.startswith("pool new: added with 0 backends (generation ")
    ctl(site, "pool", "remove", "new")
    add_service(site, [first, second])
    assert set(site.spread(VIP4, 200, PORT)) == {first.name, second.name}

    ctl(site, "backend", "set", "new", first.name, "weight=0")
    assert site.spread(VIP4, 100, PORT) == {second.name: 100}
    ctl(site, "backend", "add", "new", third.name, f"address={third.address4}", "weight=300")
    answered = site.spread(VIP4, 2000, PORT)
    assert answered[third.name] / answered[second.name] == pytest.approx(3, rel=0.25), answered

    ctl(site, "vip", "remove", "new")
    ctl(site, "pool", "remove", "new")
    gone = site.curl("-m", "1", url(VIP4, "/who", PORT), check=False)
    assert gone.returncode != 0
    assert site.curl(url(VIP4, "/who")).stdout.strip() in {backend.name for backend in site.backends}


def test_a_drained_backend_keeps_its_connections_and_gets_no_new_ones(site):
    first = site.backends[0]
    add_service(site, site.backends)
    holder = site.hold(VIP4, 30, PORT)
    said = ctl(site, "backend", "drain", "new", first.name).stdout
    assert said.startswith(f"pool new: backend {first.name}: state active -> drain (generation ")
    assert first.name not in site.spread(VIP4, 300, PORT)
    held = holder.finish()
    assert [one["error"] for one in held if one["error"]] == []
    assert any(one["backend"] == first.name for one in held), held
    ctl(site, "backend", "undrain", "new", first.name)
    assert first.name in site.spread(VIP4, 300, PORT)


def test_a_bad_edit_is_refused_and_traffic_unharmed(site):
    holder = site.hold(VIP4, 20, 80)
    before = generation(site)
    refused = ctl(site, "backend", "set", "web4", site.backends[0].name, "weight=70000", check=False)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"pools[web4].backends[{site.backends[0].name}].weight: found '70000'" in refused.stderr
    stale = ctl(site, "pool", "add", "x", "--generation", str(before + 1), check=False)
    assert stale.returncode == 5
    used = ctl(site, "pool", "remove", "web4", check=False)
    assert "is used by vip web4" in used.stderr
    assert generation(site) == before
    assert [one["error"] for one in holder.finish() if one["error"]] == []


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL"])
def test_changes_survive_a_restart_until_the_file_is_edited(site, how):
    node, last = site.nodes[0], site.backends[2]
    add_service(site, site.backends[:2])
    if how == "SIGTERM":
        assert node.stop() == 0
    else:
        node.kill()
    node.start()
    assert set(site.spread(VIP4, 200, PORT)) == {backend.name for backend in site.backends[:2]}
    # An operator edits the file: from now on it counts.
    node.configure(site.backends[:2])
    node.reload()
    assert site.curl("-m", "1", url(VIP4, "/who", PORT), check=False).returncode != 0
    assert last.name not in site.spread(VIP4, 200)


def test_config_export_diff_and_apply_go_together(site, tmp_path):
    exported = tmp_path / "services.yaml"
    ctl(site, "config", "export", exported)
    assert ctl(site, "config", "diff", exported).stdout == ""
    name = site.backends[0].name
    exported.write_text(exported.read_text().replace(f"name: {name}, ", f"name: {name}, state: drain, ", 1))
    different = ctl(site, "config", "diff", exported, check=False)
    assert different.returncode == 4
    assert different.stdout == f"pool web4: backend {name}: state active -> drain\n"
    ctl(site, "config", "apply", exported)
    assert name not in site.spread(VIP4, 200)
    assert f"backend {name}: state active -> drain" in ctl(site, "events").stdout
