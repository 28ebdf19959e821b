#include "control/proxy/proxy_listeners.h"

#include "control/config_duration.h"
#include "control/config_text.h"
#include "control/proxy/proxy_access_log.h"
#include "control/proxy/proxy_routes.h"
#include "control/proxy/proxy_tls.h"
#include "control/proxy/proxy_tracing.h"

namespace sluice {
namespace {

using l7::ListenerSettings;

void read_protocols(const ConfigSection& section, ListenerSettings& listener) {
  const auto items = section.scalars("protocols");
  if (!items) return;
  listener.http1_allowed = listener.http2_allowed = false;
  for (const YamlNode* item : *items) {
    if (item->text == "http1") {
      listener.http1_allowed = true;
    } else if (item->text == "http2") {
      listener.http2_allowed = true;
    } else {
      section.refuse(*item, "protocols");
    }
  }
  if (items->empty()) section.refuse(*section.find("protocols"), "protocols", "empty");
}

void read_where_to(const ConfigSection& section, ListenerSettings& listener, ProxyDraft& draft) {
  const YamlNode* hosts = section.find("hosts");
  std::string cluster;
  if (const YamlNode* node = section.value("cluster", cluster, parse_name)) {
    draft.references.push_back({section, node});
    listener.routes = everything_to(cluster);
    if (hosts != nullptr)
      section.report(*hosts, "hosts", "found beside cluster; accepted: one of cluster and hosts");
  } else if (hosts != nullptr) {
    listener.routes = read_routes(section, draft.references);
  } else if (section.node() != nullptr && section.find("cluster") == nullptr) {
    section.report(*section.node(), {},
                   "found neither cluster nor hosts; accepted: one of cluster and hosts");
  }
}

void read_account(const ConfigSection& section, std::string_view key, int32_t& limit) {
  auto number = static_cast<uint32_t>(limit);
  section.number(key, number);
  limit = static_cast<int32_t>(number);
}

}  // namespace

void read_listener(const ConfigSection& section, ProxyDraft& draft) {
  ListenerSettings& listener = draft.config.settings.listeners.emplace_back();
  const YamlNode* name = section.value("name", listener.name, parse_name);
  section.value("address", listener.address, parse_address);
  section.number("port", listener.port);
  read_protocols(section, listener);
  section.flag("forwarded_for", listener.forwarded_for);
  section.flag("normalize_path", listener.paths.normalize);
  section.flag("merge_slashes", listener.paths.merge_slashes);
  section.choice("escaped_slashes", listener.paths.escaped_slashes,
                 {{"keep", EscapedSlashes::kKeep}, {"refuse", EscapedSlashes::kRefuse}});
  section.number("max_concurrent_streams", listener.http2.max_concurrent_streams);
  section.number("max_header_bytes", listener.http2.headers.list_size);
  section.number("max_header_fields", listener.http2.headers.fields);
  section.number("stream_window", listener.http2.stream_window);
  section.choice("malformed_message", listener.http2.malformed_ends_connection,
                 {{"stream", false}, {"connection", true}});
  section.number("max_clients", listener.max_clients);
  section.number("max_client_memory", listener.max_client_memory);
  read_milliseconds(section, "max_client_age", listener.max_client_age);
  section.number("max_client_requests", listener.max_client_requests);
  read_milliseconds(section, "keepalive_timeout", listener.keepalive_timeout);
  read_milliseconds(section, "header_timeout", listener.header_timeout);
  read_milliseconds(section, "stall_timeout", listener.stall_timeout);
  read_account(section, "abuse_limit", listener.http2.abuse_limit);
  read_account(section, "cancel_limit", listener.http2.cancel_limit);
  section.flag("websocket", listener.http1.websocket);
  section.value("health_path", listener.health_path, [](const std::string& text) -> Result<std::string> {
    return text.starts_with('/') ? Result<std::string>(text) : fail("");
  });
  listener.access_log = section.find("access_log") == nullptr
                            ? draft.access_log
                            : read_access_log(section.section("access_log"));
  read_sample_ratio(section, "trace_percent", listener.trace_sample);
  read_server_tls(section.section("tls"), listener);
  listener.http2.extended_connect = listener.http1.websocket;
  listener.http1.headers = listener.http2.headers;
  listener.http1.stream_window = listener.http2.stream_window;
  listener.http1.secure = listener.tls.has_value();
  read_where_to(section, listener, draft);
  draft.listeners.push_back({section, name});
}

}  // namespace sluice
