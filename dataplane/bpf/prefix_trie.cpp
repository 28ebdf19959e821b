#include "dataplane/bpf/prefix_trie.h"

#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "dataplane/bpf/attached_program.h"

namespace sluice::bpf {
namespace {

/// Either of the two key structs: the IPv4 one is a shorter one with the same beginning.
struct Key {
  uint32_t length = 0;
  std::array<uint8_t, 16> address{};
};
static_assert(sizeof(Key) == 20);

Key key_of(const Prefix& prefix) {
  Key key;
  key.length = static_cast<uint32_t>(prefix.length());
  if (prefix.family() == Family::kIpv4) {
    std::memcpy(key.address.data(), prefix.address().v4_bytes(), 4);
  } else {
    key.address = prefix.address().bytes();
  }
  return key;
}

Prefix prefix_of(const Key& key, Family family) {
  IpAddress address =
      family == Family::kIpv4 ? IpAddress::v4(key.address.data()) : IpAddress::v6(key.address);
  return Prefix(address, static_cast<int>(key.length));
}

Result<void> read_trie(int fd, Family family, std::vector<Prefix>& into) {
  std::optional<Key> last;
  Key next;
  while (bpf_map_get_next_key(fd, last ? &*last : nullptr, &next) == 0) {
    into.push_back(prefix_of(next, family));
    last = next;
  }
  if (errno != ENOENT) {
    return fail(explain_errno("cannot read a BPF prefix trie", errno));
  }
  return {};
}

int fd_for(const PrefixTries& tries, const Prefix& prefix) {
  return prefix.family() == Family::kIpv4 ? tries.ipv4_fd : tries.ipv6_fd;
}

}  // namespace

Result<std::vector<Prefix>> PrefixTries::read() const {
  std::vector<Prefix> prefixes;
  auto ok = read_trie(ipv4_fd, Family::kIpv4, prefixes);
  if (ok) {
    ok = read_trie(ipv6_fd, Family::kIpv6, prefixes);
  }
  if (!ok) {
    return tl::unexpected(ok.error());
  }
  std::sort(prefixes.begin(), prefixes.end());
  return prefixes;
}

Result<uint32_t> PrefixTries::value(const Prefix& prefix) const {
  Key key = key_of(prefix);
  uint32_t value = 0;
  // A lookup is a longest-prefix match: it answers with a shorter prefix's value if this one is not there.
  if (bpf_map_lookup_elem(fd_for(*this, prefix), &key, &value) != 0) {
    return fail(
        explain_errno(fmt::format("no entry for {} in a BPF prefix trie", prefix.to_string()), errno));
  }
  return value;
}

Result<void> PrefixTries::set(const Prefix& prefix, uint32_t value) const {
  Key key = key_of(prefix);
  if (bpf_map_update_elem(fd_for(*this, prefix), &key, &value, BPF_ANY) != 0) {
    return fail(explain_errno(fmt::format("cannot add {} to a BPF prefix trie", prefix.to_string()), errno));
  }
  return {};
}

Result<void> PrefixTries::erase(const Prefix& prefix) const {
  Key key = key_of(prefix);
  if (bpf_map_delete_elem(fd_for(*this, prefix), &key) != 0 && errno != ENOENT) {
    return fail(
        explain_errno(fmt::format("cannot remove {} from a BPF prefix trie", prefix.to_string()), errno));
  }
  return {};
}

Result<void> PrefixTries::replace(std::span<const Prefix> wanted, uint32_t value) const {
  auto present = read();
  if (!present) {
    return tl::unexpected(present.error());
  }
  std::vector<Prefix> sorted(wanted.begin(), wanted.end());
  std::sort(sorted.begin(), sorted.end());
  for (const Prefix& prefix : sorted) {
    if (auto ok = set(prefix, value); !ok) {
      return ok;
    }
  }
  for (const Prefix& prefix : *present) {
    if (!std::binary_search(sorted.begin(), sorted.end(), prefix)) {
      if (auto ok = erase(prefix); !ok) {
        return ok;
      }
    }
  }
  return {};
}

}  // namespace sluice::bpf
