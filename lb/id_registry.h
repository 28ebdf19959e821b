// Gives small numbers to named things and keeps them: flow entries and counters name a backend by its number,
// across any number of forwarding tables.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace sluice {

/// Numbers 1..limit. A freed number goes to the end of the queue, so that flow entries of the former owner
/// have expired, in all likelihood, before the number means something else.
class IdRegistry {
 public:
  /// limit is 1..65535.
  explicit IdRegistry(uint16_t limit) : limit_(limit) {}

  /// The number of `name`; a new one if it has none. Nothing when all are taken.
  std::optional<uint16_t> acquire(const std::string& name) {
    if (const auto found = ids_.find(name); found != ids_.end()) return found->second;
    uint16_t id = 0;
    if (next_ <= limit_) {
      id = static_cast<uint16_t>(next_++);
    } else if (!free_.empty()) {
      id = free_.front();
      free_.pop_front();
    } else {
      return std::nullopt;
    }
    ids_.emplace(name, id);
    return id;
  }

  uint16_t limit() const { return limit_; }

  std::optional<uint16_t> find(const std::string& name) const {
    const auto found = ids_.find(name);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }

  /// Frees the numbers of all names but these.
  void retain(const std::set<std::string>& names) {
    for (auto it = ids_.begin(); it != ids_.end();) {
      if (names.contains(it->first)) {
        ++it;
      } else {
        free_.push_back(it->second);
        it = ids_.erase(it);
      }
    }
  }

 private:
  uint16_t limit_;
  uint32_t next_ = 1;
  std::map<std::string, uint16_t> ids_;
  std::deque<uint16_t> free_;
};

}  // namespace sluice
