// Who has to go when a server's places for clients are all taken. Pure: time is a parameter.
//
// Places are taken by clients that are slow, silent, hostile or forgotten. A client that means well has sent
// its request by the time it is looked at, and is gone milliseconds later. So the one that has waited longest
// goes, and of those the ones of the user with the most places: who takes them all away from others loses
// his own.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>

namespace sluice {

struct ApiPlace {
  int64_t owner = 0;  ///< who is connected, as far as the kernel says
  bool taking_answer = false;
  std::chrono::steady_clock::time_point since;  ///< when its request or its answer began
};

/// A client that takes an answer keeps its place for so long at least.
inline constexpr std::chrono::milliseconds kUndisturbedAnswer{200};

/// The index of the place to free for a newcomer. Nothing if all are taking answers that began just now.
inline std::optional<size_t> place_to_free(std::span<const ApiPlace> places,
                                           std::chrono::steady_clock::time_point now) {
  std::map<int64_t, size_t> held;
  for (const ApiPlace& place : places) ++held[place.owner];
  std::optional<size_t> worst;
  const auto goes_before = [&](const ApiPlace& a, const ApiPlace& b) {
    if (a.taking_answer != b.taking_answer) return b.taking_answer;
    if (held[a.owner] != held[b.owner]) return held[a.owner] > held[b.owner];
    return a.since < b.since;
  };
  for (size_t i = 0; i < places.size(); ++i) {
    if (places[i].taking_answer && now - places[i].since < kUndisturbedAnswer) continue;
    if (!worst || goes_before(places[i], places[*worst])) worst = i;
  }
  return worst;
}

}  // namespace sluice
