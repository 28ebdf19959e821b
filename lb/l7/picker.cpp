#include "lb/l7/picker.h"

#include <algorithm>
#include <array>
#include <utility>

#include "lb/l7/slow_start.h"

namespace sluice {
namespace {

bool has_turns(PickPolicy policy) {
  return policy == PickPolicy::kRoundRobin || policy == PickPolicy::kWeightedRoundRobin;
}

// Draws before a walk over all members decides: enough for all but a few picks in a million when half the
// members are refused.
constexpr int kDraws = 20;

uint32_t group_for(std::span<const GroupShare> zones, uint32_t number) {
  size_t i = 0;
  while (i + 1 < zones.size() && number >= zones[i].up_to) ++i;
  return zones[i].group;
}

}  // namespace

void Picker::use(EndpointSet::Pointer set, PickTime now, Random& random) {
  if (set_ != nullptr) remember_turns();
  // The set that goes is held until the end: no new endpoint can have the address of an old one here.
  const EndpointSet::Pointer before = std::exchange(set_, std::move(set));
  memory_.resize(std::max<size_t>(memory_.size(), set_->slots()));
  for (const PickEndpoint& e : set_->hot()) {
    Memory& memory = memory_[e.state->slot];
    if (memory.owner != e.state) memory = {e.state, PeakEwma(), -1};
  }
  turns_.clear();
  if (has_turns(set_->settings().policy)) set_up_turns(now, random);
}

void Picker::remember_turns() {
  for (size_t g = 0; g < turns_.size(); ++g) {
    const auto interval = [&](uint32_t endpoint) { return turn_interval(endpoint, PickTime::max()); };
    turns_[g].each_wait(interval, [&](uint32_t endpoint, double wait) {
      memory_[set_->hot()[endpoint].state->slot].wait = wait;
    });
  }
}

void Picker::set_up_turns(PickTime now, Random& random) {
  turns_.resize(set_->groups().size());
  for (size_t g = 0; g < turns_.size(); ++g) {
    for (const uint32_t endpoint : set_->groups()[g].members) {
      double& wait = memory_[set_->hot()[endpoint].state->slot].wait;
      turns_[g].add(endpoint, turn_interval(endpoint, now), wait >= 0 ? wait : random.unit());
      wait = -1;
    }
  }
}

std::optional<uint32_t> Picker::pick(const PickRequest& request, PickTime now, Random& random) {
  const std::span<const PickLevel> levels = set_->levels();
  if (levels.empty() || levels.back().up_to == 0) return std::nullopt;
  // Without a hash a random number takes its place: the request may go anywhere.
  const bool keyed = is_hash_policy(set_->settings().policy) && request.hash.has_value();
  const Context context{request, now, random, now < set_->slow_until(), keyed ? *request.hash : random()};
  // Which level must not depend on the bits that decide the endpoint inside it.
  const uint64_t number = Random::mix(context.hash ^ 0x6c62272e07bb0142u);
  size_t level = 0;
  while (level + 1 < levels.size() && static_cast<uint32_t>(number >> 32) >= levels[level].up_to) ++level;
  const uint32_t first = group_for(levels[level].zones, static_cast<uint32_t>(number));
  if (const auto picked = pick_in(first, context)) return picked;
  for (uint32_t group = 0; group < set_->groups().size(); ++group) {
    if (group == first) continue;
    if (const auto picked = pick_in(group, context)) return picked;
  }
  return std::nullopt;
}

std::optional<uint32_t> Picker::pick_in(uint32_t group, const Context& context) {
  const PickGroup& g = set_->groups()[group];
  switch (set_->settings().policy) {
    case PickPolicy::kRoundRobin:
    case PickPolicy::kWeightedRoundRobin:
      return next_turn(group, context);
    case PickPolicy::kLeastRequest:
    case PickPolicy::kPeakEwma:
      return best_of_some(g, context);
    case PickPolicy::kRandom:
      return draw(g, context);
    case PickPolicy::kRingHash:
      return on_ring(g, context);
    case PickPolicy::kMaglev:
      return in_table(g, context);
  }
  return std::nullopt;
}

std::optional<uint32_t> Picker::next_turn(uint32_t group, const Context& context) {
  WeightedTurns& turns = turns_[group];
  // Who is excluded stays due: a retry of one request does not cost it the turn of another.
  std::array<WeightedTurns::Turn, kMaxExcluded> passed_over;
  size_t passed = 0;
  std::optional<uint32_t> picked;
  while (!turns.empty()) {
    const WeightedTurns::Turn turn = turns.take();
    if (excluded(turn.member, context)) {
      passed_over[passed++] = turn;  // excluded() knows at most kMaxExcluded
      continue;
    }
    picked = turn.member;
    turns.had(turn, turn_interval(turn.member, context.now));
    break;
  }
  while (passed > 0) turns.put_back(passed_over[--passed]);
  return picked;
}

// One endpoint in proportion to weights. What is excluded is drawn again; what is in slow start is only taken
// as often as its factor says.
std::optional<uint32_t> Picker::draw(const PickGroup& group, const Context& context) const {
  for (int i = 0; i < kDraws; ++i) {
    const uint32_t endpoint = group.members[group.by_weight.draw(context.random)];
    if (excluded(endpoint, context)) continue;
    if (context.slow && context.random.unit() >= factor_of(endpoint, context)) continue;
    return endpoint;
  }
  const size_t count = group.members.size();
  const size_t from = context.random.below(count);
  for (size_t i = 0; i < count; ++i) {
    const uint32_t endpoint = group.members[(from + i) % count];
    if (!excluded(endpoint, context)) return endpoint;
  }
  return std::nullopt;
}

// The power of two choices (Mitzenmacher, "The power of two choices in randomized load balancing", 2001), or
// of more.
std::optional<uint32_t> Picker::best_of_some(const PickGroup& group, const Context& context) const {
  const auto first = draw(group, context);
  if (!first) return std::nullopt;
  const uint32_t choices = set_->settings().choices;
  uint32_t best = *first;
  if (group.members.size() <= choices) {
    const size_t count = group.members.size();
    const size_t from = context.random.below(count);
    for (size_t i = 0; i < count; ++i) {
      const uint32_t other = group.members[(from + i) % count];
      if (other != best && !excluded(other, context) && better(other, best, group, context)) best = other;
    }
    return best;
  }
  for (uint32_t choice = 1; choice < choices; ++choice) {
    uint32_t other = *draw(group, context);
    // Drawing the best again would waste a choice: a few tries to find another.
    for (int i = 0; i < 3 && other == best; ++i) other = *draw(group, context);
    if (other != best && better(other, best, group, context)) best = other;
  }
  return best;
}

bool Picker::better(uint32_t challenger, uint32_t best, const PickGroup& group,
                    const Context& context) const {
  const PickEndpoint& c = set_->hot()[challenger];
  const PickEndpoint& b = set_->hot()[best];
  const double c_active = c.state->active_requests();
  const double b_active = b.state->active_requests();
  if (set_->settings().policy == PickPolicy::kLeastRequest) {
    // Would the challenger with this request be no busier, for its weight, than the best is without? With
    // equal weights that is: it has fewer requests. With unequal ones and nothing to do, the draw in
    // proportion to weights stands; comparing plain quotients would give all to the light or all to the
    // heavy.
    return (c_active + 1) * weight_of(best, context) <= b_active * weight_of(challenger, context);
  }
  // Time to answer, times how many are in line, in units of an endpoint of average weight. Of one that has
  // not answered yet the time is taken to be the other's: it is tried at once, but not by everybody.
  const std::chrono::nanoseconds decay = set_->settings().ewma_decay;
  const PeakEwma& c_latency = memory_[c.state->slot].latency;
  const PeakEwma& b_latency = memory_[b.state->slot].latency;
  double c_cost = c_active * group.mean_weight / weight_of(challenger, context) + 1;
  double b_cost = b_active * group.mean_weight / weight_of(best, context) + 1;
  if (c_latency.known() && b_latency.known()) {
    c_cost *= c_latency.expected_ns(context.now, decay);
    b_cost *= b_latency.expected_ns(context.now, decay);
  }
  return c_cost < b_cost;
}

// A point that is refused hands on to the next, as if its endpoint were not there: the key goes to who had it
// before.
std::optional<uint32_t> Picker::on_ring(const PickGroup& group, const Context& context) const {
  const HashRing& ring = *group.ring;
  uint32_t point = ring.find(context.hash);
  std::optional<uint32_t> last_resort;
  for (uint32_t steps = 0; steps < ring.size(); ++steps, point = ring.next(point)) {
    const uint32_t endpoint = group.members[ring.member(point)];
    if (excluded(endpoint, context)) continue;
    if (keeps_key(endpoint, context)) return endpoint;
    if (!last_resort) last_resort = endpoint;
  }
  return last_resort;
}

std::optional<uint32_t> Picker::in_table(const PickGroup& group, const Context& context) const {
  const auto size = static_cast<uint32_t>(group.maglev->size());
  // The high bits, scaled: as in the forwarding table.
  const auto slot = static_cast<uint32_t>(((context.hash >> 32) * size) >> 32);
  const uint32_t owner = group.members[(*group.maglev)[slot]];
  if (group.maglev_before != nullptr && !keeps_key(owner, context)) {
    const uint32_t earlier = group.members[(*group.maglev_before)[slot]];
    if (!excluded(earlier, context)) return earlier;
  }
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t at = slot + i;
    const uint32_t endpoint = group.members[(*group.maglev)[at < size ? at : at - size]];
    if (!excluded(endpoint, context)) return endpoint;
  }
  return std::nullopt;
}

