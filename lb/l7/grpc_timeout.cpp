#include "lb/l7/grpc_timeout.h"

#include <algorithm>
#include <charconv>

namespace sluice {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  char letter;
  int64_t nanoseconds;
};
// The finest first.
constexpr std::array<Unit, 6> kUnits = {{{'n', 1},
                                         {'u', 1'000},
                                         {'m', 1'000'000},
                                         {'S', 1'000'000'000},
                                         {'M', 60'000'000'000},
                                         {'H', 3'600'000'000'000}}};
constexpr size_t kMaxDigits = 8;
constexpr int64_t kMaxCount = 99'999'999;

}  // namespace

std::optional<nanoseconds> parse_grpc_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > kMaxDigits + 1) return std::nullopt;
  const std::string_view digits = text.substr(0, text.size() - 1);
  if (!std::ranges::all_of(digits, [](char c) { return '0' <= c && c <= '9'; })) return std::nullopt;
  int64_t count = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), count);
  const auto* const unit = std::ranges::find(kUnits, text.back(), &Unit::letter);
  if (unit == kUnits.end()) return std::nullopt;
  if (count > nanoseconds::max().count() / unit->nanoseconds) return nanoseconds::max();
  return nanoseconds(count * unit->nanoseconds);
}

GrpcTimeoutText format_grpc_timeout(nanoseconds timeout) {
  const int64_t left = std::max<int64_t>(0, timeout.count());
  const auto* const unit =
      std::ranges::find_if(kUnits, [left](const Unit& u) { return left / u.nanoseconds <= kMaxCount; });
  GrpcTimeoutText result;
  char* const begin = result.text_.data();
  char* const end = std::to_chars(begin, begin + kMaxDigits, left / unit->nanoseconds).ptr;
  *end = unit->letter;
  result.size_ = static_cast<uint8_t>(end + 1 - begin);
  return result;
}

}  // namespace sluice
