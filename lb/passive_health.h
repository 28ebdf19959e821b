// What traffic says about backends that a health check may not notice: SYNs that clients repeat because
// nobody answers, and ICMP errors about what a backend sends.
//
// Nobody must be able to take a backend out by sending packets. Anyone can repeat SYNs and forge errors, and
// a congested network repeats SYNs for all. Hence a backend is only ever judged beside the others of its
// pool: what strikes all alike is no backend's fault, and the hash is keyed, so that a stranger's packets
// strike all alike. A backend without others to compare it with is never judged.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

namespace sluice {

/// Counts of one backend; in total, or within a window of time.
struct PassiveSignals {
  uint64_t packets = 0;             ///< sent to it
  uint64_t syns = 0;                ///< of these SYNs, repeated ones too
  uint64_t syns_again = 0;          ///< of these, repeated
  uint64_t unreachable_errors = 0;  ///< ICMP destination unreachable about its flows

  friend bool operator==(const PassiveSignals&, const PassiveSignals&) = default;
};

/// How often signals are read, and how long they count.
inline constexpr std::chrono::seconds kPassiveTurn{1};
inline constexpr uint32_t kPassiveTurns = 3;
/// Fewer bad signals than these within the window say nothing.
inline constexpr uint64_t kPassiveLeast = 5;
/// Repeated SYNs among the SYNs, and ICMP errors among the packets, from which on a backend is bad, ...
inline constexpr double kPassiveSynShare = 0.25;
inline constexpr double kPassiveErrorShare = 0.10;
/// ... if the share is also so many times that of the other backends of the pool.
inline constexpr uint64_t kPassiveTimesOthers = 3;
/// How long traffic keeps a backend out the first time; each further time twice as long.
inline constexpr std::chrono::seconds kPassiveHold{30};
inline constexpr std::chrono::seconds kPassiveLongestHold{300};

/// The signals of one backend over time.
class PassiveWindow {
 public:
  /// Takes the totals of a further turn; totals that went back begin anew.
  void add(const PassiveSignals& totals);
  /// What has come within the last kPassiveTurns turns.
  PassiveSignals recent() const;
  /// A finding was made of what is there: it must not count twice.
  void forget();

  /// The backend was found to be in trouble at `now`: how long it stays out. Twice as long as the last time,
  /// if that was within kPassiveLongestHold after its end.
  std::chrono::seconds next_hold(std::chrono::steady_clock::time_point now);

 private:
  std::deque<PassiveSignals> totals_;  ///< oldest first, at most kPassiveTurns + 1
  std::chrono::seconds hold_{0};
  std::chrono::steady_clock::time_point held_until_{};
};

/// `recent[i]` are the signals of the i-th backend of a pool within the window. What is wrong with each, in
/// words; "" if nothing is.
std::vector<std::string> judge_passively(std::span<const PassiveSignals> recent);

}  // namespace sluice
