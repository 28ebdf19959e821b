// Any bytes as sluice-proxy's configuration file: an Error or a ProxyConfig, never a crash, a throw or a
// hang.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "control/proxy/proxy_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = sluice::parse_proxy_config({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  // A refusal without words would tell an operator nothing.
  if (!config && config.error().message.empty()) __builtin_trap();
  return 0;
}
