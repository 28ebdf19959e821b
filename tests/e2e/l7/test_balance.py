"""Requests, not connections, are what is spread."""

import signal

import pytest

from h2_client import H2Client
from proxy_site import FRONT

# One connection each; requests a second.
CLIENT_RATES = (1, 50, 3000)
SECONDS = 6


def requests_of(server):
    """The requests that an nginx has logged."""
    return len(server.access_log.read_text().splitlines())


def within(counts, percent):
    """Whether none is further than that from their mean."""
    mean = sum(counts) / len(counts)
    return all(abs(count - mean) <= mean * percent / 100 for count in counts)


def load_with_all_clients(site, servers):
    """How many requests each server gets."""
    before = [requests_of(server) for server in servers]
    clients = [site.start_h2load("/who", "-n", rate * SECONDS, "-c", 1, "-m", 20, f"--rps={rate}")
               for rate in CLIENT_RATES]
    for client in clients:
        assert client.wait(60) == 0
        assert " 0 failed, 0 errored" in client.output()
    counts = [requests_of(server) - earlier for server, earlier in zip(servers, before)]
    assert sum(counts) == sum(CLIENT_RATES) * SECONDS
    return counts


# Least request sees which server is slow: where others use the machine it is right to give one of them less, and it may
# try again.
@pytest.mark.parametrize("policy, goes", [("least_request", 3), ("round_robin", 1)])
def test_clients_of_1_50_and_3000_requests_a_second_load_the_servers_alike(site, policy, goes):
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], cluster={"policy": policy})
    found = []
    while not found or (len(found) < goes and not within(found[-1], 5)):
        found.append(load_with_all_clients(site, servers))
    assert within(found[-1], 5), found


def test_weights_share_out_the_requests(site):
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;") for number in (1, 2)]
    endpoints = [{"address": "127.0.0.1", "port": server.port, "weight": weight}
                 for server, weight in zip(servers, (1, 3))]
    site.start_proxy([], cluster={"policy": "weighted_round_robin", "endpoints": endpoints})
    assert site.h2load("/who", "-n", 4000, "-c", 1, "-m", 10).good == 4000
    assert [requests_of(server) for server in servers] == [1000, 3000]


def test_least_request_keeps_away_from_a_slow_server(site):
    """The slow one has its first requests for long, and gets few more."""
    fast = site.nginx("fast", http="keepalive_requests 1000000;")
    slow = site.python_peer("h2_server.py", "slow")
    site.start_proxy([fast.port, slow.port], cluster={"policy": "least_request"})
    slow.send_signal(signal.SIGSTOP)
    client = H2Client(site.namespace, FRONT)
    try:
        streams = []
        for _ in range(100):
            streams.append(client.request("/who"))
            # The fast one's answer comes; no event says that a request went to the stopped one.
            client.ends_within(streams[-1], 1)
        waiting = [stream for stream in streams if not client.answers[stream].ended]
        # The one with fewer open requests is picked: after its first it is the stopped one no more.
        assert 1 <= len(waiting) <= 5
    finally:
        slow.send_signal(signal.SIGCONT)
    for stream in streams:
        assert client.finish(stream).status == 200
    client.close()


@pytest.mark.parametrize("harm", ["/sleep/30", "/status/500"])
def test_peak_ewma_learns_from_answers_whom_to_avoid(site, harm):
    """One request at a time, so that only the answers tell who is slow, or who answers fast that it has failed."""
    good = [site.nginx(f"n{number}", server="location ~ ^/(sleep|status)/ { return 200 fast; }") for number in (1, 2)]
    bad = site.python_peer("h2_server.py", "bad")
    site.start_proxy([server.port for server in [*good, bad]], cluster={"policy": "peak_ewma"})
    client = H2Client(site.namespace, FRONT)
    for _ in range(200):
        client.finish(client.request(harm))
    client.close()
    counts = [requests_of(server) for server in good]
    assert sum(counts) >= 190, counts
    assert min(counts) > 20, counts


@pytest.mark.parametrize("policy", ["ring_hash", "maglev", "peak_ewma", "random", "weighted_round_robin"])
def test_every_policy_serves(site, policy):
    servers = [site.nginx(f"n{number}") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], cluster={"policy": policy})
    load = site.h2load("/who", "-n", 600, "-c", 3, "-m", 10)
    assert load.good == 600, load.output
    if policy == "peak_ewma":
        # One that was slow once is kept away from for a while, rightly.
        assert all(requests_of(server) >= 1 for server in servers)
    elif policy not in ("ring_hash", "maglev"):
        assert all(requests_of(server) > 50 for server in servers)
