// What contexts agree on with each other, and what they refuse.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "dataplane/l7/kernel_tls.h"
#include "tests/unit/tls_context_site.h"

namespace sluice::l7 {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;
using test::KeyKind;
using test::Link;
using test::TlsContextTest;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// --- names

TEST_F(TlsContextTest, TheServerNameChoosesTheCertificate) {
  server.certificates.push_back(authority.issue("exact", {"exact", "DNS:api.example.com"}));
  server.certificates.push_back(authority.issue("star", {"star", "DNS:*.example.com"}));
  const auto context = serve();
  EXPECT_EQ(shown_to(context, "www.example.com"), "CN=site");
  EXPECT_EQ(shown_to(context, "api.example.com"), "CN=exact");
  EXPECT_EQ(shown_to(context, "API.example.com"), "CN=exact");
  EXPECT_EQ(shown_to(context, "other.example.com"), "CN=star");
  EXPECT_EQ(shown_to(context, "unknown.org"), "CN=site");
  EXPECT_EQ(shown_to(context, ""), "CN=site");
}

TEST_F(TlsContextTest, UnknownNamesAreRefusedOnDemand) {
  server.refuse_unknown_names = true;
  const auto context = serve();
  EXPECT_EQ(shown_to(context, "www.example.com"), "CN=site");
  EXPECT_EQ(shown_to(context, "unknown.org"), "unknown_name");
  EXPECT_EQ(shown_to(context, ""), "unknown_name");
  Link link(context, asking_for("unknown.org"));
  EXPECT_FALSE(link.shake());
  EXPECT_EQ(link.client_failure(), TlsFailure::kRefusedByPeer);
  EXPECT_THAT(link.client.tls()->failure_detail(), HasSubstr("unrecognized name"));
}

TEST_F(TlsContextTest, KeysOfTwoKindsServeTheSameNameTogether) {
  server.certificates.push_back(authority.issue(
      "rsa",
      {.common_name = "rsa", .alternatives = "DNS:www.example.com,IP:127.0.0.1", .key = KeyKind::kRsa}));
  const auto context = serve();
  for (const auto& [algorithms, subject] :
       {std::pair{"ECDSA+SHA256", "CN=site"}, {"RSA-PSS+SHA256", "CN=rsa"}}) {
    const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set1_sigalgs_list(raw.get(), algorithms);
    Link link(context, raw.get());
    EXPECT_TRUE(link.shake()) << algorithms;
    EXPECT_EQ(link.client.tls()->peer_subject(), subject);
  }
}

// --- protocols, versions, ciphers

TEST_F(TlsContextTest, TheServersOrderOfProtocolsCounts) {
  server.protocols = {"h2", "http/1.1"};
  client.protocols = {"http/1.1", "h2"};
  Link link(serve(), reach());
  ASSERT_TRUE(link.shake());
  EXPECT_EQ(link.server.tls()->protocol(), "h2");
  EXPECT_EQ(link.client.tls()->protocol(), "h2");
  client.protocols = {"http/1.1"};
  Link old(serve(), reach());
  ASSERT_TRUE(old.shake());
  EXPECT_EQ(old.server.tls()->protocol(), "http/1.1");
}

TEST_F(TlsContextTest, WithoutAProtocolInCommonThereIsNoConnection) {
  server.protocols = {"h2"};
  client.protocols = {"http/1.1"};
  Link link(serve(), reach());
  EXPECT_FALSE(link.shake());
  EXPECT_EQ(link.server_failure(), TlsFailure::kNoSharedProtocol);
  EXPECT_EQ(link.client_failure(), TlsFailure::kRefusedByPeer);
}

TEST_F(TlsContextTest, AClientThatDoesNotSpeakOfProtocolsIsTaken) {
  client.protocols = {};
  Link link(serve(), reach());
  ASSERT_TRUE(link.shake());
  EXPECT_EQ(link.server.tls()->protocol(), "");
}

TEST_F(TlsContextTest, OldVersionsAreRefused) {
  const auto handshake_up_to = [this](int version) {
    const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_security_level(raw.get(), 0);
    SSL_CTX_set_cipher_list(raw.get(), "ALL");
    SSL_CTX_set_min_proto_version(raw.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(raw.get(), version);
    Link link(serve(), raw.get());
    return link.shake() ? link.server.tls()->version() : tls_failure_name(link.server_failure());
  };
  EXPECT_STREQ(handshake_up_to(TLS1_1_VERSION), "no_shared_version");
  EXPECT_STREQ(handshake_up_to(TLS1_2_VERSION), "TLSv1.2");
  EXPECT_STREQ(handshake_up_to(TLS1_3_VERSION), "TLSv1.3");
  server.min_version = TlsVersion::kTls13;
  EXPECT_STREQ(handshake_up_to(TLS1_2_VERSION), "no_shared_version");
  EXPECT_STREQ(handshake_up_to(TLS1_3_VERSION), "TLSv1.3");
}

TEST_F(TlsContextTest, OnlyForwardSecretAeadByDefault) {
  const auto handshake_with = [this](const char* ciphers) {
    const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_max_proto_version(raw.get(), TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(raw.get(), ciphers);
    Link link(serve(), raw.get());
    return link.shake() ? link.server.tls()->cipher() : tls_failure_name(link.server_failure());
  };
  EXPECT_STREQ(handshake_with("ECDHE-ECDSA-AES256-SHA384"), "no_shared_cipher");  // CBC
  EXPECT_STREQ(handshake_with("ECDHE-ECDSA-AES256-GCM-SHA384"), "ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_STREQ(handshake_with("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"),
               "ECDHE-ECDSA-AES128-GCM-SHA256");
  server.certificates = {authority.issue("rsa", {.key = KeyKind::kRsa})};
  EXPECT_STREQ(handshake_with("AES128-GCM-SHA256"), "no_shared_cipher");  // RSA key exchange
  EXPECT_STREQ(handshake_with("ECDHE-RSA-AES128-GCM-SHA256"), "ECDHE-RSA-AES128-GCM-SHA256");
}

TEST_F(TlsContextTest, NobodyRenegotiates) {
  const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(raw.get(), TLS1_2_VERSION);
  Link link(serve(), raw.get());
  ASSERT_TRUE(link.shake());
  ASSERT_EQ(SSL_renegotiate(link.raw_client()), 1);
  EXPECT_EQ(link.client.tls()->handshake(), IoStatus::kBlocked);
  std::vector<uint8_t> buffer(64 * 1024);
  size_t bytes = 0;
  link.server.read(buffer, bytes);
  EXPECT_EQ(link.client.tls()->handshake(), IoStatus::kFailed);
  EXPECT_THAT(link.client.tls()->failure_detail(), HasSubstr("no renegotiation"));
}

TEST_F(TlsContextTest, CiphersCanBeSet) {
  server.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
  Link link(serve(), reach());
  ASSERT_TRUE(link.shake());
  EXPECT_STREQ(link.server.tls()->cipher(), "TLS_CHACHA20_POLY1305_SHA256");
  server.ciphersuites = "TLS_NONSENSE";
  EXPECT_THAT(server_refusal(),
              AllOf(HasSubstr("ciphersuites 'TLS_NONSENSE'"), HasSubstr("openssl ciphers")));
  server.ciphersuites = "";
  server.ciphers = "NONSENSE";
  EXPECT_THAT(server_refusal(), AllOf(HasSubstr("ciphers 'NONSENSE'"), HasSubstr("openssl ciphers")));
}

// --- clients' certificates

TEST_F(TlsContextTest, ClientsShowCertificatesWhereTheyMust) {
  server.client_certificates = ClientCertificates::kRequired;
  server.client_ca = authority.file();
  Link without(serve(), reach());
  EXPECT_FALSE(without.shake());
  EXPECT_EQ(without.server_failure(), TlsFailure::kNoClientCertificate);

  const auto files = authority.issue("alice", {"alice \xc3\xa9"});
  client.certificate = files.certificate;
  client.key = files.key;
  Link with(serve(), reach());
  EXPECT_TRUE(with.shake());
  EXPECT_EQ(with.server.tls()->peer_subject(), "CN=alice \\C3\\A9");

  const auto foreign = stranger.issue("mallory", {});
  client.certificate = foreign.certificate;
  client.key = foreign.key;
  Link wrong(serve(), reach());
  EXPECT_FALSE(wrong.shake());
  EXPECT_EQ(wrong.server_failure(), TlsFailure::kCertificateRefused);
  EXPECT_THAT(wrong.server.tls()->failure_detail(), HasSubstr("unable to get local issuer certificate"));
}

TEST_F(TlsContextTest, ClientsMayShowCertificatesWhereTheyAreAsked) {
  server.client_certificates = ClientCertificates::kOptional;
  server.client_ca = authority.file();
  Link without(serve(), reach());
  EXPECT_TRUE(without.shake());
  EXPECT_EQ(without.server.tls()->peer_subject(), "");
  const auto foreign = stranger.issue("mallory", {});
  client.certificate = foreign.certificate;
  client.key = foreign.key;
  Link wrong(serve(), reach());
  EXPECT_FALSE(wrong.shake());
  EXPECT_EQ(wrong.server_failure(), TlsFailure::kCertificateRefused);
}

TEST_F(TlsContextTest, TheChainIsWhatTheFileSays) {
  // The authority is known for clients' sake; it is no part of the server's chain.
  server.client_certificates = ClientCertificates::kOptional;
  server.client_ca = authority.file();
  const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
  Link link(serve(), raw.get());
  ASSERT_TRUE(link.shake());
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(link.raw_client())), 1);
  auto& files = server.certificates.front();
  files.certificate =
      folder.write("chain.pem", test::text_of(files.certificate) + test::text_of(authority.file()));
  Link longer(serve(), raw.get());
  ASSERT_TRUE(longer.shake());
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(longer.raw_client())), 2);
}

