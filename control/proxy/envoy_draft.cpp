#include "control/proxy/envoy_draft.h"

#include <algorithm>

namespace sluice {

bool read_envoy_name(const EnvoyMessage& message, std::string_view field, std::string& into) {
  constexpr size_t kMaxName = 255;
  std::string name;
  const YamlNode* found = message.text(field, name);
  if (found == nullptr) return false;
  // Labels of metrics and fields of log lines stand in quotes or without.
  const bool visible =
      std::ranges::all_of(name, [](char c) { return '!' <= c && c <= '~' && c != '"' && c != '\\'; });
  if (name.empty() || name.size() > kMaxName || !visible) {
    message.refuse(*found, field,
                   "accepted: 1 to 255 visible ASCII characters without quotes and backslashes");
    return false;
  }
  into = std::move(name);
  return true;
}

void read_envoy_cluster_name(const EnvoyMessage& message, std::string_view field, std::string& into,
                             EnvoyDraft& draft) {
  if (const YamlNode* node = message.text(field, into))
    draft.references.push_back({message, node, std::string(field)});
}

EnvoyAddress read_envoy_address(const EnvoyMessage& message) {
  EnvoyAddress address;
  const EnvoyMessage socket = message.message("socket_address", "SocketAddress");
  if (!socket.present()) {
    if (message.present()) message.require("socket_address");
    return address;
  }
  std::string protocol = "TCP";
  socket.choice<std::string>("protocol", protocol, {{"TCP", "TCP"}});
  const bool has_port =
      socket.require("port_value") != nullptr && socket.number("port_value", address.port, 1);
  if (socket.require("address") != nullptr && has_port) address.node = socket.text("address", address.host);
  return address;
}

}  // namespace sluice
