"""Workers: threads of their own, on the cores that the file says, with a listening socket each."""

from pathlib import Path

import pytest

from proxy_site import FRONT


def cores_of_workers(pid):
    """The cores that each worker may run on, by its name."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        name = (thread / "comm").read_text().strip()
        if name.startswith("l7-worker-"):
            status = (thread / "status").read_text()
            found[name] = status.partition("Cpus_allowed_list:")[2].split()[0]
    return found


def test_workers_stay_on_their_cores(site):
    server = site.nginx("n1")
    all_cores = Path("/proc/self/status").read_text().partition("Cpus_allowed_list:")[2].split()[0]
    if all_cores == "0":
        pytest.skip("a machine with one core")
    site.start_proxy([server.port], more={"proxy": {"name": "p1", "cores": [1, 0]}})
    assert cores_of_workers(site.proxy.pid) == {"l7-worker-0": "1", "l7-worker-1": "0"}
    assert site.namespace.run(["ss", "-Hltn"]).stdout.count(f":{FRONT} ") == 2
    assert site.h2load("/who", "-n", 200, "-c", 20, "-m", 2).good == 200
    site.proxy.stop()
    site.start_proxy([server.port], more={"proxy": {"name": "p1", "workers": 3}})
    assert cores_of_workers(site.proxy.pid) == {f"l7-worker-{number}": all_cores for number in range(3)}


def test_a_core_that_is_not_there_is_an_error(site):
    site.configure([9999], more={"proxy": {"name": "p1", "cores": [0, 999]}})
    proxy = site.namespace.popen([site.build / "control" / "sluice-proxy", "--config", site.config_path])
    assert proxy.wait() == 1
    assert "proxy.cores: found 999; accepted: cores on which this process may run: 0" in proxy.output()
