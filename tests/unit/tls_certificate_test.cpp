#include "dataplane/l7/tls_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/fsuid.h>
#include <sys/stat.h>

#include "tests/unit/tls_files.h"

namespace sluice::l7 {
namespace {

using std::chrono::hours;
using std::chrono::system_clock;
using test::CertificateWish;
using test::TestAuthority;
using test::TestFolder;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class TlsCertificateTest : public testing::Test {
 protected:
  std::string refusal(const TlsCertificateFiles& files) {
    const auto loaded = load_tls_certificate(files);
    return loaded ? "accepted" : loaded.error().message;
  }

  TestFolder folder;
  TestAuthority authority{folder, "authority"};
};

TEST_F(TlsCertificateTest, TellsNamesAndDates) {
  const auto files =
      authority.issue("site", {.alternatives = "DNS:www.example.com,DNS:*.example.org,IP:127.0.0.1"});
  const auto loaded = load_tls_certificate(files);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_THAT(loaded->names, ElementsAre("*.example.org", "www.example.com"));
  EXPECT_THAT(loaded->chain, IsEmpty());
  EXPECT_LT(loaded->not_before, system_clock::now());
  EXPECT_GT(loaded->not_after, system_clock::now() + hours(23));
  EXPECT_THAT(certificate_warnings(*loaded, system_clock::now()), IsEmpty());
}

TEST_F(TlsCertificateTest, WithoutAlternativeNamesTheCommonNameCounts) {
  const auto loaded = load_tls_certificate(authority.issue("site", {.common_name = "old.example.com"}));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_THAT(loaded->names, ElementsAre("old.example.com"));
}

TEST_F(TlsCertificateTest, ReadsTheChainBehindTheCertificate) {
  auto files = authority.issue("site", {});
  const std::string chain = test::text_of(files.certificate) + test::text_of(authority.file());
  files.certificate = folder.write("chain.pem", chain);
  const auto loaded = load_tls_certificate(files);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->chain.size(), 1u);
}

TEST_F(TlsCertificateTest, NamesAMissingFile) {
  auto files = authority.issue("site", {});
  files.certificate = folder.path("absent.pem");
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("certificate file " + files.certificate),
                                    HasSubstr("No such file or directory"), HasSubstr("correct the path")));
  files = authority.issue("site", {});
  files.key = folder.path("absent.key");
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("key file " + files.key), HasSubstr("No such file")));
}

TEST_F(TlsCertificateTest, NamesAFileThatMayNotBeRead) {
  const auto files = authority.issue("site", {});
  ASSERT_EQ(chmod(folder.path("").c_str(), 0755), 0);
  ASSERT_EQ(chmod(files.key.c_str(), 0600), 0);
  // As somebody else, for files only; root itself may read everything.
  const int before = setfsuid(65534);
  const std::string words = refusal(files);
  setfsuid(static_cast<uid_t>(before));
  if (before != 0) GTEST_SKIP() << "only root can be somebody else";
  EXPECT_THAT(words, AllOf(HasSubstr("key file " + files.key), HasSubstr("Permission denied"),
                           HasSubstr("let the user that the proxy runs as read it")));
}

TEST_F(TlsCertificateTest, NamesAFolderAndAFileThatIsTooLarge) {
  auto files = authority.issue("site", {});
  files.certificate = folder.path("");
  EXPECT_THAT(refusal(files), HasSubstr("Is a directory"));
  files.certificate = folder.write("large.pem", std::string((1 << 20) + 1, '\n'));
  EXPECT_THAT(refusal(files), HasSubstr("File too large"));
}

TEST_F(TlsCertificateTest, RefusesWhatIsNotPem) {
  auto files = authority.issue("site", {});
  const std::string good = files.certificate;
  files.certificate = folder.write("text.pem", "not a certificate\n");
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("certificate file " + files.certificate),
                                    HasSubstr("no certificate in PEM form")));
  files.certificate = folder.write("empty.pem", "");
  EXPECT_THAT(refusal(files), HasSubstr("no certificate in PEM form"));
  files.certificate = good;
  files.key = good;
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("key file " + good), HasSubstr("no private key in PEM form")));
}

