#include "dataplane/bpf/decap_maps.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include "dataplane/bpf/per_cpu.h"
#include "dataplane/bpf/prefix_trie.h"

namespace sluice::bpf {
namespace {

constexpr uint32_t kOnlyEntry = 0;

struct OutcomeText {
  std::string_view name;
  std::string_view meaning;
};

constexpr std::array<OutcomeText, kDecapOutcomes> kOutcomes = {{
    {"decapsulated", "GRE header taken off, inner packet handed to the kernel"},
    {"not_gre", "to the kernel: not GRE"},
    {"fragment", "to the kernel: GRE in an outer IPv4 fragment"},
    {"unsupported",
     "to the kernel: GRE with checksum, routing or sequence number, of another version, or behind "
     "two VLAN tags (tc)"},
    {"not_vip", "to the kernel: GRE whose inner packet is not to a VIP given to attach"},
    {"other_key", "to the kernel: to a VIP, but without the GRE key given to attach"},
    {"malformed", "to the kernel: GRE cut short or with lengths that contradict each other"},
    {"bad_source", "dropped: to a VIP, but the outer source is not one given to attach"},
    {"bad_ecn",
     "dropped: congestion marked on the outer header that the inner sender cannot be told (RFC 6040)"},
    {"failed", "dropped: the kernel could not take the header off (out of memory)"},
}};

}  // namespace

Result<DecapMaps> DecapMaps::of(const Program& program) {
  DecapMaps maps;
  const std::pair<FileDescriptor*, std::string_view> places[] = {
      {&maps.config_, "decap_config"},     {&maps.vips4_, "decap_vips4"},
      {&maps.vips6_, "decap_vips6"},       {&maps.sources4_, "decap_sources4"},
      {&maps.sources6_, "decap_sources6"}, {&maps.vip_count_, "decap_vip_count"},
      {&maps.outcomes_, "decap_outcomes"},
  };
  for (const auto& [fd, name] : places) {
    auto map = map_of(program, name);
    if (!map) {
      return tl::unexpected(map.error());
    }
    *fd = std::move(*map);
  }
  return maps;
}

Result<decap_config> DecapMaps::config() const {
  decap_config config{};
  if (bpf_map_lookup_elem(config_.get(), &kOnlyEntry, &config) != 0) {
    return fail(explain_errno("cannot read the decapsulation settings", errno));
  }
  return config;
}

Result<void> DecapMaps::set_config(const decap_config& config) const {
  if (bpf_map_update_elem(config_.get(), &kOnlyEntry, &config, BPF_ANY) != 0) {
    return fail(explain_errno("cannot write the decapsulation settings", errno));
  }
  return {};
}

Result<bool> DecapMaps::made_clsact() const {
  return config().map([](const decap_config& config) { return config.made_clsact != 0; });
}

Result<void> DecapMaps::set_made_clsact(bool made) const {
  auto config = this->config();
  if (!config) {
    return tl::unexpected(config.error());
  }
  config->made_clsact = made;
  return set_config(*config);
}

Result<void> DecapMaps::apply_vips(const std::vector<Prefix>& wanted) const {
  const PrefixTries tries{vips4_.get(), vips6_.get()};
  auto present = tries.read();
  if (!present) {
    return tl::unexpected(present.error());
  }
  std::vector<bool> slot_taken(kDecapMaxVips);
  for (const Prefix& vip : *present) {
    if (auto slot = tries.value(vip); slot && *slot < slot_taken.size()) {
      slot_taken[*slot] = true;
    }
  }
  std::vector<Prefix> sorted(wanted);
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());

  const std::vector<decap_vip_counters> zero(static_cast<size_t>(libbpf_num_possible_cpus()));
  for (const Prefix& vip : sorted) {
    if (std::binary_search(present->begin(), present->end(), vip)) {
      continue;
    }
    auto free_slot = std::find(slot_taken.begin(), slot_taken.end(), false);
    if (free_slot == slot_taken.end()) {
      return fail(fmt::format("more than {} VIPs old and new; take off some first", kDecapMaxVips));
    }
    *free_slot = true;
    auto slot = static_cast<uint32_t>(free_slot - slot_taken.begin());
    if (bpf_map_update_elem(vip_count_.get(), &slot, zero.data(), BPF_ANY) != 0) {
      return fail(explain_errno("cannot clear a VIP's counters", errno));
    }
    if (auto ok = tries.set(vip, slot); !ok) {
      return ok;
    }
  }
  for (const Prefix& vip : *present) {
    if (!std::binary_search(sorted.begin(), sorted.end(), vip)) {
      if (auto ok = tries.erase(vip); !ok) {
        return ok;
      }
    }
  }
  return {};
}

Result<void> DecapMaps::apply(const DecapSettings& settings) const {
  auto config = this->config();
  if (!config) {
    return tl::unexpected(config.error());
  }
  config->check_key = settings.key.has_value();
  config->key = htonl(settings.key.value_or(0));
  config->check_source = !settings.sources.empty();
  const PrefixTries sources{sources4_.get(), sources6_.get()};

  // The list is right before it is asked for, and asked for no more before it is emptied.
  if (config->check_source) {
    auto ok = sources.replace(settings.sources, 1);
    return ok ? set_config(*config).and_then([&] { return apply_vips(settings.vips); }) : ok;
  }
  return set_config(*config).and_then([&] { return sources.replace(settings.sources, 1); }).and_then([&] {
    return apply_vips(settings.vips);
  });
}

Result<void> DecapMaps::read(DecapStatus& status) const {
  auto config = this->config();
  const PrefixTries vips{vips4_.get(), vips6_.get()};
  auto present = vips.read();
  auto sources = PrefixTries{sources4_.get(), sources6_.get()}.read();
  if (!config || !present || !sources) {
    return tl::unexpected(!config ? config.error() : !present ? present.error() : sources.error());
  }
  if (config->check_key) {
    status.key = ntohl(config->key);
  }
  status.sources = std::move(*sources);
  for (const Prefix& vip : *present) {
    auto slot = vips.value(vip);
    if (!slot) {
      return tl::unexpected(slot.error());
    }
    auto counters = sum_per_cpu<decap_vip_counters>(vip_count_.get(), *slot);
    if (!counters) {
      return tl::unexpected(counters.error());
    }
    status.vips.push_back({vip, counters->packets, counters->bytes});
  }
  for (uint32_t outcome = 0; outcome < kOutcomes.size(); outcome++) {
    auto frames = sum_per_cpu<uint64_t>(outcomes_.get(), outcome);
    if (!frames) {
      return tl::unexpected(frames.error());
    }
    status.counters.push_back({kOutcomes[outcome].name, kOutcomes[outcome].meaning, *frames});
  }
  return {};
}

}  // namespace sluice::bpf
