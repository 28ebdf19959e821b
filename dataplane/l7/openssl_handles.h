// Owners of OpenSSL's objects.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace sluice::l7 {

template <auto Free>
struct FreedBy {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BioHandle = std::unique_ptr<BIO, FreedBy<BIO_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, FreedBy<EVP_PKEY_free>>;
using OcspBasicHandle = std::unique_ptr<OCSP_BASICRESP, FreedBy<OCSP_BASICRESP_free>>;
using OcspResponseHandle = std::unique_ptr<OCSP_RESPONSE, FreedBy<OCSP_RESPONSE_free>>;
using SslContextHandle = std::unique_ptr<SSL_CTX, FreedBy<SSL_CTX_free>>;
using SslHandle = std::unique_ptr<SSL, FreedBy<SSL_free>>;
using SslSessionHandle = std::unique_ptr<SSL_SESSION, FreedBy<SSL_SESSION_free>>;
using X509Handle = std::unique_ptr<X509, FreedBy<X509_free>>;

}  // namespace sluice::l7
