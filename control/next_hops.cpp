#include "control/next_hops.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace sluice::control {
namespace {

/// Neighbours that went stale together are confirmed over some time, not in one burst.
std::chrono::milliseconds spread(const NeighbourKey& key, std::chrono::milliseconds limit) {
  constexpr size_t kSteps = 64;
  const auto half = limit / 2;
  return half + half * static_cast<int>(std::hash<NeighbourKey>{}(key) % kSteps) / static_cast<int>(kSteps);
}

bool usable(const Neighbour* neighbour) {
  return neighbour != nullptr && neighbour->is_usable();
}

std::optional<MacAddress> usable_mac(const Neighbour* neighbour) {
  return usable(neighbour) ? neighbour->mac : std::nullopt;
}

bool same_answer(const NextHopDecision& a, const NextHopDecision& b) {
  if (a.next_hop.has_value() != b.next_hop.has_value()) {
    return false;
  }
  return a.next_hop ? *a.next_hop == *b.next_hop : a.next_hop.error().message == b.next_hop.error().message;
}

}  // namespace

NextHops::NextHops(boost::asio::io_context& io, std::vector<std::string> port_interfaces,
                   std::function<void()> on_change, NextHopTiming timing)
    : io_(io),
      ports_(std::move(port_interfaces)),
      on_change_(std::move(on_change)),
      timing_(timing),
      tables_(io, {.on_links = [this] { on_any_route(); },
                   .on_neighbour = [this](const NeighbourKey& key,
                                          const Neighbour* before) { on_neighbour(key, before); },
                   .on_route = [this](const Prefix& destination) { on_route_change(destination); },
                   .on_any_route = [this] { on_any_route(); }}),
      requests_(
          io, {.on_route = [this](const IpAddress& address, const Route& route) { on_route(address, route); },
               .on_neighbour_used = [this](const NeighbourKey& key,
                                           int error) { on_neighbour_used(key, error); }}),
      settle_timer_(io),
      tick_timer_(io) {}

Result<void> NextHops::start() {
  if (auto started = tables_.start(); !started) {
    return started;
  }
  if (auto started = requests_.start(); !started) {
    return started;
  }
  wait_for_tick();
  return {};
}

void NextHops::stop() {
  settle_timer_.cancel();
  tick_timer_.cancel();
  tables_.stop();
  requests_.stop();
}

void NextHops::track(const std::vector<IpAddress>& backends) {
  const std::unordered_set<IpAddress> wanted(backends.begin(), backends.end());
  for (auto entry = destinations_.begin(); entry != destinations_.end();) {
    if (wanted.contains(entry->first)) {
      ++entry;
      continue;
    }
    use(entry->second, std::nullopt);
    entry = destinations_.erase(entry);
  }
  for (const IpAddress& address : wanted) {
    if (destinations_.try_emplace(address).second) {
      requests_.look_up(address);
    }
  }
  schedule_settling();
}

Result<NextHop> NextHops::find(const IpAddress& backend) const {
  const auto found = destinations_.find(backend);
  if (found == destinations_.end()) {
    return fail(fmt::format("{} is not followed", backend.to_string()));
  }
  return found->second.decision.next_hop;
}

bool NextHops::settled() const {
  return tables_.complete() && requests_.idle() && !settling_ && waiting_ == 0;
}

bool NextHops::run_until_settled(std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (!settled() && !io_.stopped() && Clock::now() < deadline) {
    io_.run_one_until(deadline);
  }
  return settled();
}

void NextHops::on_any_route() {
  all_changed_ = true;
  schedule_settling();
}

void NextHops::on_route_change(const Prefix& prefix) {
  for (auto entry = destinations_.lower_bound(prefix.address());
       entry != destinations_.end() && prefix.contains(entry->first); ++entry) {
    requests_.look_up(entry->first);
  }
}

void NextHops::on_route(const IpAddress& address, const Route& route) {
  const auto found = destinations_.find(address);
  if (found == destinations_.end() || found->second.route == route) {
    return;
  }
  found->second.route = route;
  found->second.changed = true;
  schedule_settling();
}

