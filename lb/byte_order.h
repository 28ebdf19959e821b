// Network byte order as a type: a Be16 read from a packet cannot be added to a length by mistake.
#pragma once

#include <bit>
#include <compare>
#include <concepts>
#include <cstdint>

namespace sluice {

static_assert(std::endian::native == std::endian::little, "Sluice runs on x86-64");

/// An unsigned integer as it lies in a packet. Trivially copyable, same size and alignment as T.
template <std::unsigned_integral T>
class BigEndian {
 public:
  constexpr BigEndian() = default;
  /// From a host-order value.
  explicit constexpr BigEndian(T host) : raw_(swap(host)) {}
  /// From bytes already in network order, e.g. loaded from a packet.
  static constexpr BigEndian from_raw(T raw) {
    BigEndian value;
    value.raw_ = raw;
    return value;
  }

  constexpr T host() const { return swap(raw_); }
  constexpr T raw() const { return raw_; }

  friend constexpr bool operator==(BigEndian, BigEndian) = default;
  friend constexpr auto operator<=>(BigEndian a, BigEndian b) { return a.host() <=> b.host(); }

 private:
  static constexpr T swap(T value) {
    if constexpr (sizeof(T) == 2) {
      return __builtin_bswap16(value);
    } else if constexpr (sizeof(T) == 4) {
      return __builtin_bswap32(value);
    } else {
      static_assert(sizeof(T) == 8);
      return __builtin_bswap64(value);
    }
  }
  T raw_ = 0;
};

using Be16 = BigEndian<uint16_t>;
using Be32 = BigEndian<uint32_t>;
using Be64 = BigEndian<uint64_t>;

}  // namespace sluice
