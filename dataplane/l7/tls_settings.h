// What an operator says about TLS, as plain values. Files are named here and read by the contexts
// (tls_server_context.h, tls_client_context.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice::l7 {

enum class TlsVersion : uint8_t { kTls12, kTls13 };

/// A certificate in PEM form, the chain behind it in the same file, and its key.
struct TlsCertificateFiles {
  std::string certificate;
  std::string key;
  std::string ocsp_staple;  ///< an OCSP response in DER form, handed to clients that ask; "": none
};

enum class ClientCertificates : uint8_t { kNotAsked, kOptional, kRequired };

/// Towards clients.
struct TlsServerSettings {
  /// Chosen by the name that the client asks for; the first one if it names none. Certificates for the same
  /// names with keys of different kinds (ECDSA and RSA) serve together, each the clients that know its kind.
  std::vector<TlsCertificateFiles> certificates;
  bool refuse_unknown_names = false;         ///< or show the first certificate
  std::vector<std::string> protocols{"h2"};  ///< ALPN names, the preferred first
  TlsVersion min_version = TlsVersion::kTls12;
  std::string ciphers;       ///< of TLS 1.2, in OpenSSL's words; "": forward secret AEAD only
  std::string ciphersuites;  ///< of TLS 1.3, likewise
  ClientCertificates client_certificates = ClientCertificates::kNotAsked;
  std::string client_ca;  ///< PEM file of the authorities whose client certificates are accepted
  bool session_tickets = true;
  std::chrono::milliseconds handshake_timeout{10000};
};

/// Towards endpoints.
struct TlsClientSettings {
  bool verify = true;       ///< the endpoint's certificate: signed by an authority, for the right name
  std::string ca;           ///< PEM file of authorities; "": those of the system
  std::string server_name;  ///< asked for, and what the certificate must be for; "": the endpoint's address
  std::vector<std::string> protocols{"h2"};  ///< ALPN names, the preferred first
  TlsVersion min_version = TlsVersion::kTls12;
  std::string ciphers;       ///< of TLS 1.2, in OpenSSL's words; "": forward secret AEAD only
  std::string ciphersuites;  ///< of TLS 1.3, likewise
  std::string certificate;   ///< PEM file shown to endpoints that ask; "": none
  std::string key;           ///< of that certificate
  bool resume_sessions = true;
};

}  // namespace sluice::l7