void NextHops::on_neighbour(const NeighbourKey& key, const Neighbour* before) {
  const auto found = uses_.find(key);
  if (found == uses_.end()) {
    return;
  }
  Use& use = found->second;
  const Neighbour* now = tables_.neighbour(key);
  const bool was_unanswered = use.resolution.unanswered;
  if (usable(now)) {
    use.resolution = {};
  } else if (now != nullptr && now->state == NeighbourState::kFailed) {
    use.resolution.unanswered = true;
  }
  plan(key, use, usable(before));
  // Most of what the kernel reports is a good neighbour growing stale and being confirmed.
  if (usable_mac(before) != usable_mac(now) || use.resolution.unanswered != was_unanswered) {
    changed_neighbours_.insert(key);
    schedule_settling();
  }
}

void NextHops::on_neighbour_used(const NeighbourKey& key, int error) {
  const auto found = uses_.find(key);
  if (found == uses_.end() || found->second.resolution.error == error) {
    return;
  }
  found->second.resolution.error = error;
  changed_neighbours_.insert(key);
  schedule_settling();
}

void NextHops::schedule_settling() {
  if (std::exchange(settling_, true)) {
    return;
  }
  settle_timer_.expires_after(timing_.coalesce);
  settle_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) {
      settle();
    }
  });
}

void NextHops::settle() {
  settling_ = false;
  if (!tables_.complete()) {
    return;  // their completion settles again
  }
  const bool all = std::exchange(all_changed_, false);
  if (all) {
    for (const auto& [address, destination] : destinations_) {
      requests_.look_up(address);
    }
  }
  const auto changed_neighbours = std::exchange(changed_neighbours_, {});
  bool changed = false;
  waiting_ = 0;
  for (auto& [address, destination] : destinations_) {
    const bool affected =
        all || destination.changed || (destination.via && changed_neighbours.contains(*destination.via));
    if (affected && destination.route) {
      changed |= decide(address, destination);
    }
    waiting_ += destination.decision.waiting ? 1 : 0;
  }
  if (changed) {
    on_change_();
  }
}

bool NextHops::decide(const IpAddress& address, Destination& destination) {
  destination.changed = false;
  use(destination, neighbour_to_resolve(address, *destination.route, tables_.links(), ports_));
  const Neighbour* neighbour = destination.via ? tables_.neighbour(*destination.via) : nullptr;
  const Resolution resolution = destination.via ? uses_.at(*destination.via).resolution : Resolution{};
  NextHopDecision decision =
      decide_next_hop(address, *destination.route, tables_.links(), ports_, neighbour, resolution);
  const bool changed = !same_answer(decision, destination.decision);
  destination.decision = std::move(decision);
  return changed;
}

void NextHops::use(Destination& destination, const std::optional<NeighbourKey>& via) {
  if (destination.via == via) {
    return;
  }
  if (destination.via) {
    stop_using(*destination.via);
  }
  destination.via = via;
  if (!via) {
    return;
  }
  Use& use = uses_[*via];
  if (use.users++ == 0) {
    const Neighbour* neighbour = tables_.neighbour(*via);
    use.resolution.unanswered = neighbour != nullptr && neighbour->state == NeighbourState::kFailed;
    plan(*via, use, true);
  }
}

void NextHops::stop_using(const NeighbourKey& key) {
  const auto found = uses_.find(key);
  if (found != uses_.end() && --found->second.users == 0) {
    uses_.erase(found);
  }
}

/// When to tell the kernel that this neighbour is in use. `was_usable`: losing it is new, so resolve it now;
/// otherwise there has been an attempt just now.
void NextHops::plan(const NeighbourKey& key, Use& use, bool was_usable) {
  const auto now = Clock::now();
  const Neighbour* neighbour = tables_.neighbour(key);
  use.due = std::nullopt;
  if (usable(neighbour)) {
    if (neighbour->state == NeighbourState::kStale) {
      use.due = now + spread(key, timing_.refresh);
    }
  } else if (was_usable) {
    requests_.use_neighbour(key);
    // The kernel reports the outcome, unless its report was lost.
    use.due = now + timing_.refresh;
  } else {
    use.due = now + timing_.retry;
  }
}

void NextHops::wait_for_tick() {
  tick_timer_.expires_after(std::min(timing_.retry, timing_.refresh) / 2);
  tick_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) {
      tick();
      wait_for_tick();
    }
  });
}

void NextHops::tick() {
  const auto now = Clock::now();
  for (auto& [key, use] : uses_) {
    if (use.due && *use.due <= now) {
      requests_.use_neighbour(key);
      use.due = now + timing_.refresh;
    }
  }
}

}  // namespace sluice::control
