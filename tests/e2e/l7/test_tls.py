"""TLS as operators use it: gRPC over it on both sides, a certificate for each name, a staple, and a reload under load."""

import json
import os
import signal
import socket
import ssl
import threading

import pytest

from netns import run, wait_for
from proxy_site import FRONT, PEERS, PYTHON, Load

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Authority:
    """Signs certificates, and says by OCSP that they are good."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.certificate, self.key = folder / "ca.pem", folder / "ca.key"
        run(["openssl", "req", "-x509", *NEW_KEY, "-days", "2", "-subj", "/CN=authority", "-keyout", self.key, "-out",
             self.certificate])

    def issue(self, file, subject, *names):
        """(certificate, key) for these names, in the place of those of that file before."""
        certificate, key, request = (self.folder / f"{file}.{kind}" for kind in ("pem", "key", "csr"))
        run(["openssl", "req", "-new", *NEW_KEY, "-subj", f"/CN={subject}", "-keyout", key, "-out", request])
        extensions = self.folder / f"{file}.ext"
        extensions.write_text("subjectAltName=" + ",".join(names or ["DNS:localhost", "IP:127.0.0.1"]))
        run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days",
             "2", "-extfile", extensions, "-out", certificate])
        return {"certificate": str(certificate), "key": str(key)}

    def staple(self, certificate):
        """A DER file: the certificate is good."""
        serial = run(["openssl", "x509", "-in", certificate, "-noout", "-serial"]).stdout.strip().partition("=")[2]
        index, asked, answer = (self.folder / name for name in ("index.txt", "ocsp.req", "ocsp.der"))
        index.write_text(f"V\t350101000000Z\t\t{serial}\tunknown\t/CN=any\n")
        run(["openssl", "ocsp", "-issuer", self.certificate, "-cert", certificate, "-no_nonce", "-reqout", asked])
        run(["openssl", "ocsp", "-index", index, "-CA", self.certificate, "-rsigner", self.certificate, "-rkey", self.key,
             "-reqin", asked, "-respout", answer, "-ndays", "1"])
        return str(answer)


@pytest.fixture
def authority(site):
    return Authority(site.network.directory / "authority")


def shown(site, *words):
    """What s_client says of a connection that it ends at once."""
    done = site.namespace.run(["openssl", "s_client", "-connect", f"127.0.0.1:{FRONT}", "-alpn", "h2", *words], input_text="Q\n",
                              check=False)
    return done.stdout + done.stderr


# --- gRPC

class Calls:
    """The client of an echo server that is called `s1`, TLS before the proxy and behind it."""

    def __init__(self, site, authority):
        self.site = site
        self.env = os.environ | {"ECHO_ROOTS": str(authority.certificate)}
        files = authority.issue("server", "server")
        self.server = site.python_peer("grpc_server.py", "s1", files["certificate"], files["key"])
        site.start_proxy([self.server.port], cluster={"tls": {"ca": str(authority.certificate), "server_name": "localhost"}},
                         listener={"tls": {"certificates": [authority.issue("front", "front")]}})

    def __call__(self, scenario, *words):
        done = self.site.namespace.run([PYTHON, PEERS / "grpc_client.py", scenario, FRONT, *words], env=self.env)
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def call(site, authority):
    return Calls(site, authority)


def test_every_kind_of_call_goes_through_tls_on_both_sides(call):
    assert call("unary") == {"reply": "hello", "served_by": "s1", "text": "plain", "code": "OK"}
    assert call("server_stream", 100, 10_000) == {"count": 100, "same": True}
    assert call("client_stream", 100, 10_000) == {"same": True}
    assert call("bidi", 50) == {"same": True}
    assert call("large", 8 << 20) == {"same": True}
    assert call("fail", 5, "not there") == {"code": "NOT_FOUND", "details": "not there", "trailing": {"why": "asked for"}}
    assert call("at_once", 100) == {"whole": 100}


def test_deadlines_and_cancellations_go_through_tls(call):
    assert call("deadline")["code"] == "DEADLINE_EXCEEDED"
    wait_for(lambda: "given up: Sleep" in call.server.output(), 10, "the server to learn that nobody waits")
    assert call("cancel") == {"got": 3, "code": "CANCELLED", "after": "on"}
    wait_for(lambda: "given up: Endless" in call.server.output(), 10, "the server to learn of the cancellation")


# --- names

def test_each_name_has_its_certificate(site, authority):
    certificates = [authority.issue("one", "one", "DNS:one.test"), authority.issue("two", "two", "DNS:*.two.test")]
    server = site.nginx("n1")
    site.start_proxy([server.port], listener={"tls": {"certificates": certificates}})
    for name, subject in (("one.test", "one"), ("a.two.test", "two"), ("A.TWO.test", "two"), ("other.test", "one")):
        assert f"subject=CN = {subject}\n" in shown(site, "-servername", name), name
    assert "subject=CN = one\n" in shown(site, "-noservername")
    site.proxy.stop()
    site.start_proxy([server.port], listener={"tls": {"certificates": certificates, "refuse_unknown_names": True}})
    assert "subject=CN = two\n" in shown(site, "-servername", "a.two.test")
    refused = shown(site, "-servername", "other.test")
    assert "subject=" not in refused and "unrecognized name" in refused


def test_a_staple_from_its_file_goes_to_clients_that_ask(site, authority):
    files = authority.issue("front", "front")
    site.start_proxy([site.nginx("n1").port],
                     listener={"tls": {"certificates": [files | {"ocsp_staple": authority.staple(files["certificate"])}]}})
    said = shown(site, "-status", "-CAfile", authority.certificate)
    assert "OCSP Response Status: successful" in said and "Cert Status: good" in said
    assert "OCSP Response Data" not in shown(site)


def test_versions_are_as_the_listener_says(site, authority):
    files = authority.issue("front", "front")
    server = site.nginx("n1")
    site.start_proxy([server.port], listener={"tls": {"certificates": [files]}})
    assert "Protocol  : TLSv1.2" in shown(site, "-tls1_2") and "New, TLSv1.3" in shown(site, "-tls1_3")
    assert "Cipher is (NONE)" in shown(site, "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0")
    site.proxy.stop()
    site.start_proxy([server.port], listener={"tls": {"certificates": [files], "min_version": "1.3"}})
    assert "Cipher is (NONE)" in shown(site, "-tls1_2") and "New, TLSv1.3" in shown(site, "-tls1_3")


# --- a reload

def test_a_new_certificate_comes_by_a_reload_and_cuts_nobody_off(site, authority):
    server = site.nginx("n1", http="keepalive_requests 1000000;")
    listener = {"tls": {"certificates": [authority.issue("front", "first")]}}
    site.start_proxy([server.port], listener=listener)
    load = site.namespace.popen(["h2load", "-n", 1500, "-c", 4, "-m", 5, "--rps=100", f"https://127.0.0.1:{FRONT}/who"])
    wait_for(lambda: "progress: 20%" in load.output(), 20, "the load to be under way")
    assert "subject=CN = first\n" in shown(site)
    authority.issue("front", "second")
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reloaded" in site.proxy.output(), 10, "the reload")
    wait_for(lambda: "subject=CN = second\n" in shown(site), 10, "the new certificate")
    # A key that is not the certificate's changes nothing.
    (site.network.directory / "authority" / "front.key").write_text(authority.key.read_text())
    site.proxy.send_signal(signal.SIGHUP)
    wait_for(lambda: "event=reload_refused" in site.proxy.output(), 10, "the refusal")
    assert "subject=CN = second\n" in shown(site)
    load.wait(60)
    # Connections that had been cut off would have been missed by their requests.
    assert Load(load.output()).bad == 0, load.output()


# --- what is no request and answer

def tls_client(site, authority, *protocols):
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols(protocols)
    plain = site.namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
    plain.settimeout(20)
    plain.connect(("127.0.0.1", FRONT))
    return context.wrap_socket(plain, server_hostname="localhost")


def test_a_websocket_goes_through_tls(site, authority):
    server = site.node_peer("websocket_server.js")
    site.start_proxy([server.port], cluster={"protocol": "http1"}, more={"proxy": {"name": "p1", "drain_time": "1s"}},
                     listener={"tls": {"certificates": [authority.issue("front", "front")]}})
    client = tls_client(site, authority, "http/1.1")
    client.sendall(b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1 << 16)
    head, _, back = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    sent = os.urandom(300_000)
    sender = threading.Thread(target=client.sendall, args=[sent])
    sender.start()
    while len(back) < len(sent):
        data = client.recv(1 << 16)
        assert data, "the tunnel was closed"
        back += data
    sender.join()
    assert back == sent
    client.close()
