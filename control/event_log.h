// The last things that happened, for operators who come later: a ring of events with numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

namespace sluice {

struct Event {
  uint64_t sequence = 0;  ///< from 1, without gaps
  std::chrono::system_clock::time_point time;
  std::string kind;  ///< "services", "reload", "health", ...
  std::string text;  ///< one line
};

/// Not thread-safe: of the control thread.
class EventLog {
 public:
  explicit EventLog(size_t kept = 1000) : kept_(kept) {}

  /// Adds an event; the oldest one goes if there is no room.
  void record(std::string kind, std::string text,
              std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  /// Those with numbers above `sequence`, oldest first, at most `most` of them.
  std::vector<Event> after(uint64_t sequence, size_t most) const;
  /// The number of the newest; 0 if there is none.
  uint64_t last() const { return last_; }
  /// The number of the oldest that is kept; last() + 1 if there is none.
  uint64_t first() const { return last_ + 1 - events_.size(); }

 private:
  size_t kept_;
  uint64_t last_ = 0;
  std::deque<Event> events_;
};

}  // namespace sluice
