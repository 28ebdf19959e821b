#include "control/proxy/proxy_tls.h"

#include "control/config_duration.h"

namespace sluice {
namespace {

Result<std::string> any_text(const std::string& text) {
  return text;
}

void read_min_version(const ConfigSection& section, l7::TlsVersion& version) {
  section.choice("min_version", version, {{"1.2", l7::TlsVersion::kTls12}, {"1.3", l7::TlsVersion::kTls13}});
}

}  // namespace

void read_server_tls(const ConfigSection& section, l7::ListenerSettings& listener) {
  if (section.node() == nullptr) return;
  l7::TlsServerSettings& tls = listener.tls.emplace();
  for (const ConfigSection& item : section.sections("certificates")) {
    l7::TlsCertificateFiles& files = tls.certificates.emplace_back();
    item.value("certificate", files.certificate, any_text);
    item.value("key", files.key, any_text);
    item.value("ocsp_staple", files.ocsp_staple, any_text);
  }
  section.flag("refuse_unknown_names", tls.refuse_unknown_names);
  read_min_version(section, tls.min_version);
  section.value("ciphers", tls.ciphers, any_text);
  section.value("ciphersuites", tls.ciphersuites, any_text);
  section.choice("client_certificates", tls.client_certificates,
                 {{"off", l7::ClientCertificates::kNotAsked},
                  {"optional", l7::ClientCertificates::kOptional},
                  {"required", l7::ClientCertificates::kRequired}});
  section.value("client_ca", tls.client_ca, any_text);
  section.flag("session_tickets", tls.session_tickets);
  read_milliseconds(section, "handshake_timeout", tls.handshake_timeout);
  tls.protocols.clear();
  if (listener.http2_allowed) tls.protocols.emplace_back("h2");
  if (listener.http1_allowed) tls.protocols.emplace_back("http/1.1");
}

void read_client_tls(const ConfigSection& section, l7::ClusterSettings& cluster) {
  if (section.node() == nullptr) return;
  l7::TlsClientSettings& tls = cluster.tls.emplace();
  section.flag("verify", tls.verify);
  section.value("ca", tls.ca, any_text);
  section.value("server_name", tls.server_name, any_text);
  read_min_version(section, tls.min_version);
  section.value("certificate", tls.certificate, any_text);
  section.value("key", tls.key, any_text);
  tls.protocols = {cluster.protocol == l7::HttpVersion::kHttp2 ? "h2" : "http/1.1"};
}

}  // namespace sluice
