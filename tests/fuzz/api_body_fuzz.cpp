// Any bytes as the body of a change by API: refused with words, or a document that the configuration's reader
// takes, and that comes back equal from the state file and from the API's own JSON.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "control/config.h"
#include "control/service_diff.h"
#include "control/service_edit.h"
#include "control/service_state.h"
#include "control/yaml_writer.h"

namespace {

using namespace sluice;

constexpr std::string_view kConfig = R"(
node: {name: lb1, cluster_seed: s}
ports: [{name: wan, af_xdp: eth0}]
tunnel: {source_ipv4: 192.0.2.1, source_ipv6: '2001:db8::1'}
vips:
  - {name: web, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}
pools:
  - name: web
    health: {kind: http}
    backends: [{name: b1, address: 10.0.0.1, weight: 10}, {address: 10.0.0.2}]
)";

Edited edit(uint8_t kind, YamlNode document, YamlNode body) {
  switch (kind % 7) {
    case 0:
      return add_service(std::move(document), {ServiceKind::kVip, "", ""}, std::move(body));
    case 1:
      return add_service(std::move(document), {ServiceKind::kBackend, "web", ""}, std::move(body));
    case 2:
      return put_service(std::move(document), {ServiceKind::kPool, "", "web"}, std::move(body));
    case 3:
      return patch_service(std::move(document), {ServiceKind::kPool, "", "web"}, body);
    case 4:
      return patch_service(std::move(document), {ServiceKind::kBackend, "web", "10.0.0.2"}, body);
    case 5:
      return patch_service(std::move(document), {ServiceKind::kVip, "", "web"}, body);
    default:
      return replace_services(body);
  }
}

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const YamlNode config = *parse_yaml(kConfig);
  if (size == 0) return 0;
  auto body = parse_yaml({reinterpret_cast<const char*>(data) + 1, size - 1});
  if (!body) {
    require(!body.error().message.empty());
    return 0;
  }
  const YamlNode before = services_of(config);
  const auto edited = edit(data[0], before, *std::move(body));
  if (!edited) {
    require(!edited.error().message.empty());
    return 0;
  }
  const auto taken = config_of(with_services(config, *edited), "fuzz.yaml");
  if (!taken) {
    require(!taken.error().message.empty());
    return 0;
  }
  for (const ServiceChange& change : diff_services(before, *edited)) {
    require(change.text().find('\n') == std::string::npos);
  }
  const auto state = parse_state(render_state({7, 8, *edited}));
  require(state && fingerprint(state->services) == fingerprint(*edited));
  const auto json = parse_yaml(to_json(*edited, "").dump());
  require(json.has_value());
  const auto again = config_of(with_services(config, *json), "fuzz.yaml");
  require(again && again->services == taken->services);
  return 0;
}