TEST_F(TlsContextTest, AClientCaFileMustBeOne) {
  server.client_certificates = ClientCertificates::kRequired;
  server.client_ca = folder.path("absent.pem");
  EXPECT_THAT(server_refusal(), AllOf(HasSubstr("client CA file"), HasSubstr("No such file")));
  server.client_ca = folder.write("text.pem", "nothing");
  EXPECT_THAT(server_refusal(), AllOf(HasSubstr("client CA file"), HasSubstr("no certificates in PEM form")));
}

// --- endpoints' certificates

TEST_F(TlsContextTest, EndpointsAreVerifiedByNameOrAddress) {
  Link by_address(serve(), reach());  // the endpoint's, 127.0.0.1
  EXPECT_TRUE(by_address.shake());
  EXPECT_EQ(by_address.server.tls()->server_name(), "");
  client.server_name = "www.example.com";
  Link by_name(serve(), reach());
  EXPECT_TRUE(by_name.shake());
  EXPECT_EQ(by_name.server.tls()->server_name(), "www.example.com");
}

TEST_F(TlsContextTest, EndpointsOfOtherNamesAreRefused) {
  client.server_name = "www.example.org";
  Link by_name(serve(), reach());
  EXPECT_FALSE(by_name.shake());
  EXPECT_EQ(by_name.client_failure(), TlsFailure::kNameRefused);
  EXPECT_EQ(by_name.server_failure(), TlsFailure::kRefusedByPeer);
  client.server_name = "127.0.0.2";
  Link by_address(serve(), reach());
  EXPECT_FALSE(by_address.shake());
  EXPECT_EQ(by_address.client_failure(), TlsFailure::kNameRefused);
}

