// A number as text, without allocation.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace sluice::l7 {

/// Each call makes the text before it invalid only if it is of the same object.
class DecimalText {
 public:
  std::string_view of(uint64_t number) {
    const auto end = std::to_chars(digits_.data(), digits_.data() + digits_.size(), number).ptr;
    return {digits_.data(), static_cast<size_t>(end - digits_.data())};
  }

 private:
  std::array<char, 20> digits_;
};

}  // namespace sluice::l7
