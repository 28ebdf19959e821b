// Whether a connection may go on with the session of an earlier one.
#include <gtest/gtest.h>

#include "tests/unit/tls_context_site.h"

namespace sluice::l7 {
namespace {

using test::Link;
using test::TlsContextTest;

/// Whether a second connection resumes what the first one has learned; both with all of TLS 1.3 or 1.2.
class TlsResumptionTest : public TlsContextTest, public testing::WithParamInterface<int> {
 protected:
  TlsResumptionTest() : raw(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_max_proto_version(raw.get(), GetParam());
    SSL_CTX_set_session_cache_mode(raw.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_ex_data(raw.get(), 0, this);
    SSL_CTX_sess_set_new_cb(raw.get(), [](SSL* ssl, SSL_SESSION* made) {
      static_cast<TlsResumptionTest*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0))->session.reset(made);
      return 1;
    });
  }

  bool connect(const TlsServerContext::Pointer& context) {
    Link link(context, raw.get());
    if (session) SSL_set_session(link.raw_client(), session.get());
    EXPECT_TRUE(link.shake());
    // TLS 1.3 sends tickets behind the handshake.
    ChunkPool chunks;
    EXPECT_EQ(test::carry(link.server, link.client, chunks, "hello"), "hello");
    EXPECT_EQ(link.server.tls()->resumed(), link.client.tls()->resumed());
    return link.server.tls()->resumed();
  }

  SslContextHandle raw;
  SslSessionHandle session;
};

TEST_P(TlsResumptionTest, WorksAcrossWorkersAndReloads) {
  const auto context = serve();
  EXPECT_FALSE(connect(context));
  EXPECT_TRUE(connect(context));
  EXPECT_TRUE(connect(serve()));  // another context that shares the keys
}

TEST_P(TlsResumptionTest, StrangersTicketsAreNotTaken) {
  EXPECT_FALSE(connect(serve()));
  keys = std::make_shared<TlsTicketKeys>(TlsTicketKeys::Clock::now());
  EXPECT_FALSE(connect(serve()));
}

TEST_P(TlsResumptionTest, IsNoWayRoundClientCertificates) {
  const auto files = authority.issue("alice", {"alice"});
  ASSERT_EQ(SSL_CTX_use_certificate_chain_file(raw.get(), files.certificate.c_str()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(raw.get(), files.key.c_str(), SSL_FILETYPE_PEM), 1);
  EXPECT_FALSE(connect(serve()));
  server.client_certificates = ClientCertificates::kRequired;
  server.client_ca = authority.file();
  EXPECT_FALSE(connect(serve()));
  EXPECT_TRUE(connect(serve()));
}

TEST_P(TlsResumptionTest, IsNoWayRoundARequirementThatIsNew) {
  server.client_certificates = ClientCertificates::kOptional;
  server.client_ca = authority.file();
  EXPECT_FALSE(connect(serve()));  // shows none
  server.client_certificates = ClientCertificates::kRequired;
  Link link(serve(), raw.get());
  SSL_set_session(link.raw_client(), session.get());
  EXPECT_FALSE(link.shake());
  EXPECT_EQ(link.server_failure(), TlsFailure::kNoClientCertificate);
}

TEST_P(TlsResumptionTest, IsNoWayRoundAnotherAuthority) {
  const auto files = authority.issue("alice", {"alice"});
  ASSERT_EQ(SSL_CTX_use_certificate_chain_file(raw.get(), files.certificate.c_str()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(raw.get(), files.key.c_str(), SSL_FILETYPE_PEM), 1);
  server.client_certificates = ClientCertificates::kRequired;
  server.client_ca = authority.file();
  EXPECT_FALSE(connect(serve()));
  server.client_ca = stranger.file();
  Link link(serve(), raw.get());
  SSL_set_session(link.raw_client(), session.get());
  EXPECT_FALSE(link.shake());
  EXPECT_EQ(link.server_failure(), TlsFailure::kCertificateRefused);
}

TEST_P(TlsResumptionTest, KeepsTheClientsSubject) {
  server.client_certificates = ClientCertificates::kRequired;
  server.client_ca = authority.file();
  const auto files = authority.issue("alice", {"alice"});
  ASSERT_EQ(SSL_CTX_use_certificate_chain_file(raw.get(), files.certificate.c_str()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey_file(raw.get(), files.key.c_str(), SSL_FILETYPE_PEM), 1);
  const auto context = serve();
  EXPECT_FALSE(connect(context));
  Link link(context, raw.get());
  SSL_set_session(link.raw_client(), session.get());
  ASSERT_TRUE(link.shake());
  EXPECT_TRUE(link.server.tls()->resumed());
  EXPECT_EQ(link.server.tls()->peer_subject(), "CN=alice");
}

TEST_P(TlsResumptionTest, CanBeOff) {
  server.session_tickets = false;
  const auto context = serve();
  EXPECT_FALSE(connect(context));
  EXPECT_FALSE(connect(context));
}

INSTANTIATE_TEST_SUITE_P(Versions, TlsResumptionTest, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) {
                           return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_F(TlsContextTest, AClientResumesItsSessionWithAnEndpoint) {
  const auto server_context = serve();
  const auto client_context = reach();
  const auto resumption = std::make_shared<TlsResumption>();
  ChunkPool chunks;
  for (const bool resumed : {false, true, true}) {
    Link link(server_context, client_context, resumption);
    ASSERT_TRUE(link.shake());
    EXPECT_EQ(link.client.tls()->resumed(), resumed);
    EXPECT_EQ(test::carry(link.server, link.client, chunks, "hello"), "hello");
  }
  // Another context may trust others.
  Link link(server_context, reach(), resumption);
  ASSERT_TRUE(link.shake());
  EXPECT_FALSE(link.client.tls()->resumed());
}

TEST_F(TlsContextTest, AClientCanDoWithoutResumption) {
  client.resume_sessions = false;
  const auto server_context = serve();
  const auto client_context = reach();
  const auto resumption = std::make_shared<TlsResumption>();
  ChunkPool chunks;
  for (int connection = 0; connection < 2; ++connection) {
    Link link(server_context, client_context, resumption);
    ASSERT_TRUE(link.shake());
    EXPECT_FALSE(link.client.tls()->resumed());
    EXPECT_EQ(test::carry(link.server, link.client, chunks, "hello"), "hello");
  }
}

}  // namespace
}  // namespace sluice::l7