TEST_F(TlsContextTest, EndpointsOfUnknownAuthoritiesAndExpiredOnesAreRefused) {
  client.ca = stranger.file();
  Link foreign(serve(), reach());
  EXPECT_FALSE(foreign.shake());
  EXPECT_EQ(foreign.client_failure(), TlsFailure::kCertificateRefused);
  client.ca = "";  // the system's authorities do not know the test's either
  Link unknown(serve(), reach());
  EXPECT_FALSE(unknown.shake());
  EXPECT_EQ(unknown.client_failure(), TlsFailure::kCertificateRefused);

  client.ca = authority.file();
  server.certificates = {
      authority.issue("old", {.alternatives = "IP:127.0.0.1", .from = -hours(48), .until = -hours(24)})};
  Link expired(serve(), reach());
  EXPECT_FALSE(expired.shake());
  EXPECT_EQ(expired.client_failure(), TlsFailure::kCertificateRefused);
  EXPECT_EQ(expired.client.tls()->failure_detail(), "certificate has expired");
  EXPECT_THAT(serve()->warnings(), ElementsAre(HasSubstr("expired on")));
}

TEST_F(TlsContextTest, VerificationCanBeOff) {
  client.verify = false;
  client.ca = "";
  client.server_name = "www.example.org";
  Link link(serve(), reach());
  EXPECT_TRUE(link.shake());
}

