#include "lb/l7/tracestate.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr size_t kMaxKey = 256;
constexpr size_t kMaxTenant = 241;
constexpr size_t kMaxSystem = 14;
constexpr size_t kMaxValue = 256;

bool is_letter(char c) {
  return 'a' <= c && c <= 'z';
}

bool is_digit(char c) {
  return '0' <= c && c <= '9';
}

bool is_key_rest(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) || c == '_' || c == '-' || c == '*' || c == '/';
  });
}

// "rojo", or "fw529a3039@dt": a tenant of a system, whose names may begin with a digit.
bool is_key(std::string_view key) {
  const size_t at = key.find('@');
  if (at == std::string_view::npos)
    return !key.empty() && key.size() <= kMaxKey && is_letter(key.front()) && is_key_rest(key);
  const std::string_view tenant = key.substr(0, at);
  const std::string_view system = key.substr(at + 1);
  return !tenant.empty() && tenant.size() <= kMaxTenant &&
         (is_letter(tenant.front()) || is_digit(tenant.front())) && is_key_rest(tenant) && !system.empty() &&
         system.size() <= kMaxSystem && is_letter(system.front()) && is_key_rest(system);
}

bool is_value(std::string_view value) {
  return !value.empty() && value.size() <= kMaxValue && value.back() != ' ' &&
         std::ranges::all_of(value, [](char c) { return ' ' <= c && c <= '~' && c != ',' && c != '='; });
}

std::string_view without_space(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace

void TracestateCheck::add(std::string_view value) {
  while (good_ && members_ <= kMaxMembers) {
    const size_t comma = value.find(',');
    const std::string_view member = without_space(value.substr(0, comma));
    // Empty members are allowed, as others' software makes them.
    if (!member.empty()) {
      ++members_;
      const size_t equals = member.find('=');
      good_ = equals != std::string_view::npos && is_key(member.substr(0, equals)) &&
              is_value(member.substr(equals + 1));
    }
    if (comma == std::string_view::npos) return;
    value.remove_prefix(comma + 1);
  }
}

}  // namespace sluice
