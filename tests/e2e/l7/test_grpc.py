"""gRPC through the proxy: two makers' clients and servers, every kind of call."""

import pytest

from netns import wait_for

PEERS = [("python", "python"), ("node", "python"), ("python", "node"), ("node", "node")]
peers = pytest.mark.parametrize("client,server", PEERS, ids=[f"{one}-to-{other}" for one, other in PEERS])


@pytest.fixture
def behind(site):
    """Starts one server of a kind behind the proxy; returns it."""
    def start(kind):
        server = site.grpc_server(kind, "s1")
        site.start_proxy([server.port])
        return server

    return start


@peers
def test_every_kind_of_call(site, behind, client, server):
    behind(server)
    assert site.client(client, "unary") == {"reply": "hello", "served_by": "s1", "text": "plain", "code": "OK"}
    assert site.client(client, "binary_metadata") == {"same": True}
    assert site.client(client, "server_stream", 100, 10_000) == {"count": 100, "same": True}
    assert site.client(client, "client_stream", 100, 10_000) == {"same": True}
    assert site.client(client, "bidi", 50) == {"same": True}


@peers
def test_a_message_of_8_mb_goes_both_ways(site, behind, client, server):
    behind(server)
    assert site.client(client, "large", 8 << 20) == {"same": True}


@peers
def test_a_deadline_ends_the_call_at_both_ends(site, behind, client, server):
    process = behind(server)
    found = site.client(client, "deadline")
    assert found["code"] == "DEADLINE_EXCEEDED"
    assert found["seconds"] > 0.4
    wait_for(lambda: "given up: Sleep" in process.output(), 10, "the server to learn that nobody waits")


@peers
def test_a_cancelled_stream_ends_at_the_server_and_the_connection_goes_on(site, behind, client, server):
    process = behind(server)
    assert site.client(client, "cancel") == {"got": 3, "code": "CANCELLED", "after": "on"}
    wait_for(lambda: "given up: Endless" in process.output(), 10, "the server to learn of the cancellation")


@peers
def test_an_error_arrives_with_its_code_words_and_trailers(site, behind, client, server):
    behind(server)
    for code, name in ((5, "NOT_FOUND"), (14, "UNAVAILABLE"), (13, "INTERNAL")):
        assert site.client(client, "fail", code, "not there: 100 % größer") == {
            "code": name, "details": "not there: 100 % größer", "trailing": {"why": "asked for"}}


def test_an_unknown_method_is_unimplemented(site, behind):
    behind("python")
    assert site.client("python", "unknown")["code"] == "UNIMPLEMENTED"


def test_the_server_sees_the_callers_deadline(site, behind):
    behind("python")
    # gRPC's own library rounds what it sends up, by a hundredth at most.
    assert 20_000 < site.client("python", "remaining", 25_000)["ms"] <= 25_250


@pytest.mark.parametrize("client", ["python", "node"])
def test_many_streams_at_once_on_one_connection(site, behind, client):
    behind("python")
    assert site.client(client, "at_once", 200) == {"whole": 200}


@pytest.mark.smoke
def test_calls_of_one_connection_reach_all_servers(site):
    servers = [site.grpc_server("python", f"s{number}") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], cluster={"policy": "round_robin"})
    assert site.client("python", "spread", 300) == {"s1": 100, "s2": 100, "s3": 100}
