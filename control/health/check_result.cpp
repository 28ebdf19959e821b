#include "control/health/check_result.h"

#include <string_view>

namespace sluice::control {

std::string printable(std::string_view text, size_t limit) {
  std::string line;
  for (const char c : text.substr(0, limit)) {
    if (c == '"') {
      line += '\'';
    } else {
      line += c >= ' ' && c != 0x7f ? c : '?';
    }
  }
  if (text.size() > limit) line += "...";
  return line;
}

}  // namespace sluice::control
