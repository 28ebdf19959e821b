"""HTTP/1.1 and TLS on either side of the proxy."""

import os
import re
import socket
import time

import pytest

from h2_client import H2Client
from netns import run, wait_for
from proxy_site import FRONT, PEERS, PYTHON, sha256_of
from test_chaos import seen

LARGE_BYTES = 16 << 20
# Takes connections, and no byte from them.
DEAF_SERVER = ("import socket, sys, time\nlistening = socket.socket()\nlistening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)\n"
               "listening.bind(('127.0.0.1', int(sys.argv[1])))\nlistening.listen()\ntime.sleep(600)\n")


@pytest.fixture
def certificate(site):
    """(certificate, key) for localhost and 127.0.0.1, signed by itself."""
    certificate, key = site.network.directory / "cert.pem", site.network.directory / "key.pem"
    run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out",
         certificate])
    return certificate, key


@pytest.fixture
def large_file(site):
    path = site.network.directory / "large.bin"
    path.write_bytes(os.urandom(LARGE_BYTES))
    return path


def tls(certificate, **fields):
    """A listener's fields for TLS."""
    return {"tls": {"certificates": [{"certificate": str(certificate[0]), "key": str(certificate[1])}]} | fields}


def page(site, scheme, *words, **options):
    return site.namespace.run(["curl", "-sS", "-m", "30", "-k", *words, f"{scheme}://127.0.0.1:{FRONT}/who"], **options)


@pytest.mark.parametrize("upstream", ["http1", "http2"])
@pytest.mark.parametrize("client,version", [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")])
def test_each_version_on_each_side(site, large_file, client, version, upstream):
    server = site.nginx("n1", version="http2" if upstream == "http2" else "")
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port], cluster={"protocol": upstream})
    done = page(site, "http", client, "-w", "%{http_version} %{http_code}")
    assert done.stdout == f"n1\n{version} 200"
    base, got = f"http://127.0.0.1:{FRONT}", site.network.directory / "got"
    site.namespace.run(["curl", "-sSf", "-m", "30", client, "-o", got, f"{base}/large.bin"])
    assert sha256_of(got) == sha256_of(large_file)
    # With a length, and without: chunked.
    for name, options in (("known", []), ("chunked", ["-H", "Transfer-Encoding: chunked"])):
        if version == "2" and options:
            continue
        site.namespace.run(["curl", "-sSf", "-m", "30", client, *options, "-T", large_file, f"{base}/uploads/{name}"])
        assert sha256_of(server.www / "uploads" / name) == sha256_of(large_file)


def test_one_http1_connection_serves_many_requests(site):
    server = site.nginx("n1", http="keepalive_requests 1000000;")
    site.start_proxy([server.port])
    words = [f"http://127.0.0.1:{FRONT}/who?{number}" for number in range(20)]
    done = site.namespace.run(["curl", "-sSf", "-m", "30", "--http1.1", "-w", "%{num_connects}\n", *words])
    assert done.stdout.split("\n")[:-1] == ["n1", "1"] + ["n1", "0"] * 19


def test_a_client_may_upgrade_from_http1_to_http2(site):
    server = site.nginx("n1")
    site.start_proxy([server.port])
    assert page(site, "http", "--http2", "-w", "%{http_version}").stdout == "n1\n2"


def test_a_websocket_goes_through_to_an_http1_server_and_ends(site):
    server = site.node_peer("websocket_server.js")
    # So that the proxy ends at once when this fails.
    site.start_proxy([server.port], cluster={"protocol": "http1"}, more={"proxy": {"drain_time": "1s"}})
    done = site.namespace.run(["node", PEERS / "node" / "websocket_client.js", FRONT], timeout_s=10)
    assert done.stdout.strip() == "101 all 200000 bytes came back"


@pytest.mark.parametrize("warm", [False, True], ids=["new-connection", "open-connection"])
def test_extended_connect_from_an_http2_client_to_an_http2_server(site, warm):
    server = site.node_peer("extended_connect_server.js")
    site.start_proxy([server.port], more={"proxy": {"drain_time": "1s"}})
    client = H2Client(site.namespace, FRONT)
    if warm:
        client.finish(client.request("/"))
    stream = client.request("/chat", "CONNECT", headers=[(":protocol", "websocket")], end=False)
    client.h2.send_data(stream, b"hello")
    client.flush()
    answer = client.answers[stream]
    wait_for(lambda: client.read_for(0.05) or answer.body == b"hello", 10, "what was sent to come back")
    assert answer.status == 200 and answer.headers["x-protocol"] == "websocket"
    client.h2.send_data(stream, b" and bye", end_stream=True)
    client.flush()
    assert client.finish(stream).body == b"hello and bye"


