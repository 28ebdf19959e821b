#include "dataplane/l4/capabilities.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>

#include <array>
#include <fstream>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::l4 {

std::string missing_capabilities() {
  constexpr std::array<std::pair<unsigned, std::string_view>, 4> kNeeded = {
      {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
       {CAP_NET_RAW, "CAP_NET_RAW"},
       {CAP_IPC_LOCK, "CAP_IPC_LOCK"},
       {CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}}};
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word && word != "CapEff:") {
  }
  uint64_t effective = 0;
  if (!(status >> std::hex >> effective)) return "";
  std::vector<std::string_view> missing;
  for (const auto& [bit, name] : kNeeded) {
    if ((effective >> bit & 1) == 0) missing.push_back(name);
  }
  if (missing.empty()) return "";
  return fmt::format("; sluiced lacks {}: start it as root, or with these capabilities",
                     fmt::join(missing, ", "));
}

}  // namespace sluice::l4
