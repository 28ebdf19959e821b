#include "lb/l7/dns_records.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>

namespace sluice {
namespace {

// What a record of weight 1 has where one of weight 0 stands beside it.
constexpr uint32_t kMostScale = 100;

bool is_usable(const IpAddress& address) {
  return !address.is_unspecified() && !address.is_multicast() && address != IpAddress::v4(255, 255, 255, 255);
}

std::vector<IpAddress> usable(std::span<const IpAddress> addresses) {
  std::vector<IpAddress> kept;
  std::ranges::copy_if(addresses, std::back_inserter(kept), is_usable);
  std::ranges::sort(kept);
  const auto again = std::ranges::unique(kept);
  kept.erase(again.begin(), again.end());
  return kept;
}

/// Several families of one name, while they are put together.
struct Merge {
  std::optional<std::chrono::seconds> ttl;
  bool failed = false;
  bool found = false;
  std::string error;

  std::vector<IpAddress> take(const DnsAnswer* answer, const std::vector<IpAddress>& last) {
    if (answer == nullptr) return {};
    if (answer->kind != DnsAnswerKind::kRecords && error.empty()) error = answer->error;
    if (answer->kind == DnsAnswerKind::kFailed) {
      if (!failed) error = answer->error;
      failed = true;
      return last;
    }
    ttl = std::min(ttl.value_or(answer->ttl), answer->ttl);
    std::vector<IpAddress> addresses = usable(answer->addresses);
    if (answer->kind == DnsAnswerKind::kRecords && addresses.empty() && error.empty())
      error = "its addresses are none that a server can have";
    found = found || !addresses.empty();
    return addresses;
  }
};

/// What each address of a target gets, for all targets of one priority.
void share_weights(std::span<const SrvTarget* const> targets, std::vector<uint32_t>& weights) {
  uint32_t largest = 0;
  bool has_zero = false;
  bool is_shared = false;
  for (const SrvTarget* target : targets) {
    largest = std::max<uint32_t>(largest, target->record.weight);
    has_zero = has_zero || target->record.weight == 0;
    is_shared = is_shared || target->addresses.size() > 1;
  }
  const bool all_zero = largest == 0;
  // Whole numbers: without room below them, thirds of 1 would all be 1.
  const uint32_t scale =
      has_zero || is_shared ? std::clamp(kMaxEndpointWeight / std::max(largest, 1u), 1u, kMostScale) : 1;
  for (const SrvTarget* target : targets) {
    const uint32_t weight = all_zero ? scale : target->record.weight * scale;
    const auto among = static_cast<uint32_t>(std::max<size_t>(target->addresses.size(), 1));
    weights.push_back(std::max((weight + among / 2) / among, 1u));
  }
}

}  // namespace

NameOutcome merge_answers(const NameAddresses& last, const DnsAnswer* v4, const DnsAnswer* v6,
                          bool keep_when_empty) {
  Merge merge;
  NameOutcome outcome;
  outcome.addresses.v4 = merge.take(v4, last.v4);
  outcome.addresses.v6 = merge.take(v6, last.v6);
  outcome.ttl = merge.ttl.value_or(std::chrono::seconds(0));
  outcome.kind = merge.failed  ? DnsAnswerKind::kFailed
                 : merge.found ? DnsAnswerKind::kRecords
                               : DnsAnswerKind::kEmpty;
  if (outcome.kind != DnsAnswerKind::kRecords) outcome.error = std::move(merge.error);
  // Also when one family failed: what the other one lost was all that it said.
  if (!merge.found && outcome.addresses.empty() && keep_when_empty) outcome.addresses = last;
  return outcome;
}

std::vector<Endpoint> endpoints_at(const Endpoint& like, const NameAddresses& addresses) {
  std::vector<Endpoint> endpoints;
  for (const auto* family : {&addresses.v4, &addresses.v6}) {
    for (const IpAddress& address : *family) {
      endpoints.push_back(like);
      endpoints.back().id.address = address;
    }
  }
  return endpoints;
}

std::vector<Endpoint> endpoints_of_service(const Endpoint& like, std::span<const SrvTarget> targets) {
  std::map<uint16_t, std::vector<const SrvTarget*>> by_priority;
  for (const SrvTarget& target : targets) by_priority[target.record.priority].push_back(&target);
  std::vector<Endpoint> endpoints;
  uint32_t priority = like.priority;
  for (const auto& [unused, level] : by_priority) {
    std::vector<uint32_t> weights;
    share_weights(level, weights);
    for (size_t i = 0; i < level.size(); ++i) {
      Endpoint endpoint = like;
      endpoint.id.port = level[i]->record.port;
      endpoint.weight = weights[i];
      endpoint.priority = std::min(priority, kMaxEndpointPriority);
      std::ranges::move(endpoints_at(endpoint, level[i]->addresses), std::back_inserter(endpoints));
    }
    ++priority;
  }
  return endpoints;
}

std::vector<Endpoint> join_endpoints(std::vector<Endpoint> endpoints) {
  const auto order = [](const Endpoint& a, const Endpoint& b) {
    return a.id != b.id ? a.id < b.id : a.priority < b.priority;
  };
  std::ranges::stable_sort(endpoints, order);
  std::vector<Endpoint> joined;
  for (Endpoint& endpoint : endpoints) {
    if (joined.empty() || joined.back().id != endpoint.id) {
      joined.push_back(std::move(endpoint));
    } else if (joined.back().priority == endpoint.priority) {
      joined.back().weight = std::min(joined.back().weight + endpoint.weight, kMaxEndpointWeight);
    }
  }
  return joined;
}

EndpointChanges endpoint_changes(std::span<const Endpoint> before, std::span<const Endpoint> after) {
  const auto ids = [](std::span<const Endpoint> endpoints) {
    std::vector<EndpointId> list;
    for (const Endpoint& endpoint : endpoints) list.push_back(endpoint.id);
    return list;
  };
  EndpointChanges changes;
  const auto old_ids = ids(before);
  const auto new_ids = ids(after);
  std::ranges::set_difference(new_ids, old_ids, std::back_inserter(changes.added));
  std::ranges::set_difference(old_ids, new_ids, std::back_inserter(changes.removed));
  return changes;
}

}  // namespace sluice
