#include "dataplane/l7/tls_certificate.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "dataplane/l7/tls_failure.h"

namespace sluice::l7 {
namespace {

using std::chrono::system_clock;

constexpr size_t kMaxFile = 1 << 20;

const char* advice(int error) {
  if (error == ENOENT || error == ENOTDIR) return "correct the path or put the file there";
  if (error == EACCES || error == EPERM) return "let the user that the proxy runs as read it";
  return "look at the file and its disk";
}

BioHandle bio_of(const std::string& text) {
  return BioHandle(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

system_clock::time_point time_of(const ASN1_TIME* time) {
  tm parts{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &parts) != 1) return system_clock::time_point::max();
  return system_clock::from_time_t(timegm(&parts));
}

std::string date(system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(system_clock::to_time_t(time)));
}

std::string text_of(const ASN1_STRING* string) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
          static_cast<size_t>(ASN1_STRING_length(string))};
}

// Names for DNS; of a certificate without any, the common name, which is how old tools write it.
std::vector<std::string> names_of(X509* certificate) {
  std::vector<std::string> names;
  auto* general =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(general); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(general, i);
    if (name->type == GEN_DNS) names.push_back(text_of(name->d.dNSName));
  }
  const bool has_alternatives = general != nullptr;
  GENERAL_NAMES_free(general);
  const X509_NAME* subject = X509_get_subject_name(certificate);
  const int common = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (!has_alternatives && common >= 0) {
    names.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, common))));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> read_chain(const std::string& path, TlsCertificate& into) {
  const auto text = read_tls_file(path, "certificate");
  if (!text) return tl::unexpected(text.error());
  const BioHandle bio = bio_of(*text);
  into.leaf.reset(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (!into.leaf) {
    return fail(
        fmt::format("certificate file {}: no certificate in PEM form in it ({}); it begins with -----BEGIN "
                    "CERTIFICATE-----, "
                    "and `openssl x509 -inform der` makes it from DER",
                    path, take_openssl_words()));
  }
  while (X509* next = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) into.chain.emplace_back(next);
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return fail(
        fmt::format("certificate file {}: certificate {} of its chain is damaged ({}); put it there anew",
                    path, into.chain.size() + 2, take_openssl_words()));
  }
  ERR_clear_error();
  return {};
}

Result<void> read_key(const std::string& path, TlsCertificate& into) {
  auto text = read_tls_file(path, "key");
  if (!text) return tl::unexpected(text.error());
  const BioHandle bio = bio_of(*text);
  bool encrypted = false;
  const auto note_encryption = [](char* /*buffer*/, int /*size*/, int /*writing*/, void* noted) {
    *static_cast<bool*>(noted) = true;
    return -1;
  };
  into.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, note_encryption, &encrypted));
  OPENSSL_cleanse(text->data(), text->size());
  if (into.key) return {};
  const std::string words = take_openssl_words();
  if (encrypted) {
    return fail(
        fmt::format("key file {}: protected by a passphrase, which nobody can type in; `openssl pkey -in {}` "
                    "takes it off",
                    path, path));
  }
  return fail(fmt::format(
      "key file {}: no private key in PEM form in it ({}); it begins with -----BEGIN PRIVATE KEY-----", path,
      words));
}

Result<void> read_staple(const std::string& path, TlsCertificate& into) {
  auto der = read_tls_file(path, "OCSP staple");
  if (!der) return tl::unexpected(der.error());
  const auto* bytes = reinterpret_cast<const unsigned char*>(der->data());
  const OcspResponseHandle response(d2i_OCSP_RESPONSE(nullptr, &bytes, static_cast<long>(der->size())));
  if (!response || OCSP_response_status(response.get()) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
    ERR_clear_error();
    return fail(fmt::format(
        "OCSP staple file {}: not a successful OCSP response in DER form; `openssl ocsp -respout` writes one",
        path));
  }
  const OcspBasicHandle basic(OCSP_response_get1_basic(response.get()));
  const ASN1_INTEGER* wanted = X509_get0_serialNumber(into.leaf.get());
  for (int i = 0; basic && i < OCSP_resp_count(basic.get()); ++i) {
    OCSP_SINGLERESP* single = OCSP_resp_get0(basic.get(), i);
    ASN1_INTEGER* serial = nullptr;
    OCSP_id_get0_info(nullptr, nullptr, nullptr, &serial,
                      const_cast<OCSP_CERTID*>(OCSP_SINGLERESP_get0_id(single)));
    if (serial == nullptr || ASN1_INTEGER_cmp(serial, wanted) != 0) continue;
    ASN1_GENERALIZEDTIME* next_update = nullptr;
    const int status = OCSP_single_get0_status(single, nullptr, nullptr, nullptr, &next_update);
    into.staple = OcspStaple{*std::move(der), time_of(next_update), status == V_OCSP_CERTSTATUS_GOOD};
    return {};
  }
  ERR_clear_error();
  return fail(
      fmt::format("OCSP staple file {}: it is about another certificate than the one in {}; fetch it anew",
                  path, into.files.certificate));
}

}  // namespace

