// How many log lines of one kind are written. Pure: time is a parameter.
//
// A site that loses a rack, or an attacker who finds a line that he can provoke, must not fill the disk or
// push the interesting line out of the journal. Each kind has its own account, so that one that is loud
// silences no other.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class LogLimiter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// At most `burst` lines of a kind within `window`, which begins with the first of them.
  explicit LogLimiter(uint32_t burst = 50, std::chrono::seconds window = std::chrono::seconds(10))
      : burst_(burst), window_(window) {}

  struct Suppressed {
    std::string kind;
    uint64_t lines = 0;
  };

  /// Whether a line of `kind` is to be written now. What take_suppressed() would give must be taken first.
  bool admit(std::string_view kind, Time now) {
    auto found = kinds_.find(kind);
    // The kinds are words of this program: this bound is for a mistake in it.
    if (found == kinds_.end() && kinds_.size() >= kMostKinds) return true;
    if (found == kinds_.end()) found = kinds_.emplace(kind, Account{now}).first;
    Account& account = found->second;
    if (now - account.began >= window_ && account.suppressed == 0) account = {now};
    if (account.written < burst_) {
      ++account.written;
      return true;
    }
    ++account.suppressed;
    return false;
  }

  /// The kinds of which lines were left out in a window that is over; their next window begins.
  std::vector<Suppressed> take_suppressed(Time now) {
    std::vector<Suppressed> all;
    for (auto& [kind, account] : kinds_) {
      if (account.suppressed == 0 || now - account.began < window_) continue;
      all.push_back({kind, account.suppressed});
      account = {now};
    }
    return all;
  }

  std::chrono::seconds window() const { return window_; }

 private:
  static constexpr size_t kMostKinds = 1000;

  struct Account {
    Time began{};
    uint32_t written = 0;
    uint64_t suppressed = 0;
  };

  uint32_t burst_;
  std::chrono::seconds window_;
  std::map<std::string, Account, std::less<>> kinds_;
};

}  // namespace sluice
