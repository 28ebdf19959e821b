// Any bytes as Envoy's bootstrap: an Error or a ProxyConfig, never a crash, a throw or a hang.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/proxy/envoy_bootstrap.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  sluice::is_envoy_bootstrap(text);
  const auto read = sluice::parse_envoy_bootstrap(text, "fuzz.yaml");
  // A refusal without words would tell an operator nothing.
  if (!read && read.error().message.empty()) __builtin_trap();
  // What was read runs parallel to what is to be done about it.
  if (read && read->config.care.size() != read->config.settings.clusters.size()) __builtin_trap();
  return 0;
}