TEST_F(TlsContextTest, AClientsFilesMustBeGood) {
  client.ca = folder.path("absent.pem");
  EXPECT_THAT(client_refusal(), AllOf(HasSubstr("CA file " + client.ca), HasSubstr("No such file")));
  client.ca = authority.file();
  client.certificate = authority.issue("alice", {}).certificate;
  EXPECT_THAT(client_refusal(), HasSubstr("needs both"));
  client.key = authority.issue("bob", {}).key;
  EXPECT_THAT(client_refusal(), HasSubstr("not the key of the certificate"));
}

TEST_F(TlsContextTest, AServerNameHasALength) {
  client.server_name = std::string(256, 'a');
  EXPECT_THAT(client_refusal(), HasSubstr("at most 255 letters"));
}

TEST_F(TlsContextTest, AServerNeedsACertificate) {
  server.certificates.clear();
  EXPECT_THAT(server_refusal(), HasSubstr("needs at least one"));
}

TEST_F(TlsContextTest, ProtocolNamesHaveALength) {
  server.protocols = {""};
  EXPECT_THAT(server_refusal(), HasSubstr("1 to 255 letters"));
  client.protocols = {std::string(256, 'x')};
  EXPECT_THAT(client_refusal(), HasSubstr("1 to 255 letters"));
}

TEST_F(TlsContextTest, AReloadedContextLeavesOldConnectionsAlone) {
  auto context = serve();
  Link link(context, reach());
  context.reset();
  ASSERT_TRUE(link.shake());
  ChunkPool chunks;
  EXPECT_EQ(test::carry(link.client, link.server, chunks, "hello"), "hello");
}

// --- staples

TEST_F(TlsContextTest, ClientsThatAskGetTheStaple) {
  const auto staple_sent = [this] {
    const SslContextHandle raw(SSL_CTX_new(TLS_client_method()));
    Link link(serve(), raw.get());
    SSL_set_tlsext_status_type(link.raw_client(), TLSEXT_STATUSTYPE_ocsp);
    EXPECT_TRUE(link.shake());
    const unsigned char* der = nullptr;
    const long size = SSL_get_tlsext_status_ocsp_resp(link.raw_client(), &der);
    return size <= 0 ? std::string()
                     : std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  };
  auto& files = server.certificates.front();
  EXPECT_EQ(staple_sent(), "");
  files.ocsp_staple = authority.staple("site", files.certificate, V_OCSP_CERTSTATUS_GOOD, hours(1));
  EXPECT_EQ(staple_sent(), test::text_of(files.ocsp_staple));
  files.ocsp_staple = authority.staple("late", files.certificate, V_OCSP_CERTSTATUS_GOOD, -hours(1));
  EXPECT_EQ(staple_sent(), "");
  EXPECT_THAT(serve()->warnings(), ElementsAre(HasSubstr("late.ocsp: out of date")));
}

// --- the kernel

TEST(KernelTls, IsOnWhereAConnectionTakesIt) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const int connection = socket(AF_INET, SOCK_STREAM, 0);
  ASSERT_EQ(connect(connection, reinterpret_cast<sockaddr*>(&address), size), 0);
  const bool taken = setsockopt(connection, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;
  close(connection);
  close(listener);
  EXPECT_EQ(std::string_view(kernel_tls_state()) == "on", taken) << kernel_tls_state();
}

}  // namespace
}  // namespace sluice::l7
