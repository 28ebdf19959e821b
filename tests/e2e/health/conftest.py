"""What the tests of health checks run against."""

import socket
import ssl
import subprocess

import pytest

from broken_servers import Server


@pytest.fixture
def serve():
    """serve(talk) starts a Server and returns its port."""
    servers = []

    def start(talk, **options):
        servers.append(Server(talk, **options))
        return servers[-1].port
    yield start
    for server in servers:
        server.close()


@pytest.fixture
def refusing_port():
    """A port that is taken, so that nobody else gets it, and refuses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def silent_port():
    """A port whose SYNs are not answered: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        full = []
        for _ in range(3):
            full.append(socket.socket())
            full[-1].setblocking(False)
            full[-1].connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
        for connection in full:
            connection.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority (ca.pem) and what it has signed: server.pem and server.key for service.test and 127.0.0.1."""
    directory = tmp_path_factory.mktemp("certificates")

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test authority")
    openssl("req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=service.test")
    (directory / "names").write_text("subjectAltName=DNS:service.test,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "server.pem", "-extfile", "names")
    return directory


@pytest.fixture
def tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context
