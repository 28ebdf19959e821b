#include "control/proxy/envoy_tls.h"

namespace sluice {
namespace {

constexpr std::string_view kPackage = "envoy.extensions.transport_sockets.tls.v3";

std::string read_file_name(const EnvoyMessage& message, std::string_view field) {
  std::string name;
  message.message(field, "DataSource").text("filename", name);
  return name;
}

std::string joined_texts(const EnvoyMessage& message, std::string_view field) {
  std::string text;
  for (const YamlNode* item : message.texts(field)) text += (text.empty() ? "" : ":") + item->text;
  return text;
}

/// What both sides have: versions and ciphers of TLS 1.2.
void read_params(const EnvoyMessage& params, l7::TlsVersion& least, std::string& ciphers) {
  using l7::TlsVersion;
  params.choice(
      "tls_minimum_protocol_version", least,
      {{"TLS_AUTO", TlsVersion::kTls12}, {"TLSv1_2", TlsVersion::kTls12}, {"TLSv1_3", TlsVersion::kTls13}});
  bool newest = true;
  params.choice("tls_maximum_protocol_version", newest, {{"TLS_AUTO", true}, {"TLSv1_3", true}});
  ciphers = joined_texts(params, "cipher_suites");
}

}  // namespace

void read_envoy_server_tls(const EnvoyMessage& chain, l7::ListenerSettings& listener) {
  const EnvoyMessage socket = chain.message("transport_socket", "TransportSocket");
  if (!socket.present() || socket.require("typed_config") == nullptr) return;
  const EnvoyMessage context = socket.typed("typed_config", kPackage, "DownstreamTlsContext");
  const EnvoyMessage common = context.message("common_tls_context", "CommonTlsContext");
  l7::TlsServerSettings& tls = listener.tls.emplace();
  const auto certificates = common.messages("tls_certificates", "TlsCertificate");
  for (const EnvoyMessage& certificate : certificates) {
    tls.certificates.push_back({read_file_name(certificate, "certificate_chain"),
                                read_file_name(certificate, "private_key"),
                                read_file_name(certificate, "ocsp_staple")});
  }
  if (certificates.empty() && common.present()) common.require("tls_certificates");
  read_params(common.message("tls_params", "TlsParameters"), tls.min_version, tls.ciphers);
  const EnvoyMessage validation = common.message("validation_context", "CertificateValidationContext");
  tls.client_ca = read_file_name(validation, "trusted_ca");
  for (const EnvoyMessage& name :
       validation.messages("match_typed_subject_alt_names", "SubjectAltNameMatcher"))
    name.report(*name.node(), {},
                "not supported: clients' certificates are checked for their authority only");
  bool required = false;
  context.flag("require_client_certificate", required);
  if (!tls.client_ca.empty()) {
    tls.client_certificates =
        required ? l7::ClientCertificates::kRequired : l7::ClientCertificates::kOptional;
  } else if (required) {
    context.report(*context.node(), "require_client_certificate",
                   "found without validation_context.trusted_ca; accepted: beside it");
  }
  bool no_tickets = false;
  context.flag("disable_stateless_session_resumption", no_tickets);
  tls.session_tickets = !no_tickets;
  if (const auto names = common.texts("alpn_protocols"); !names.empty()) {
    bool http2 = false;
    bool http1 = false;
    for (const YamlNode* name : names) {
      http2 |= name->text == "h2";
      http1 |= name->text == "http/1.1";
      if (name->text != "h2" && name->text != "http/1.1")
        common.refuse(*name, "alpn_protocols", "accepted: h2, http/1.1");
    }
    listener.http2_allowed &= http2;
    listener.http1_allowed &= http1;
  }
  tls.protocols.clear();
  if (listener.http2_allowed) tls.protocols.emplace_back("h2");
  if (listener.http1_allowed) tls.protocols.emplace_back("http/1.1");
}

void read_envoy_client_tls(const EnvoyMessage& cluster, l7::ClusterSettings& settings) {
  const EnvoyMessage socket = cluster.message("transport_socket", "TransportSocket");
  if (!socket.present() || socket.require("typed_config") == nullptr) return;
  const EnvoyMessage context = socket.typed("typed_config", kPackage, "UpstreamTlsContext");
  const EnvoyMessage common = context.message("common_tls_context", "CommonTlsContext");
  l7::TlsClientSettings& tls = settings.tls.emplace();
  tls.protocols = {settings.protocol == l7::HttpVersion::kHttp2 ? "h2" : "http/1.1"};
  context.text("sni", tls.server_name);
  read_params(common.message("tls_params", "TlsParameters"), tls.min_version, tls.ciphers);
  const auto certificates = common.messages("tls_certificates", "TlsCertificate");
  for (const EnvoyMessage& certificate : certificates) {
    tls.certificate = read_file_name(certificate, "certificate_chain");
    tls.key = read_file_name(certificate, "private_key");
    if (certificate.find("ocsp_staple") != nullptr)
      certificate.report(*certificate.node(), "ocsp_staple", "not supported towards endpoints");
    if (&certificate != &certificates.front())
      certificate.report(*certificate.node(), {},
                         "found a second certificate; accepted: one towards endpoints");
  }
  const EnvoyMessage validation = common.message("validation_context", "CertificateValidationContext");
  tls.ca = read_file_name(validation, "trusted_ca");
  tls.verify = !tls.ca.empty();
  for (const EnvoyMessage& name :
       validation.messages("match_typed_subject_alt_names", "SubjectAltNameMatcher")) {
    std::string type;
    name.choice<std::string>("san_type", type, {{"DNS", "DNS"}});
    std::string wanted;
    name.message("matcher", "StringMatcher").text("exact", wanted);
    if (wanted.empty() || wanted != tls.server_name)
      name.report(*name.node(), {}, "not supported: accepted: one exact DNS name, the one of sni");
  }
  for (const YamlNode* name : common.texts("alpn_protocols")) {
    if (name->text != tls.protocols.front())
      common.refuse(*name, "alpn_protocols",
                    "accepted: " + tls.protocols.front() + ", the cluster's protocol");
  }
}

}  // namespace sluice
