// What peers make the proxy hold, in bytes: one account per connection, one ledger per worker, one sum over
// all workers. An account and a ledger belong to one thread and are plain numbers; a worker hands in what
// has changed at the end of a wake-up, and only if it is much, so that no request touches the shared sum.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "dataplane/l7/intrusive_list.h"

namespace sluice::l7 {

class Connection;
class MemoryAccount;
struct TightTag;

/// How far the proxy is from its limit.
enum class MemoryLevel : uint8_t {
  kCalm,
  kTight,  ///< above four fifths of it: refuses and sheds
  kFull,   ///< above it: closes those that hold most
};

/// The sum over all workers. From any thread.
class ProcessMemory {
 public:
  /// `bytes` from which on the level is kFull; 0: no limit.
  void set_limit(uint64_t bytes) {
    full_.store(bytes == 0 ? kNoLimit : static_cast<int64_t>(bytes), std::memory_order_relaxed);
  }
  uint64_t limit() const {
    const int64_t full = full_.load(std::memory_order_relaxed);
    return full == kNoLimit ? 0 : static_cast<uint64_t>(full);
  }
  void add(int64_t bytes) { held_.fetch_add(bytes, std::memory_order_relaxed); }
  /// What the workers have handed in; each may be off by MemoryLedger::kBatch.
  int64_t held() const { return held_.load(std::memory_order_relaxed); }
  MemoryLevel level() const { return level_of(held(), full_.load(std::memory_order_relaxed)); }

  /// `full` above 0.
  static constexpr MemoryLevel level_of(int64_t held, int64_t full) {
    if (held > full) return MemoryLevel::kFull;
    return held > full - full / 5 ? MemoryLevel::kTight : MemoryLevel::kCalm;
  }

 private:
  static constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();
  alignas(64) std::atomic<int64_t> held_{0};  // alone on its line: every worker writes it now and then
  alignas(64) std::atomic<int64_t> full_{kNoLimit};
};

/// A worker's sum.
class MemoryLedger {
 public:
  /// Less than this is not handed in.
  static constexpr int64_t kBatch = 64 * 1024;

  explicit MemoryLedger(ProcessMemory& process) : process_(process) {}
  MemoryLedger(const MemoryLedger&) = delete;
  MemoryLedger& operator=(const MemoryLedger&) = delete;
  ~MemoryLedger() { process_.add(-handed_in_); }

  void add(int64_t bytes) { held_ += bytes; }
  int64_t held() const { return held_; }
  /// Hands in what has changed, if it is much, and learns the level. `kept`: memory that no connection holds
  /// but the worker keeps for the next one.
  void settle(size_t kept) {
    const int64_t change = held_ + static_cast<int64_t>(kept) - handed_in_;
    if (change >= kBatch || change <= -kBatch) {
      handed_in_ += change;
      process_.add(change);
    }
    level_ = process_.level();
  }
  MemoryLevel level() const { return level_; }
  const ProcessMemory& process() const { return process_; }
  /// Accounts above half of their limit.
  IntrusiveList<MemoryAccount, TightTag>& tight() { return tight_; }

 private:
  ProcessMemory& process_;
  int64_t held_ = 0;
  int64_t handed_in_ = 0;
  MemoryLevel level_ = MemoryLevel::kCalm;
  IntrusiveList<MemoryAccount, TightTag> tight_;
};

/// Of one connection. Above half of its limit it is in its ledger's list, whose owner weighs it at the end of
/// the wake-up: nothing is closed in the midst of what made it grow.
class MemoryAccount : public ListLink<TightTag> {
 public:
  /// `owner`, who is asked to weigh it, lives at least as long.
  MemoryAccount(MemoryLedger& ledger, Connection* owner) : ledger_(&ledger), owner_(owner) {}

  void add(size_t bytes) {
    held_ += bytes;
    ledger_->add(static_cast<int64_t>(bytes));
    if (held_ > tight_above_ && !linked()) ledger_->tight().push_back(*this);
  }
  /// bytes <= held().
  void subtract(size_t bytes) {
    held_ -= bytes;
    ledger_->add(-static_cast<int64_t>(bytes));
  }
  /// From `before` to `now` bytes of one holding.
  void change(size_t before, size_t now) {
    if (now > before) {
      add(now - before);
    } else {
      subtract(before - now);
    }
  }
  size_t held() const { return held_; }
  Connection& owner() const { return *owner_; }

  /// 0: none.
  void set_limit(size_t bytes) {
    limit_ = bytes == 0 ? std::numeric_limits<size_t>::max() : bytes;
    tight_above_ = limit_ / 2;
  }
  bool tight() const { return held_ > tight_above_; }
  bool over() const { return held_ > limit_; }

 private:
  MemoryLedger* ledger_;
  Connection* owner_;
  size_t held_ = 0;
  size_t limit_ = std::numeric_limits<size_t>::max();
  size_t tight_above_ = std::numeric_limits<size_t>::max();
};

}  // namespace sluice::l7
