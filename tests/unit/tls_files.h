// Certificates, keys and staples made for one test, in a folder that goes with it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "dataplane/l7/openssl_handles.h"
#include "dataplane/l7/tls_settings.h"
#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice::l7::test {

using sluice::test::TestFolder;
using sluice::test::text_of;

enum class KeyKind { kEcdsa, kRsa };

struct CertificateWish {
  std::string common_name = "test";
  std::string alternatives;  ///< "DNS:a.example.com,IP:127.0.0.1"
  std::chrono::seconds from = -std::chrono::hours(1);
  std::chrono::seconds until = std::chrono::hours(24);
  KeyKind key = KeyKind::kEcdsa;
};

class TestAuthority {
 public:
  TestAuthority(const TestFolder& folder, const std::string& name);

  /// PEM file of its own certificate.
  const std::string& file() const { return file_; }
  /// Makes NAME.pem and NAME.key in the folder.
  TlsCertificateFiles issue(const std::string& name, const CertificateWish& wish) const;
  /// An OCSP response about a certificate: `status` as OpenSSL's V_OCSP_CERTSTATUS_...; writes NAME.ocsp.
  std::string staple(const std::string& name, const std::string& certificate, int status,
                     std::chrono::seconds until) const;

 private:
  const TestFolder& folder_;
  std::string file_;
  X509Handle certificate_;
  KeyHandle key_;
};

}  // namespace sluice::l7::test