TEST_F(TlsCertificateTest, RefusesADamagedChain) {
  auto files = authority.issue("site", {});
  const std::string leaf = test::text_of(files.certificate);
  files.certificate =
      folder.write("chain.pem", leaf + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_THAT(refusal(files), HasSubstr("certificate 2 of its chain is damaged"));
}

TEST_F(TlsCertificateTest, RefusesTheKeyOfAnotherCertificate) {
  auto files = authority.issue("site", {});
  files.key = authority.issue("other", {}).key;
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("key file " + files.key),
                                    HasSubstr("not the key of the certificate in " + files.certificate)));
  files.key = authority.issue("rsa", {.key = test::KeyKind::kRsa}).key;
  EXPECT_THAT(refusal(files), HasSubstr("not the key of the certificate"));
}

TEST_F(TlsCertificateTest, RefusesAKeyWithAPassphrase) {
  auto files = authority.issue("site", {});
  const BioHandle in(BIO_new_file(files.key.c_str(), "r"));
  const KeyHandle key(PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr));
  files.key = folder.path("locked.key");
  BioHandle out(BIO_new_file(files.key.c_str(), "w"));
  ASSERT_EQ(PEM_write_bio_PrivateKey(out.get(), key.get(), EVP_aes_128_cbc(),
                                     reinterpret_cast<const unsigned char*>("secret"), 6, nullptr, nullptr),
            1);
  out.reset();
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("key file " + files.key),
                                    HasSubstr("protected by a passphrase"), HasSubstr("openssl pkey")));
}

TEST_F(TlsCertificateTest, WarnsOfCertificatesOutOfTheirTime) {
  const auto expired =
      load_tls_certificate(authority.issue("old", {.from = -hours(48), .until = -hours(24)}));
  ASSERT_TRUE(expired);
  EXPECT_THAT(certificate_warnings(*expired, system_clock::now()),
              ElementsAre(AllOf(HasSubstr("old.pem: expired on 20"), HasSubstr("renew it and reload"))));
  EXPECT_THAT(certificate_warnings(*expired, system_clock::now() - hours(30)), IsEmpty());
  const auto early = load_tls_certificate(authority.issue("new", {.from = hours(24), .until = hours(48)}));
  ASSERT_TRUE(early);
  EXPECT_THAT(certificate_warnings(*early, system_clock::now()),
              ElementsAre(HasSubstr("new.pem: not valid before 20")));
}

TEST_F(TlsCertificateTest, ReadsAStaple) {
  auto files = authority.issue("site", {});
  files.ocsp_staple = authority.staple("site", files.certificate, V_OCSP_CERTSTATUS_GOOD, hours(24));
  const auto loaded = load_tls_certificate(files);
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(loaded->staple);
  EXPECT_EQ(loaded->staple->der, test::text_of(files.ocsp_staple));
  EXPECT_TRUE(loaded->staple->good);
  EXPECT_GT(loaded->staple->until, system_clock::now() + hours(23));
  EXPECT_THAT(certificate_warnings(*loaded, system_clock::now()), IsEmpty());
  EXPECT_THAT(
      certificate_warnings(*loaded, loaded->staple->until),
      testing::Contains(AllOf(HasSubstr("site.ocsp: out of date since"), HasSubstr("it is not sent"))));
}

TEST_F(TlsCertificateTest, WarnsOfARevokedCertificate) {
  auto files = authority.issue("site", {});
  files.ocsp_staple = authority.staple("site", files.certificate, V_OCSP_CERTSTATUS_REVOKED, hours(24));
  const auto loaded = load_tls_certificate(files);
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_THAT(certificate_warnings(*loaded, system_clock::now()),
              ElementsAre(HasSubstr("has revoked the certificate in " + files.certificate)));
}

TEST_F(TlsCertificateTest, RefusesAStapleThatIsNone) {
  auto files = authority.issue("site", {});
  files.ocsp_staple = folder.write("text.ocsp", "no staple");
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("OCSP staple file " + files.ocsp_staple),
                                    HasSubstr("not a successful OCSP response")));
  const auto other = authority.issue("other", {});
  files.ocsp_staple = authority.staple("other", other.certificate, V_OCSP_CERTSTATUS_GOOD, hours(24));
  EXPECT_THAT(refusal(files), HasSubstr("it is about another certificate"));
  files.ocsp_staple = folder.path("absent.ocsp");
  EXPECT_THAT(refusal(files), AllOf(HasSubstr("OCSP staple file"), HasSubstr("No such file")));
}

}  // namespace
}  // namespace sluice::l7
