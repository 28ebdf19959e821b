#include "dataplane/l7/tls_failure.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <set>
#include <string>

#include "tests/unit/documentation.h"

namespace sluice::l7 {
namespace {

TEST(TlsFailure, EachHasANameAndWordsOfItsOwn) {
  std::set<std::string> names;
  std::set<std::string> words;
  for (size_t kind = 0; kind < kTlsFailureKinds; ++kind) {
    names.insert(tls_failure_name(static_cast<TlsFailure>(kind)));
    words.insert(tls_failure_words(static_cast<TlsFailure>(kind)));
  }
  EXPECT_EQ(names.size(), kTlsFailureKinds);
  EXPECT_EQ(words.size(), kTlsFailureKinds);
}

TEST(TlsFailure, TheDocumentListsAllAndNoOthers) {
  std::set<std::string> expected;
  for (size_t kind = 1; kind < kTlsFailureKinds; ++kind) {
    expected.insert(tls_failure_name(static_cast<TlsFailure>(kind)));
  }
  std::set<std::string> listed;
  for (const auto& [name, row] : sluice::test::documented_rows("tls.md")) listed.insert(name);
  EXPECT_EQ(listed, expected);
}

TEST(TlsFailure, TheFirstErrorIsTheCause) {
  OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS,
                   nullptr);  // loads the words; the first context does it otherwise
  ERR_clear_error();
  ERR_raise(ERR_LIB_SSL, SSL_R_HTTP_REQUEST);
  ERR_raise(ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER);
  const TlsVerdict verdict = take_tls_verdict(X509_V_OK);
  EXPECT_EQ(verdict.failure, TlsFailure::kNotTls);
  EXPECT_EQ(verdict.detail, "http request");
  EXPECT_EQ(ERR_peek_error(), 0u) << "the queue is empty for the next call";
}

TEST(TlsFailure, ErrorsOfOtherLibrariesAreNoReasonsOfTls) {
  ERR_clear_error();
  ERR_raise(ERR_LIB_X509, SSL_R_HTTP_REQUEST);
  EXPECT_EQ(take_tls_verdict(X509_V_OK).failure, TlsFailure::kProtocolError);
}

TEST(TlsFailure, RefusedCertificatesSayWhy) {
  ERR_clear_error();
  ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
  const TlsVerdict refused = take_tls_verdict(X509_V_ERR_CERT_HAS_EXPIRED);
  EXPECT_EQ(refused.failure, TlsFailure::kCertificateRefused);
  EXPECT_EQ(refused.detail, "certificate has expired");
  ERR_raise(ERR_LIB_SSL, SSL_R_CERTIFICATE_VERIFY_FAILED);
  EXPECT_EQ(take_tls_verdict(X509_V_ERR_HOSTNAME_MISMATCH).failure, TlsFailure::kNameRefused);
}

}  // namespace
}  // namespace sluice::l7