void Picker::observe(const EndpointState& endpoint, std::chrono::nanoseconds latency, bool failed,
                     PickTime now) {
  if (endpoint.slot >= memory_.size()) return;
  Memory& memory = memory_[endpoint.slot];
  if (memory.owner == &endpoint) memory.latency.observe(latency, failed, now, set_->settings().ewma_decay);
}

double Picker::factor_of(uint32_t endpoint, const Context& context) const {
  if (!context.slow) return 1.0;
  const PickTime since = set_->hot()[endpoint].since;
  return since == kAlways ? 1.0 : slow_start_factor(set_->settings().slow_start, since, context.now);
}

double Picker::weight_of(uint32_t endpoint, const Context& context) const {
  return set_->hot()[endpoint].weight * factor_of(endpoint, context);
}

// Whether a key already belongs to an endpoint in slow start. Each key has its own moment in the window: it
// comes over once and stays.
bool Picker::keeps_key(uint32_t endpoint, const Context& context) const {
  if (!context.slow) return true;
  const double factor = factor_of(endpoint, context);
  if (factor >= 1) return true;
  const uint64_t moment =
      Random::mix(context.hash + 0x9e3779b97f4a7c15u * (set_->hot()[endpoint].state->slot + 1));
  return Random::to_unit(moment) < factor;
}

bool Picker::excluded(uint32_t endpoint, const Context& context) const {
  const auto& list = context.request.excluded;
  if (list.empty()) [[likely]]
    return false;
  const auto known = list.first(std::min(list.size(), kMaxExcluded));
  return std::ranges::find(known, set_->hot()[endpoint].state) != known.end();
}

uint64_t Picker::turn_interval(uint32_t endpoint, PickTime now) const {
  const PickEndpoint& e = set_->hot()[endpoint];
  double weight = set_->settings().policy == PickPolicy::kRoundRobin ? 1.0 : e.weight;
  if (now < set_->slow_until() && e.since != kAlways) {
    weight *= slow_start_factor(set_->settings().slow_start, e.since, now);
  }
  return WeightedTurns::interval(weight);
}

}  // namespace sluice
