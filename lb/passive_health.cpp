#include "lb/passive_health.h"

#include <fmt/format.h>

#include <algorithm>

namespace sluice {

namespace {

PassiveSignals operator-(const PassiveSignals& a, const PassiveSignals& b) {
  return {a.packets - b.packets, a.syns - b.syns, a.syns_again - b.syns_again,
          a.unreachable_errors - b.unreachable_errors};
}

PassiveSignals operator+(const PassiveSignals& a, const PassiveSignals& b) {
  return {a.packets + b.packets, a.syns + b.syns, a.syns_again + b.syns_again,
          a.unreachable_errors + b.unreachable_errors};
}

double share(uint64_t bad, uint64_t all) {
  return all == 0 ? 0 : static_cast<double>(bad) / static_cast<double>(all);
}

/// Bad ones of `all`, at one backend and at the others of its pool.
struct Sample {
  uint64_t bad, all, others_bad, others_all;

  bool stands_out(double least_share) const {
    // As many of the others', or their share is chance.
    if (bad < kPassiveLeast || others_all < kPassiveLeast) return false;
    // In whole numbers: own share >= kPassiveTimesOthers * others' share.
    return share(bad, all) >= least_share && bad * others_all >= kPassiveTimesOthers * others_bad * all;
  }
};

std::string judge(const PassiveSignals& own, const PassiveSignals& others) {
  const Sample syns{own.syns_again, own.syns, others.syns_again, others.syns};
  if (syns.stands_out(kPassiveSynShare)) {
    return fmt::format(
        "traffic: {} of {} SYNs were repeated within {} s, {} of {} at the pool's other backends", syns.bad,
        syns.all, (kPassiveTurns * kPassiveTurn).count(), syns.others_bad, syns.others_all);
  }
  const Sample errors{own.unreachable_errors, own.packets, others.unreachable_errors, others.packets};
  if (errors.stands_out(kPassiveErrorShare)) {
    return fmt::format(
        "traffic: {} ICMP unreachable errors for {} packets within {} s, {} for {} at the pool's other "
        "backends",
        errors.bad, errors.all, (kPassiveTurns * kPassiveTurn).count(), errors.others_bad, errors.others_all);
  }
  return "";
}

}  // namespace

void PassiveWindow::add(const PassiveSignals& totals) {
  const bool went_back = !totals_.empty() && totals.packets < totals_.back().packets;
  if (went_back) totals_.clear();
  totals_.push_back(totals);
  if (totals_.size() > kPassiveTurns + 1) totals_.pop_front();
}

PassiveSignals PassiveWindow::recent() const {
  return totals_.empty() ? PassiveSignals{} : totals_.back() - totals_.front();
}

void PassiveWindow::forget() {
  if (!totals_.empty()) totals_.erase(totals_.begin(), totals_.end() - 1);
}

std::chrono::seconds PassiveWindow::next_hold(std::chrono::steady_clock::time_point now) {
  const bool again = hold_.count() > 0 && now < held_until_ + kPassiveLongestHold;
  hold_ = again ? std::min(2 * hold_, kPassiveLongestHold) : kPassiveHold;
  held_until_ = now + hold_;
  return hold_;
}

std::vector<std::string> judge_passively(std::span<const PassiveSignals> recent) {
  PassiveSignals all;
  for (const PassiveSignals& one : recent) all = all + one;
  std::vector<std::string> findings;
  for (const PassiveSignals& one : recent) findings.push_back(judge(one, all - one));
  return findings;
}

}  // namespace sluice
