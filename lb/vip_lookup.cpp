#include "lb/vip_lookup.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace sluice {

namespace {

AddressWords mask_of(Family family, int length) {
  const auto ones = family == Family::kIpv4 ? IpAddress::v4(255, 255, 255, 255) : [] {
    IpAddress::Bytes bytes;
    bytes.fill(0xff);
    return IpAddress::v6(bytes);
  }();
  return AddressWords::of(Prefix(ones, length).address());
}

AddressWords operator&(const AddressWords& a, const AddressWords& b) {
  return {a.high & b.high, a.low & b.low};
}

}  // namespace

AddressWords AddressWords::of(const IpAddress& address) {
  AddressWords words;
  if (address.is_v4()) {
    uint32_t raw = 0;
    std::memcpy(&raw, address.v4_bytes(), sizeof raw);
    words.low = raw;
  } else {
    std::memcpy(&words.high, address.bytes().data(), 8);
    std::memcpy(&words.low, address.bytes().data() + 8, 8);
  }
  return words;
}

const VipLookup::PrefixRules* VipLookup::Level::find(const AddressWords& address) const {
  const AddressWords key = address & mask;
  const uint64_t slot_mask = slots.size() - 1;
  for (uint64_t i = mix(key, 0);; ++i) {
    const PrefixRules& entry = slots[i & slot_mask];
    if (!entry.used) return nullptr;
    if (entry.address == key) return &entry;
  }
}

VipLookup::PrefixRules& VipLookup::Level::at(const AddressWords& address) {
  const uint64_t slot_mask = slots.size() - 1;
  for (uint64_t i = mix(address, 0);; ++i) {
    PrefixRules& entry = slots[i & slot_mask];
    if (entry.used && entry.address != address) continue;
    entry.used = true;
    entry.address = address;
    return entry;
  }
}

namespace {

bool is_exact(const Vip& vip) {
  return vip.address.is_host() && vip.ports.is_single();
}

}  // namespace

VipLookup::VipLookup(const std::vector<Vip>& vips) {
  // At most half full, and never without an empty entry, which ends a probe.
  exact_.resize(std::bit_ceil(std::max<size_t>(2 * vips.size(), 2)));
  exact_mask_ = exact_.size() - 1;

  const auto level_of = [&](std::vector<Level>& levels, const Prefix& prefix) -> Level& {
    const auto found = std::find_if(levels.begin(), levels.end(), [&](const Level& level) {
      return level.family == prefix.family() && level.length == prefix.length();
    });
    if (found != levels.end()) return *found;
    const auto place = std::find_if(levels.begin(), levels.end(),
                                    [&](const Level& level) { return level.length < prefix.length(); });
    return *levels.insert(place,
                          Level{prefix.family(), prefix.length(), mask_of(prefix.family(), prefix.length()),
                                std::vector<PrefixRules>(exact_.size())});
  };

  for (Index index = 0; index < vips.size(); ++index) {
    const Vip& vip = vips[index];
    const AddressWords words = AddressWords::of(vip.address.address());
    level_of(addresses_, vip.address).at(words);
    if (is_exact(vip)) {
      add_exact(vip, index);
    } else {
      level_of(levels_, vip.address)
          .at(words)
          .rules.push_back({static_cast<uint8_t>(vip.protocol), vip.ports, index});
    }
  }
}

void VipLookup::add_exact(const Vip& vip, Index index) {
  const AddressWords address = AddressWords::of(vip.address.address());
  const uint64_t service =
      service_word(vip.address.family(), static_cast<uint8_t>(vip.protocol), Be16(vip.ports.first).raw());
  for (uint64_t i = mix(address, service);; ++i) {
    Exact& entry = exact_[i & exact_mask_];
    if (entry.vip != kNone) {
      if (entry.address == address && entry.service == service) return;
      continue;
    }
    entry = {address, service, index};
    return;
  }
}

uint32_t VipLookup::longest_probe() const {
  uint64_t longest = 0;
  for (uint64_t at = 0; at < exact_.size(); ++at) {
    if (exact_[at].vip == kNone) continue;
    const uint64_t first = mix(exact_[at].address, exact_[at].service) & exact_mask_;
    longest = std::max(longest, ((at - first) & exact_mask_) + 1);
  }
  return static_cast<uint32_t>(longest);
}

VipLookup::Index VipLookup::find_in_prefixes(const ServiceKey& key) const {
  for (const Level& level : levels_) {
    if (level.family != key.family) continue;
    const PrefixRules* prefix = level.find(key.address);
    if (prefix == nullptr) continue;
    for (const Rule& rule : prefix->rules) {
      if (rule.protocol == key.protocol && rule.ports.contains(key.port.host())) return rule.vip;
    }
  }
  return kNone;
}

bool VipLookup::has_address(const AddressWords& address, Family family) const {
  return std::any_of(addresses_.begin(), addresses_.end(), [&](const Level& level) {
    return level.family == family && level.find(address) != nullptr;
  });
}

}  // namespace sluice
