// Which VIP a packet belongs to: exact address, protocol and port first, then port ranges and prefixes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "lb/address.h"
#include "lb/byte_order.h"
#include "lb/model.h"

namespace sluice {

/// An address as two words, the form in which the hot path carries it: IPv6 in network order, IPv4 as
/// {0, address}. The family goes into the service word.
struct AddressWords {
  uint64_t high = 0;
  uint64_t low = 0;
  friend bool operator==(const AddressWords&, const AddressWords&) = default;

  static AddressWords of(const IpAddress& address);
};

/// The destination of a packet: what a VIP is looked up by.
struct ServiceKey {
  AddressWords address;
  Family family = Family::kIpv4;
  uint8_t protocol = 0;
  Be16 port;
};

/// Immutable after construction. Exact services cost one cache line in the usual case; ranges and prefixes
/// cost one more per prefix length in use, longest first.
class VipLookup {
 public:
  /// Number of a VIP in the list given to the constructor.
  using Index = uint32_t;
  static constexpr Index kNone = UINT32_MAX;

  VipLookup() : VipLookup(std::vector<Vip>{}) {}
  /// VIPs must not overlap on the same prefix and protocol (the config check sees to it); of two that do,
  /// the first wins.
  explicit VipLookup(const std::vector<Vip>& vips);

  /// The VIP of `key`, or kNone. The exact service wins over a port range, and a longer prefix over a
  /// shorter.
  [[gnu::always_inline]] Index find(const ServiceKey& key) const {
    const uint64_t service = service_word(key.family, key.protocol, key.port.raw());
    for (uint64_t i = mix(key.address, service);; ++i) {
      const Exact& entry = exact_[i & exact_mask_];
      if (entry.address == key.address && entry.service == service) return entry.vip;
      if (entry.vip == kNone) break;
    }
    return levels_.empty() ? kNone : find_in_prefixes(key);
  }

  /// Entries that the lookup of the worst-placed exact service looks at; 1 is the best.
  uint32_t longest_probe() const;

  /// Whether any VIP, of any protocol and port, has this address.
  bool has_address(const AddressWords& address, Family family) const;

 private:
  struct Exact {
    AddressWords address;
    uint64_t service = 0;
    Index vip = kNone;
    uint32_t padding = 0;
  };
  static_assert(sizeof(Exact) == 32, "two to a cache line");

  struct Rule {
    uint8_t protocol;
    PortRange ports;
    Index vip;
  };
  struct PrefixRules {
    AddressWords address;
    std::vector<Rule> rules;
    bool used = false;
  };
  /// All prefixes of one family and length: a small hash table.
  struct Level {
    Family family;
    int length;
    AddressWords mask;
    std::vector<PrefixRules> slots;

    const PrefixRules* find(const AddressWords& address) const;
    PrefixRules& at(const AddressWords& address);
  };

  static constexpr uint64_t service_word(Family family, uint8_t protocol, uint16_t raw_port) {
    return uint64_t{static_cast<uint8_t>(family)} << 32 | uint64_t{protocol} << 16 | raw_port;
  }
  static uint64_t mix(const AddressWords& address, uint64_t service) {
    // Not keyed: the keys are the operator's own VIPs, and a stranger's packet only probes. Three products
    // side by side. The top byte is the best mixed, and the only one that the last byte of an IPv6 address
    // reaches (words are in network order): swapped, it chooses among the low bits.
    const uint64_t x = address.high * 0x9e3779b97f4a7c15u + address.low * 0xd6e8feb86659fd93u +
                       service * 0xa0761d6478bd642fu;
    return __builtin_bswap64(x);
  }
  void add_exact(const Vip& vip, Index index);
  Index find_in_prefixes(const ServiceKey& key) const;

  std::vector<Exact> exact_;
  uint64_t exact_mask_ = 0;
  std::vector<Level> levels_;     ///< ranges and prefixes, longest prefix first
  std::vector<Level> addresses_;  ///< every VIP prefix, for has_address
};

}  // namespace sluice
