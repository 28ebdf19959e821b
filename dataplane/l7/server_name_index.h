// Which of several certificates is for a name. Linear in nothing: two hash lookups, however many there are.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace sluice::l7 {

class ServerNameIndex {
 public:
  /// `name` as in a certificate: "www.example.com", or "*.example.com" for one label in place of the star
  /// (RFC 6125 section 6.4.3). The first one to claim a name keeps it.
  void add(std::string_view name, size_t certificate);
  /// The certificate for a client's server name, in any case: one for just this name, else one by a
  /// wildcard.
  std::optional<size_t> find(std::string_view name) const;

 private:
  std::unordered_map<std::string, size_t> exact_;
  std::unordered_map<std::string, size_t> wildcard_;  // by what follows the star, with its dot
};

}  // namespace sluice::l7
