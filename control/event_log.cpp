#include "control/event_log.h"

#include <algorithm>
#include <utility>

namespace sluice {

void EventLog::record(std::string kind, std::string text, std::chrono::system_clock::time_point now) {
  if (events_.size() == kept_) events_.pop_front();
  events_.push_back({++last_, now, std::move(kind), std::move(text)});
}

std::vector<Event> EventLog::after(uint64_t sequence, size_t most) const {
  const size_t skipped = sequence < first() ? 0 : std::min<size_t>(sequence - first() + 1, events_.size());
  const size_t count = std::min(most, events_.size() - skipped);
  const auto begin = events_.begin() + static_cast<ptrdiff_t>(skipped);
  return {begin, begin + static_cast<ptrdiff_t>(count)};
}

}  // namespace sluice
