// The whole data plane over TLS: clients, a proxy in front, a proxy behind it that answers.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstring>

#include "dataplane/l7/proxy.h"
#include "tests/unit/loopback_port.h"
#include "tests/unit/tls_files.h"

namespace sluice::l7 {
namespace {

using sluice::test::Port;
using std::chrono::milliseconds;
using test::TestAuthority;
using test::TestFolder;
using testing::HasSubstr;

constexpr const char* kRequest = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr const char* kRequestAndStay = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client that waits.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(::sluice::test::connect_to(port)) {}
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() {
    ssl_.reset();
    close(fd_);
  }

  bool start_tls(SSL_CTX* context, SSL_SESSION* session = nullptr) {
    ssl_.reset(SSL_new(context));
    SSL_set_fd(ssl_.get(), fd_);
    if (session != nullptr) SSL_set_session(ssl_.get(), session);
    return SSL_connect(ssl_.get()) == 1;
  }
  /// Sends in TLS, and reads until `end` is in the answer or the connection is over.
  std::string ask(const std::string& request, const std::string& end) {
    SSL_write(ssl_.get(), request.data(), static_cast<int>(request.size()));
    std::string answer;
    char part[4096];
    for (int got = 0; answer.find(end) == std::string::npos; answer.append(part, static_cast<size_t>(got))) {
      got = SSL_read(ssl_.get(), part, sizeof(part));
      if (got <= 0) return answer + "(end)";
    }
    return answer;
  }
  std::string subject() const {
    const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
    char line[256] = "";
    X509_NAME_oneline(X509_get_subject_name(certificate), line, sizeof(line));
    return line;
  }
  SSL* ssl() const { return ssl_.get(); }
  int fd() const { return fd_; }

 private:
  int fd_;
  SslHandle ssl_;
};

class TlsProxyTest : public testing::Test {
 protected:
  TlsProxyTest() : trusting(SSL_CTX_new(TLS_client_method())) {
    signal(SIGPIPE, SIG_IGN);  // of the test's own client
    const auto alice = authority.issue("front-client", {"front"});
    ListenerSettings behind;
    behind.name = "back";
    behind.address = IpAddress::v4(127, 0, 0, 1);
    behind.port = back_port.number;
    behind.tls.emplace();
    behind.tls->certificates = {authority.issue("back", {"back", "DNS:back.test"})};
    behind.tls->client_certificates = ClientCertificates::kRequired;
    behind.tls->client_ca = authority.file();
    behind.routes = answering("from the back");
    back.listeners = {behind};

    ListenerSettings before = behind;
    before.name = "front";
    before.port = front_port.number;
    before.tls.emplace();
    before.tls->certificates = {authority.issue("front", {"front one", "DNS:front.test"})};
    before.routes = forwarding_to("back");
    front.listeners = {before};
    ClusterSettings cluster;
    cluster.name = "back";
    cluster.endpoints = {{.id = {IpAddress::v4(127, 0, 0, 1), back_port.number}}};
    cluster.tls.emplace();
    cluster.tls->ca = authority.file();
    cluster.tls->server_name = "back.test";
    cluster.tls->certificate = alice.certificate;
    cluster.tls->key = alice.key;
    front.clusters = {cluster};
  }

  static RouteConfig one_route(Route route) {
    RouteConfig routes;
    routes.virtual_hosts = {{.name = "all", .domains = {"*"}, .routes = {std::move(route)}}};
    return routes;
  }
  static RouteConfig answering(const std::string& body) {
    Route route;
    route.action = DirectResponse{.body = body};
    return one_route(route);
  }
  static RouteConfig forwarding_to(const std::string& cluster) {
    Route route;
    route.action = ForwardAction{{{.cluster = cluster}}};
    return one_route(route);
  }
  ProxySnapshot snapshot(const ProxySettings& settings, const ProxySnapshot* previous = nullptr) {
    auto built = build_snapshot(std::make_shared<ProxySettings>(settings), previous, PickTime::clock::now());
    EXPECT_TRUE(built) << built.error().message;
    return built ? *std::move(built) : ProxySnapshot{};
  }
  std::unique_ptr<Proxy> start(const ProxySettings& settings) {
    auto proxy = Proxy::start(snapshot(settings), {});
    if (proxy) (*proxy)->accept();
    EXPECT_TRUE(proxy) << proxy.error().message;
    return proxy ? *std::move(proxy) : nullptr;
  }
  std::string get() {
    Client client(front_port.number);
    return client.start_tls(trusting.get()) ? client.ask(kRequest, "\r\n\r\nfrom the back") : "no handshake";
  }

