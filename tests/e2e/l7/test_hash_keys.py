"""What hash policies go by: requests with the same key meet the same server, whoever sends them on whatever connection."""

import re

import pytest

from proxy_site import FRONT

SERVERS = (1, 2, 3, 4)
KEYS = range(12)


@pytest.fixture(params=["ring_hash", "maglev"])
def start(site, request):
    """Four servers, two workers, and one route with these parts of a key."""
    def started(*parts):
        servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;", server=f"location / {{ return 200 n{number}; }}")
                   for number in SERVERS]
        site.start_proxy([server.port for server in servers], cluster={"policy": request.param}, more={"proxy": {"workers": 2}},
                         listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": [
                             {"cluster": "app", "hash": list(parts)}]}]})
        return servers

    return started


def ask(site, key, words=lambda key: (), path=lambda key: "/"):
    """Who answers three requests with that key, each on a connection of its own."""
    names = set()
    for _ in range(3):
        names.add(site.curl(path(key), *words(key)).stdout)
    assert len(names) == 1, f"key {key} met {names}"
    return names.pop()


@pytest.mark.parametrize("part,words,path", [
    ({"header": "x-user"}, lambda key: ["-H", f"x-user: {key}"], lambda key: "/"),
    ({"cookie": "user"}, lambda key: ["-b", f"other=1; user={key}"], lambda key: "/"),
    ({"query": "user"}, lambda key: (), lambda key: f"/?a=b&user={key}&c"),
    ({"path": True}, lambda key: (), lambda key: f"/{key}"),
    ({"source_address": True}, lambda key: ["--interface", f"127.0.0.{key + 2}"], lambda key: "/"),
], ids=["header", "cookie", "query", "path", "address"])
def test_a_key_has_its_server(site, start, part, words, path):
    start(part)
    found = {key: ask(site, key, words, path) for key in KEYS}
    # Of twelve keys at least two servers have one: else one chance in millions.
    assert len(set(found.values())) >= 2, found


def test_what_is_no_part_of_the_key_does_not_count(site, start):
    start({"path": True})
    assert len({site.curl(f"/same?x={number}", "-H", f"x-user: {number}").stdout for number in range(12)}) == 1


def test_the_first_part_that_is_there_may_be_all(site, start):
    """By user; those who are none by address."""
    start({"header": "x-user", "terminal": True}, {"source_address": True})
    for user in KEYS:
        names = {site.curl("/", "-H", f"x-user: {user}", "--interface", f"127.0.0.{last}").stdout for last in (2, 3, 4, 5)}
        assert len(names) == 1, (user, names)
    assert len({ask(site, key, lambda key: ["--interface", f"127.0.0.{key + 2}"]) for key in KEYS}) >= 2


# --- a cookie of the proxy's

def answer_of(site, *words):
    """(who answered, the Set-Cookie fields)"""
    head, body = site.curl("/", "-i", *words).stdout.replace("\r\n", "\n").split("\n\n", 1)
    return body, re.findall(r"^set-cookie: (.*)$", head, re.MULTILINE)


@pytest.mark.parametrize("ttl,expected", [
    ("2h", r"place=([0-9a-f]{16}); Path=/shop; HttpOnly; Max-Age=7200"), ("0s", r"place=([0-9a-f]{16}); Path=/shop; HttpOnly")],
    ids=["two-hours", "session"])
def test_a_client_without_the_cookie_gets_one_that_leads_back(site, start, ttl, expected):
    start({"cookie": "place", "cookie_ttl": ttl, "cookie_path": "/shop"})
    names = set()
    for _ in range(12):
        name, (cookie,) = answer_of(site)
        value = re.fullmatch(expected, cookie)[1]
        names.add(name)
        for _ in range(3):
            assert answer_of(site, "-b", f"place={value}") == (name, []), "led elsewhere, or given another one"
    assert len(names) >= 2, "every new client meets the same server"


def test_a_cookie_whose_server_has_gone_leads_to_another_one_and_back(site, start):
    servers = start({"cookie": "place", "cookie_ttl": "2h"})
    name, (cookie,) = answer_of(site)
    words = ("-b", cookie.split(";")[0])
    endpoint = f"127.0.0.1:{servers[int(name[1:]) - 1].port}"
    site.ctl("endpoint", "drain", "app", endpoint)
    others = {answer_of(site, *words)[0] for _ in range(6)}
    assert len(others) == 1 and name not in others
    site.ctl("endpoint", "undrain", "app", endpoint)
    assert answer_of(site, *words) == (name, [])


def test_an_http1_client_gets_it_too(site, start):
    start({"cookie": "place", "cookie_ttl": "2h"})
    shown = site.namespace.run(["curl", "-sSi", "-m", "30", "--http1.1", f"http://127.0.0.1:{FRONT}/"]).stdout
    assert re.search(r"^set-cookie: place=[0-9a-f]{16}; Path=/; HttpOnly; Max-Age=7200\r?$", shown, re.MULTILINE), shown