def test_extended_connect_to_a_server_that_does_not_take_it_is_refused(site):
    server = site.node_peer("extended_connect_server.js", "no")
    # A place that a refused one does not give back would be missed at once.
    site.start_proxy([server.port], cluster={"max_requests": 1})
    client = H2Client(site.namespace, FRONT)
    for _ in range(2):
        stream = client.request("/chat", "CONNECT", headers=[(":protocol", "websocket")], end=False)
        answer = client.finish(stream)
        assert (answer.status, answer.body) == (501, b"the endpoint takes no extended CONNECT\n")
    assert client.finish(client.request("/")).status == 200


def test_http1_load_is_spread(site):
    servers = [site.nginx(f"n{number}", version="", http="keepalive_requests 1000000;") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], cluster={"protocol": "http1", "policy": "round_robin"})
    load = site.h2load("/who", "-n", 3000, "-c", 10, "-m", 1, "--h1")
    assert load.good == 3000, load.output
    # nginx writes its line when the answer has gone.
    wait_for(lambda: [len(server.access_log.read_text().splitlines()) for server in servers] == [1000] * 3, 10,
             "a thousand requests at each")


@pytest.mark.parametrize("version,words", [("2", []), ("1.1", ["--http1.1"]), ("2", ["--tls-max", "1.2"])],
                         ids=["h2", "http1", "h2-over-tls-1.2"])
def test_tls_towards_clients_with_alpn(site, certificate, version, words):
    server = site.nginx("n1")
    site.start_proxy([server.port], listener=tls(certificate))
    done = page(site, "https", *words, "-w", "%{http_version}")
    assert done.stdout == f"n1\n{version}"


def test_h2load_over_tls_sees_no_failure(site, certificate):
    servers = [site.nginx(f"n{number}", http="keepalive_requests 1000000;") for number in (1, 2, 3)]
    site.start_proxy([server.port for server in servers], listener=tls(certificate))
    done = site.namespace.run(["h2load", "-n", 4000, "-c", 20, "-m", 10, f"https://127.0.0.1:{FRONT}/who"])
    assert "4000 succeeded, 0 failed, 0 errored" in done.stdout


def test_a_tls_session_is_resumed(site, certificate):
    server = site.nginx("n1")
    site.start_proxy([server.port], listener=tls(certificate), more={"proxy": {"workers": 2}})
    session = site.network.directory / "session"
    connect = ["openssl", "s_client", "-connect", f"127.0.0.1:{FRONT}", "-alpn", "h2", "-tls1_2"]
    assert "New, " in site.namespace.run([*connect, "-sess_out", session], input_text="", check=False).stdout
    for _ in range(4):
        assert "Reused, " in site.namespace.run([*connect, "-sess_in", session], input_text="", check=False).stdout


def test_tls_towards_servers_is_verified(site, certificate):
    options = f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};"
    server = site.nginx("n1", version="ssl http2", http=options)
    site.start_proxy([server.port], cluster={"tls": {"ca": str(certificate[0]), "server_name": "localhost"}})
    assert site.curl("/who").stdout == "n1\n"
    assert site.proxy.stop() == 0
    # By an authority that did not sign it: refused, and nothing is sent to it.
    before = server.access_log.read_text()
    site.start_proxy([server.port], cluster={"tls": {"server_name": "localhost"}})
    assert site.curl("/who", "-o", "/dev/null", "-w", "%{http_code}").stdout in ("502", "503")
    assert server.access_log.read_text() == before


def test_clients_that_must_show_a_certificate(site, certificate):
    server = site.nginx("n1")
    site.start_proxy([server.port], listener=tls(certificate, client_certificates="required",
                                                 client_ca=str(certificate[0])))
    assert page(site, "https", check=False).returncode != 0
    assert page(site, "https", "--cert", certificate[0], "--key", certificate[1]).stdout == "n1\n"


def test_an_error_of_the_proxy_is_plain_for_http_and_a_status_for_grpc(site):
    """No endpoint listens."""
    site.start_proxy([9999])
    assert site.curl("/x", "-o", "/dev/null", "-w", "%{http_code}").stdout in ("502", "503")
    head = site.curl("/test.Echo/Unary", "-H", "content-type: application/grpc", "-d", "", "-i").stdout
    assert head.startswith("HTTP/2 200") and re.search(r"^grpc-status: 14\r?$", head, re.MULTILINE), head
    # gRPC-Web is another protocol, whose status does not stand there.
    head = site.curl("/test.Echo/Unary", "-H", "content-type: application/grpc-web+proto", "-d", "", "-i").stdout
    assert head.startswith("HTTP/2 503") and "grpc-status" not in head, head


# --- a version on either side that is not the other's

def test_a_websocket_of_an_http1_client_goes_to_an_http2_server(site):
    server = site.node_peer("extended_connect_server.js")
    site.start_proxy([server.port], more={"proxy": {"drain_time": "1s"}})
    done = site.namespace.run(["node", PEERS / "node" / "websocket_client.js", FRONT], timeout_s=10)
    assert done.stdout.strip() == "101 all 200000 bytes came back"