  TestFolder folder;
  TestAuthority authority{folder, "authority"};
  Port back_port;
  Port front_port;
  ProxySettings back;
  ProxySettings front;
  SslContextHandle trusting;
};

TEST_F(TlsProxyTest, RequestsGoThroughTlsOnBothSides) {
  const auto behind = start(back);
  const auto before = start(front);
  EXPECT_THAT(get(), HasSubstr("200"));
  EXPECT_THAT(get(), HasSubstr("from the back"));
}

TEST_F(TlsProxyTest, EndpointsMaySpeakHttp1) {
  front.clusters.front().protocol = HttpVersion::kHttp1;
  back.listeners.front().http2_allowed = false;
  const auto behind = start(back);
  const auto before = start(front);
  EXPECT_THAT(get(), HasSubstr("from the back"));
}

TEST_F(TlsProxyTest, AnEndpointOfAnotherNameGetsNoRequest) {
  front.clusters.front().tls->server_name = "other.test";
  const auto behind = start(back);
  const auto before = start(front);
  EXPECT_THAT(get(), HasSubstr("503"));
}

TEST_F(TlsProxyTest, AnEndpointThatRefusesTheProxyIsNoEndpoint) {
  front.clusters.front().tls->certificate = "";
  front.clusters.front().tls->key = "";
  const auto behind = start(back);
  const auto before = start(front);
  const std::string answer = get();
  EXPECT_TRUE(answer.find("503") != std::string::npos || answer.find("502") != std::string::npos) << answer;
}

TEST_F(TlsProxyTest, ClientsGetTheVersionTheyAskFor) {
  front.listeners.front().routes = answering("here");
  const auto before = start(front);
  const auto agreed = [this](const std::string& offer) {
    SSL_CTX_set_alpn_protos(trusting.get(), reinterpret_cast<const unsigned char*>(offer.data()),
                            static_cast<unsigned>(offer.size()));
    Client client(front_port.number);
    if (!client.start_tls(trusting.get())) return std::string("none");
    const unsigned char* name = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(client.ssl(), &name, &size);
    return std::string(reinterpret_cast<const char*>(name), size);
  };
  EXPECT_EQ(agreed("\x08http/1.1\x02h2"), "h2");
  EXPECT_EQ(agreed("\x08http/1.1"), "http/1.1");
  EXPECT_EQ(agreed("\x05other"), "none");
}

TEST_F(TlsProxyTest, ReloadedCertificatesAreForNewConnections) {
  front.listeners.front().routes = answering("here");
  const auto before = start(front);
  Client old(front_port.number);
  ASSERT_TRUE(old.start_tls(trusting.get()));
  EXPECT_EQ(old.subject(), "/CN=front one");
  EXPECT_THAT(old.ask(kRequestAndStay, "here"), HasSubstr("200"));

  authority.issue("front", {"front two", "DNS:front.test"});  // in the place of the other
  ASSERT_TRUE(before->apply(snapshot(front, &before->snapshot())));
  std::string subject;
  // Workers take a configuration up when they next wake.
  for (int tries = 0; tries < 1000 && subject != "/CN=front two"; ++tries) {
    Client client(front_port.number);
    ASSERT_TRUE(client.start_tls(trusting.get()));
    subject = client.subject();
  }
  EXPECT_EQ(subject, "/CN=front two");
  EXPECT_THAT(old.ask(kRequestAndStay, "here"), HasSubstr("200"));
}

TEST_F(TlsProxyTest, AFaultyReloadChangesNothing) {
  const auto before = start(front);
  folder.write("front.pem", "damaged");
  const auto built =
      build_snapshot(std::make_shared<ProxySettings>(front), &before->snapshot(), PickTime::clock::now());
  ASSERT_FALSE(built);
  EXPECT_THAT(built.error().message, HasSubstr("listener front: certificate file"));
  front.listeners.clear();
  front.clusters.front().tls->ca = folder.path("absent.pem");
  const auto other = build_snapshot(std::make_shared<ProxySettings>(front), nullptr, PickTime::clock::now());
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("cluster back: CA file"));
}

TEST_F(TlsProxyTest, ClientsResumeAtAnyWorkerAndAfterAReload) {
  front.workers = 2;
  front.listeners.front().routes = answering("here");
  const auto before = start(front);
  SSL_CTX_set_max_proto_version(trusting.get(), TLS1_2_VERSION);  // tickets come with the handshake
  SslSessionHandle session;
  for (int connection = 0; connection < 16; ++connection) {
    if (connection == 8) {
      ASSERT_TRUE(before->apply(snapshot(front, &before->snapshot())));
    }
    Client client(front_port.number);
    ASSERT_TRUE(client.start_tls(trusting.get(), session.get()));
    EXPECT_EQ(SSL_session_reused(client.ssl()) == 1, connection != 0) << connection;
    EXPECT_THAT(client.ask(kRequestAndStay, "here"), HasSubstr("200"));
    session.reset(SSL_get1_session(client.ssl()));
    SSL_set_shutdown(client.ssl(), SSL_SENT_SHUTDOWN);
  }
}

TEST_F(TlsProxyTest, ASlowHandshakeIsEnded) {
  front.listeners.front().tls->handshake_timeout = milliseconds(50);
  const auto before = start(front);
  const Client client(front_port.number);
  char byte = 0;
  EXPECT_EQ(recv(client.fd(), &byte, 1, 0), 0);
}

TEST_F(TlsProxyTest, PlainHttpOnATlsPortIsEnded) {
  const auto before = start(front);
  const Client client(front_port.number);
  ASSERT_GT(send(client.fd(), kRequest, strlen(kRequest), 0), 0);
  std::string answer;
  char part[256];
  for (ssize_t got = 0; (got = recv(client.fd(), part, sizeof(part), 0)) > 0;)
    answer.append(part, static_cast<size_t>(got));
  EXPECT_EQ(answer.find("HTTP/1.1 200"), std::string::npos);
  EXPECT_EQ(answer.find("from the back"), std::string::npos);
}

}  // namespace
}  // namespace sluice::l7
