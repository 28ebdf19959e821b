// IP addresses, prefixes and MAC addresses as values: parsed, compared, printed; never resolved.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice {

enum class Family : uint8_t { kIpv4 = 4, kIpv6 = 6 };

/// An IPv4 or IPv6 address. IPv4 is kept as ::ffff:a.b.c.d so that both have 16 bytes; the family is kept
/// beside them, so that ::ffff:1.2.3.4 seen in an IPv6 packet is not the IPv4 address 1.2.3.4.
class IpAddress {
 public:
  using Bytes = std::array<uint8_t, 16>;

  /// 0.0.0.0
  constexpr IpAddress() : bytes_{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0} {}

  /// Dotted quad or RFC 4291 text. No names, no zone, no port.
  static Result<IpAddress> parse(std::string_view text);
  static constexpr IpAddress v4(uint8_t a, uint8_t b, uint8_t c, uint8_t d) {
    IpAddress address;
    address.bytes_[12] = a;
    address.bytes_[13] = b;
    address.bytes_[14] = c;
    address.bytes_[15] = d;
    return address;
  }
  /// Four bytes in network order.
  static constexpr IpAddress v4(const uint8_t* bytes) { return v4(bytes[0], bytes[1], bytes[2], bytes[3]); }
  static constexpr IpAddress v6(const Bytes& bytes) {
    IpAddress address;
    address.bytes_ = bytes;
    address.family_ = Family::kIpv6;
    return address;
  }

  constexpr Family family() const { return family_; }
  constexpr bool is_v4() const { return family_ == Family::kIpv4; }
  constexpr bool is_v6() const { return family_ == Family::kIpv6; }
  /// All 16 bytes, IPv4 mapped.
  constexpr const Bytes& bytes() const { return bytes_; }
  /// The four bytes of an IPv4 address; only for is_v4().
  constexpr const uint8_t* v4_bytes() const { return bytes_.data() + 12; }
  /// Length in bits: 32 or 128.
  constexpr int bits() const { return is_v4() ? 32 : 128; }
  bool is_unspecified() const;
  bool is_multicast() const;

  /// The shortest text form (RFC 5952 for IPv6).
  std::string to_string() const;

  friend constexpr bool operator==(const IpAddress&, const IpAddress&) = default;
  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  Family family_ = Family::kIpv4;
  Bytes bytes_;
};

/// An address and a length; bits behind the length are zero.
class Prefix {
 public:
  constexpr Prefix() = default;
  /// The host prefix (/32 or /128) of an address.
  explicit Prefix(const IpAddress& address) : address_(address), length_(address.bits()) {}
  /// Bits of `address` behind `length` are cleared. length is 0..address.bits().
  Prefix(const IpAddress& address, int length);

  /// "192.0.2.0/24", "2001:db8::/64", or an address alone for a host prefix. Bits set behind the length
  /// are an error, not silently cleared.
  static Result<Prefix> parse(std::string_view text);

  const IpAddress& address() const { return address_; }
  int length() const { return length_; }
  Family family() const { return address_.family(); }
  bool is_host() const { return length_ == address_.bits(); }
  bool contains(const IpAddress& address) const;

  /// "192.0.2.0/24"; a host prefix prints as the address alone.
  std::string to_string() const;

  friend bool operator==(const Prefix&, const Prefix&) = default;
  friend auto operator<=>(const Prefix&, const Prefix&) = default;

 private:
  IpAddress address_;
  int length_ = 32;
};

/// An Ethernet address.
class MacAddress {
 public:
  using Bytes = std::array<uint8_t, 6>;
  constexpr MacAddress() = default;
  explicit constexpr MacAddress(const Bytes& bytes) : bytes_(bytes) {}

  /// "02:00:00:aa:bb:cc"
  static Result<MacAddress> parse(std::string_view text);
  constexpr const Bytes& bytes() const { return bytes_; }
  std::string to_string() const;

  friend constexpr bool operator==(const MacAddress&, const MacAddress&) = default;
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;

 private:
  Bytes bytes_{};
};

}  // namespace sluice

template <>
struct std::hash<sluice::IpAddress> {
  size_t operator()(const sluice::IpAddress& address) const noexcept {
    const auto& bytes = address.bytes();
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(bytes.data()), bytes.size()}) ^
           static_cast<size_t>(address.family());
  }
};
