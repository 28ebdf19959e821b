#include "lb/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace sluice {

Result<IpAddress> IpAddress::parse(std::string_view text) {
  std::string copy(text);  // inet_pton wants a terminated string
  in_addr v4_address{};
  if (inet_pton(AF_INET, copy.c_str(), &v4_address) == 1 && copy.size() == std::strlen(copy.c_str())) {
    return v4(reinterpret_cast<const uint8_t*>(&v4_address));
  }
  Bytes bytes{};
  if (inet_pton(AF_INET6, copy.c_str(), bytes.data()) == 1 && copy.size() == std::strlen(copy.c_str())) {
    return v6(bytes);
  }
  return fail(fmt::format("'{}' is not an IPv4 or IPv6 address", text));
}

bool IpAddress::is_unspecified() const {
  const auto begin = is_v4() ? bytes_.begin() + 12 : bytes_.begin();
  return std::all_of(begin, bytes_.end(), [](uint8_t byte) { return byte == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (v4_bytes()[0] & 0xf0) == 0xe0 : bytes_[0] == 0xff;
}

std::string IpAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  if (is_v4()) {
    inet_ntop(AF_INET, v4_bytes(), text, sizeof text);
  } else {
    inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
  }
  return text;
}

namespace {

/// Clears the bits of a 16-byte address behind the first `keep` bits.
IpAddress::Bytes masked(IpAddress::Bytes bytes, int keep) {
  for (int i = 0; i < 16; ++i) {
    const int bits_kept = std::clamp(keep - 8 * i, 0, 8);
    bytes[static_cast<size_t>(i)] &= static_cast<uint8_t>(0xff00 >> bits_kept);
  }
  return bytes;
}

IpAddress masked(const IpAddress& address, int length) {
  const int mapped = address.is_v4() ? 96 : 0;
  const auto bytes = masked(address.bytes(), mapped + length);
  return address.is_v4() ? IpAddress::v4(bytes.data() + 12) : IpAddress::v6(bytes);
}

}  // namespace

Prefix::Prefix(const IpAddress& address, int length) : address_(masked(address, length)), length_(length) {}

Result<Prefix> Prefix::parse(std::string_view text) {
  const auto slash = text.find('/');
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) {
    return fail(
        fmt::format("'{}' is not an address or a prefix such as 192.0.2.0/24 or 2001:db8::/64", text));
  }
  if (slash == std::string_view::npos) return Prefix(*address);
  const auto digits = text.substr(slash + 1);
  int length = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || length < 0 ||
      length > address->bits()) {
    return fail(fmt::format("prefix length '{}' is not a number from 0 to {}", digits, address->bits()));
  }
  Prefix prefix(*address, length);
  if (prefix.address() != *address) {
    return fail(
        fmt::format("'{}' has bits set behind its length; the prefix is {}", text, prefix.to_string()));
  }
  return prefix;
}

bool Prefix::contains(const IpAddress& address) const {
  return address.family() == family() && masked(address, length_) == address_;
}

std::string Prefix::to_string() const {
  if (is_host()) return address_.to_string();
  return fmt::format("{}/{}", address_.to_string(), length_);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  Bytes bytes{};
  const auto refuse = [&] {
    return fail(fmt::format("'{}' is not a MAC address such as 02:00:00:aa:bb:cc", text));
  };
  if (text.size() != 17) return refuse();
  for (size_t i = 0; i < 6; ++i) {
    const char* begin = text.data() + 3 * i;
    const auto [end, error] = std::from_chars(begin, begin + 2, bytes[i], 16);
    if (error != std::errc{} || end != begin + 2 || (i < 5 && *end != ':')) return refuse();
  }
  return MacAddress(bytes);
}

std::string MacAddress::to_string() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bytes_[0], bytes_[1], bytes_[2], bytes_[3],
                     bytes_[4], bytes_[5]);
}

}  // namespace sluice
