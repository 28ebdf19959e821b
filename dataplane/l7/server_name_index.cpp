#include "dataplane/l7/server_name_index.h"

namespace sluice::l7 {
namespace {

// Names are ASCII on the wire (RFC 6066 section 3); a final dot means the same name.
std::string canonical(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string lower(name);
  for (char& letter : lower) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return lower;
}

}  // namespace

void ServerNameIndex::add(std::string_view name, size_t certificate) {
  const std::string key = canonical(name);
  if (key.starts_with("*.")) {
    wildcard_.try_emplace(key.substr(1), certificate);
  } else {
    exact_.try_emplace(key, certificate);
  }
}

std::optional<size_t> ServerNameIndex::find(std::string_view name) const {
  const std::string key = canonical(name);
  if (const auto found = exact_.find(key); found != exact_.end()) return found->second;
  const size_t dot = key.find('.');
  if (dot == std::string::npos || dot == 0) return std::nullopt;
  if (const auto found = wildcard_.find(key.substr(dot)); found != wildcard_.end()) return found->second;
  return std::nullopt;
}

}  // namespace sluice::l7