def test_extended_connect_of_an_http2_client_goes_to_a_websocket_server(site):
    server = site.node_peer("websocket_server.js")
    site.start_proxy([server.port], cluster={"protocol": "http1"}, more={"proxy": {"drain_time": "1s"}})
    client = H2Client(site.namespace, FRONT)
    stream = client.request("/chat", "CONNECT", headers=[(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
    answer = client.answers[stream]
    while answer.status is None:
        client.read()
    assert answer.status == 200
    client.h2.send_data(stream, b"hello")
    client.flush()
    wait_for(lambda: client.read_for(0.05) or answer.body == b"hello", 10, "what was sent to come back")
    client.h2.send_data(stream, b" and bye", end_stream=True)
    client.flush()
    assert client.finish(stream).body == b"hello and bye"
    client.close()


@pytest.fixture(params=["http1", "http2"])
def uploads(site, request):
    """(server, path): an endpoint that says 100 to who asks for it. nginx does so in HTTP/1.1 alone."""
    if request.param == "http1":
        found = site.nginx("n1", version=""), "/uploads/a"
    else:
        found = site.python_peer("h2_server.py", "h1"), "/upload"
    site.start_proxy([found[0].port], cluster={"protocol": request.param})
    return found


def test_an_http1_upload_waits_for_the_endpoints_100(site, uploads):
    """curl would wait for it for longer than the upload may take in all."""
    server, path = uploads
    body = site.network.directory / "body"
    body.write_bytes(os.urandom(300_000))
    site.namespace.run(["curl", "-sSf", "-m", "20", "--http1.1", "-H", "Expect: 100-continue", "--expect100-timeout", "60", "-T",
                        body,
                        f"http://127.0.0.1:{FRONT}{path}"])
    if path == "/upload":
        assert seen(site, server, path, "/received") == 300_000
    else:
        assert sha256_of(server.www / "uploads" / "a") == sha256_of(body)


def test_an_http2_upload_waits_for_the_endpoints_100(site, uploads):
    """Unlike curl, which does not wait in HTTP/2."""
    client = H2Client(site.namespace, FRONT)
    stream = client.request(uploads[1], "PUT", headers=[("expect", "100-continue"), ("content-length", "9")], end=False)
    while not client.answers[stream].informational:
        client.read()
    assert client.answers[stream].status is None
    client.h2.send_data(stream, b"some text", end_stream=True)
    client.flush()
    assert client.finish(stream).status in (200, 201)
    client.close()


# --- flow control

@pytest.mark.parametrize("upstream", ["http1", "http2"])
def test_an_http1_reader_that_stops_slows_its_server_and_nobody_else(site, large_file, upstream):
    """What it does not take stays with the server, but for a window."""
    server = site.nginx("n1", version="http2" if upstream == "http2" else "")
    (server.www / "large.bin").symlink_to(large_file)
    site.start_proxy([server.port], cluster={"protocol": upstream})
    page(site, "http")
    before = site.proxy_memory_kib()
    readers = []
    for _ in range(5):
        reader = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(20)
        reader.connect(("127.0.0.1", FRONT))
        reader.sendall(b"GET /large.bin HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        assert reader.recv(1, socket.MSG_PEEK)
        readers.append(reader)
    for _ in range(20):
        assert page(site, "http", "--http1.1").stdout == "n1\n"
    # All of them would be 80 MB.
    assert site.proxy_memory_kib() - before < 8192, "the proxy took in what its clients do not take"
    received = bytearray()
    while data := readers[0].recv(1 << 20):
        received += data
    assert bytes(received).partition(b"\r\n\r\n")[2] == large_file.read_bytes()
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("upstream", ["http1", "http2"])
def test_an_http1_upload_waits_for_a_server_that_does_not_read(site, upstream):
    """The proxy stops reading from that client, and from no other."""
    server = site.start([PYTHON, "-c", DEAF_SERVER, "PORT"])
    other = site.nginx("n1")
    routes = [{"prefix": "/deaf", "cluster": "deaf"}, {"cluster": "app"}]
    site.start_proxy([], listener={"cluster": None, "hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}, more={
        "proxy": {"drain_time": "1s"}, "clusters": [
            {"name": "deaf", "protocol": upstream, "endpoints": [{"address": "127.0.0.1", "port": server.port}]},
            {"name": "app", "endpoints": [{"address": "127.0.0.1", "port": other.port}]}]})
    page(site, "http")
    before = site.proxy_memory_kib()
    sender = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    sender.connect(("127.0.0.1", FRONT))
    sender.sendall(b"PUT /deaf HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n")
    sender.setblocking(False)
    sent = [0]

    def stuck():
        """Nothing goes any more, for a while."""
        then = sent[0]
        for _ in range(20):
            try:
                while True:
                    sent[0] += sender.send(bytes(1 << 16))
            except BlockingIOError:
                time.sleep(0.02)
        return sent[0] == then

    wait_for(stuck, 20, "the sender to be stopped")
    # The kernel's buffers of two connections are in it.
    assert 0 < sent[0] < 64 << 20
    assert site.proxy_memory_kib() - before < 8192
    assert page(site, "http", "--http1.1").stdout == "n1\n"
    sender.close()
