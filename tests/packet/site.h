// The addresses and services that the packet tests share.
#pragma once

#include <string>

#include "lb/model.h"
#include "tests/packet/frames.h"

namespace sluice::packet {

inline constexpr const char* kClient4 = "198.51.100.7";
inline constexpr const char* kClient6 = "2001:db8:c::7";
inline constexpr const char* kVip4 = "203.0.113.10";
inline constexpr const char* kVip6 = "2001:db8:f::10";
inline constexpr const char* kBackend4 = "10.0.1.11";
inline constexpr const char* kBackend6 = "2001:db8:1::11";
inline constexpr const char* kTunnel4 = "192.0.2.1";
inline constexpr const char* kTunnel6 = "2001:db8:2::1";

inline Vip vip(const std::string& name, const std::string& address, Protocol protocol, uint16_t port,
               const std::string& pool) {
  return {name, Prefix(ip(address)), protocol, {port, port}, pool, std::chrono::seconds(60)};
}

inline Backend backend(const std::string& name, const std::string& address, uint32_t weight = 100) {
  return {name, ip(address), weight, BackendState::kActive, {}};
}

/// Port 80 goes to an IPv4 backend, port 90 to an IPv6 backend, for both families and protocols.
inline Services services() {
  Services all;
  all.cluster_seed = "test";
  all.tunnel.source_ipv4 = Prefix(ip(kTunnel4));
  all.tunnel.source_ipv6 = Prefix(ip(kTunnel6));
  all.pools = {{"four", 251, {backend("b4", kBackend4)}}, {"six", 251, {backend("b6", kBackend6)}}};
  for (const auto protocol : {Protocol::kTcp, Protocol::kUdp}) {
    const std::string suffix = protocol == Protocol::kTcp ? "-tcp" : "-udp";
    all.vips.push_back(vip("v4-in-v4" + suffix, kVip4, protocol, 80, "four"));
    all.vips.push_back(vip("v4-in-v6" + suffix, kVip4, protocol, 90, "six"));
    all.vips.push_back(vip("v6-in-v4" + suffix, kVip6, protocol, 80, "four"));
    all.vips.push_back(vip("v6-in-v6" + suffix, kVip6, protocol, 90, "six"));
  }
  return all;
}

inline Ports ports4(uint16_t port) {
  return {kClient4, kVip4, 40000, port};
}
inline Ports ports6(uint16_t port) {
  return {kClient6, kVip6, 40000, port};
}

}  // namespace sluice::packet