Result<std::string> read_tls_file(const std::string& path, const char* what) {
  const auto refuse = [&](int error) {
    return fail(fmt::format("{} file {}: {}; {}", what, path, std::strerror(error), advice(error)));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return refuse(errno);
  struct stat about {};
  std::string content;
  int error = fstat(fd, &about) != 0 ? errno : 0;
  if (error == 0 && !S_ISREG(about.st_mode)) error = S_ISDIR(about.st_mode) ? EISDIR : EINVAL;
  if (error == 0 && about.st_size > static_cast<off_t>(kMaxFile)) error = EFBIG;
  if (error == 0) {
    content.resize(static_cast<size_t>(about.st_size));
    const ssize_t got = pread(fd, content.data(), content.size(), 0);
    if (got < 0) error = errno;
    content.resize(got < 0 ? 0 : static_cast<size_t>(got));
  }
  close(fd);
  if (error != 0) return refuse(error);
  return content;
}

Result<TlsCertificate> load_tls_certificate(const TlsCertificateFiles& files) {
  TlsCertificate certificate;
  certificate.files = files;
  ERR_clear_error();
  if (auto read = read_chain(files.certificate, certificate); !read) return tl::unexpected(read.error());
  if (auto read = read_key(files.key, certificate); !read) return tl::unexpected(read.error());
  if (X509_check_private_key(certificate.leaf.get(), certificate.key.get()) != 1) {
    ERR_clear_error();
    return fail(
        fmt::format("key file {}: not the key of the certificate in {}; name the two that were made together "
                    "(and in that file "
                    "the server's own certificate comes first, its chain behind it)",
                    files.key, files.certificate));
  }
  certificate.names = names_of(certificate.leaf.get());
  certificate.not_before = time_of(X509_get0_notBefore(certificate.leaf.get()));
  certificate.not_after = time_of(X509_get0_notAfter(certificate.leaf.get()));
  if (!files.ocsp_staple.empty()) {
    if (auto read = read_staple(files.ocsp_staple, certificate); !read) return tl::unexpected(read.error());
  }
  return certificate;
}

std::vector<std::string> certificate_warnings(const TlsCertificate& certificate,
                                              system_clock::time_point now) {
  std::vector<std::string> warnings;
  const TlsCertificateFiles& files = certificate.files;
  if (now >= certificate.not_after) {
    warnings.push_back(
        fmt::format("certificate file {}: expired on {}, peers will refuse it; renew it and reload",
                    files.certificate, date(certificate.not_after)));
  }
  if (now < certificate.not_before) {
    warnings.push_back(fmt::format(
        "certificate file {}: not valid before {}, peers will refuse it; is this machine's clock right?",
        files.certificate, date(certificate.not_before)));
  }
  if (certificate.staple && !certificate.staple->good) {
    warnings.push_back(
        fmt::format("OCSP staple file {}: its authority has revoked the certificate in {}; get another one",
                    files.ocsp_staple, files.certificate));
  }
  if (certificate.staple && now >= certificate.staple->until) {
    warnings.push_back(
        fmt::format("OCSP staple file {}: out of date since {}, it is not sent; renew it and reload",
                    files.ocsp_staple, date(certificate.staple->until)));
  }
  return warnings;
}

}  // namespace sluice::l7
