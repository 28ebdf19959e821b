#include "tests/unit/tls_files.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>

namespace sluice::l7::test {
namespace {

std::string text_of(BIO* bio) {
  char* letters = nullptr;
  const long size = BIO_get_mem_data(bio, &letters);
  return {letters, static_cast<size_t>(size)};
}

std::string pem(X509* certificate) {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  const BioHandle bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio.get());
}

void extend(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  if (extension == nullptr) std::abort();
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509Handle draft(const CertificateWish& wish, EVP_PKEY* key) {
  X509Handle certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  uint32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof(serial));
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), wish.from.count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), wish.until.count());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.common_name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate.get(), key);
  return certificate;
}

}  // namespace

TestAuthority::TestAuthority(const TestFolder& folder, const std::string& name)
    : folder_(folder), key_(EVP_EC_gen("P-256")) {
  CertificateWish wish;
  wish.common_name = name;
  wish.from = -std::chrono::hours(24 * 365);
  wish.until = std::chrono::hours(24 * 365);
  certificate_ = draft(wish, key_.get());
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  extend(certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(certificate_.get(), key_.get(), EVP_sha256());
  file_ = folder.write(name + "-ca.pem", pem(certificate_.get()));
}

TlsCertificateFiles TestAuthority::issue(const std::string& name, const CertificateWish& wish) const {
  const KeyHandle key(wish.key == KeyKind::kRsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  const X509Handle certificate = draft(wish, key.get());
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  if (!wish.alternatives.empty()) extend(certificate.get(), NID_subject_alt_name, wish.alternatives);
  X509_sign(certificate.get(), key_.get(), EVP_sha256());
  return {folder_.write(name + ".pem", pem(certificate.get())), folder_.write(name + ".key", pem(key.get())),
          ""};
}

std::string TestAuthority::staple(const std::string& name, const std::string& certificate, int status,
                                  std::chrono::seconds until) const {
  const BioHandle bio(BIO_new_file(certificate.c_str(), "r"));
  const X509Handle leaf(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  const OcspBasicHandle basic(OCSP_BASICRESP_new());
  OCSP_CERTID* id = OCSP_cert_to_id(EVP_sha1(), leaf.get(), certificate_.get());
  ASN1_TIME* now = X509_gmtime_adj(nullptr, -2 * 3600);
  ASN1_TIME* next = X509_gmtime_adj(nullptr, until.count());
  OCSP_basic_add1_status(basic.get(), id, status, 0, status == V_OCSP_CERTSTATUS_REVOKED ? now : nullptr, now,
                         next);
  OCSP_basic_sign(basic.get(), certificate_.get(), key_.get(), EVP_sha256(), nullptr, 0);
  const OcspResponseHandle response(OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic.get()));
  unsigned char* der = nullptr;
  const int size = i2d_OCSP_RESPONSE(response.get(), &der);
  const std::string content(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  OCSP_CERTID_free(id);
  ASN1_TIME_free(now);
  ASN1_TIME_free(next);
  return folder_.write(name + ".ocsp", content);
}

}  // namespace sluice::l7::test
