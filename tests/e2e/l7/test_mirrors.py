"""Requests that are copied to another cluster: the copies arrive whole, and nothing of theirs reaches the client."""

import json
import os
import re
import signal
import time

import pytest

from h2_client import H2Client
from netns import wait_for
from proxy_site import FRONT

METRICS = 9109


def start(site, app_port, mirrors, **route):
    """One route to `app_port`, copied to each of `mirrors`: {cluster: (port, percent)}."""
    ports = {"app": app_port} | {name: port for name, (port, _) in mirrors.items()}
    clusters = [{"name": name, "endpoints": [{"address": "127.0.0.1", "port": port}]} for name, port in ports.items()]
    fields = {"cluster": "app",
              "mirrors": [{"cluster": name, "percent": percent} for name, (_, percent) in mirrors.items()]}
    site.start_proxy([app_port], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"],
                                                                       "routes": [fields | route]}]},
                     more={"clusters": clusters, "metrics": {"listen": f"127.0.0.1:{METRICS}"}})


def ask_server(site, port, path):
    """Not by way of the proxy."""
    client = H2Client(site.namespace, port)
    answer = json.loads(client.finish(client.request(path)).body)
    client.close()
    return answer


def copies(site):
    """How copies ended, by outcome, from the metrics."""
    text = site.namespace.run(["curl", "-s", f"http://127.0.0.1:{METRICS}/metrics"]).stdout
    found = re.findall(r'mirrored_requests_total{outcome="(\w+)"} (\d+)', text)
    return {name: int(count) for name, count in found if count != "0"}


def test_copies_arrive_whole_and_their_answers_go_nowhere(site):
    app = site.python_peer("h2_server.py", "app")
    shadow = site.python_peer("h2_server.py", "shadow")
    start(site, app.port, {"shadow": (shadow.port, 100)})
    client = H2Client(site.namespace, FRONT)
    for _ in range(20):
        assert client.finish(client.request("/upload", "POST", body=b"x" * 16_000)).body == b"app"
    stream = client.request("/upload", "POST", end=False)
    client.h2.send_data(stream, b"y" * 1000)
    client.h2.send_headers(stream, [("x-checksum", "1")], end_stream=True)
    client.flush()
    assert client.finish(stream).body == b"app"
    wait_for(lambda: copies(site) == {"answered": 21}, 10, "the copies to end")
    assert ask_server(site, shadow.port, "/received") == {"/upload": [321_000, 1]}
    assert ask_server(site, app.port, "/received") == ask_server(site, shadow.port, "/received")


def test_a_part_of_the_requests_is_copied(site):
    app, some, none = (site.python_peer("h2_server.py", name) for name in ("app", "some", "none"))
    start(site, app.port, {"some": (some.port, 25), "none": (none.port, 0)})
    site.h2load("/who", "-n400", "-c2", "-m10")
    wait_for(lambda: 50 <= ask_server(site, some.port, "/count").get("/who", 0) <= 150, 10, "a quarter of 400 copies")
    assert "/who" not in ask_server(site, none.port, "/count")


@pytest.mark.parametrize("path", ["/reset", "/hang", "/half", "/status/500", "/goaway"])
def test_what_happens_to_a_copy_is_not_the_clients_business(site, path):
    app = site.nginx("app", server=f"location = {path} {{ return 200 fine; }}")
    shadow = site.python_peer("h2_server.py", "shadow")
    start(site, app.port, {"shadow": (shadow.port, 100), "dead": (1, 100)}, request_timeout="1s")
    for _ in range(5):
        assert site.curl(path).stdout == "fine"
    wait_for(lambda: sum(copies(site).values()) == 10, 10, "all copies to end")


def test_a_mirror_that_takes_nothing_does_not_hold_up_an_upload(site):
    app = site.python_peer("h2_server.py", "app")
    shadow = site.python_peer("h2_server.py", "shadow")
    start(site, app.port, {"shadow": (shadow.port, 100)})
    os.kill(shadow.pid, signal.SIGSTOP)
    body = site.network.directory / "body"
    body.write_bytes(b"z" * 8_000_000)
    started = time.monotonic()
    assert site.curl("/upload", "--data-binary", f"@{body}").stdout == "app"
    assert time.monotonic() - started < 10
    wait_for(lambda: copies(site) == {"too_large": 1}, 10, "the copy to be given up")
    os.kill(shadow.pid, signal.SIGCONT)


def test_an_upload_that_breaks_off_takes_its_copy_along(site):
    app, shadow = (site.python_peer("h2_server.py", name) for name in ("app", "shadow"))
    start(site, app.port, {"shadow": (shadow.port, 100)})
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/hang", "POST", end=False)
    client.h2.send_data(stream, b"begun")
    client.flush()
    wait_for(lambda: ask_server(site, shadow.port, "/received") == {"/hang": [5, 0]}, 10, "the copy's beginning")
    client.reset(stream)
    wait_for(lambda: "reset /hang" in shadow.output(), 10, "the copy to be reset")
    assert copies(site) == {"client_gone": 1}
