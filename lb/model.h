// What the balancer is asked to do: VIPs, pools, backends and the tunnel to them. Plain values; the config
// file, the API and the CLI all end in one Services value, and the forwarding table is built from one.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lb/address.h"
#include "lb/health_check.h"

namespace sluice {

enum class Protocol : uint8_t { kTcp = 6, kUdp = 17 };

/// Ports first..last, both included. 0..65535 is any port.
struct PortRange {
  uint16_t first = 0;
  uint16_t last = 65535;

  bool is_any() const { return first == 0 && last == 65535; }
  bool is_single() const { return first == last; }
  bool contains(uint16_t port) const { return first <= port && port <= last; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
  friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

/// How a frame leaves for a backend when the operator names it, instead of the kernel's routes.
struct StaticNextHop {
  std::string port;  ///< name of a port in the config
  MacAddress mac;
  friend bool operator==(const StaticNextHop&, const StaticNextHop&) = default;
};

enum class BackendState : uint8_t {
  kActive,  ///< new flows and known flows
  kDrain,   ///< known flows only
  kDown,    ///< none: its flows are placed anew
};

inline constexpr uint32_t kMaxWeight = 65535;

/// One server. Its identity inside a pool is its address: two nodes that list the same addresses agree,
/// whatever they call them and in whatever order.
struct Backend {
  std::string name;       ///< a label for people
  IpAddress address;      ///< outer destination of the tunnel
  uint32_t weight = 100;  ///< 0..kMaxWeight; 0: no new flows
  BackendState state = BackendState::kActive;
  std::optional<StaticNextHop> next_hop;  ///< absent: from the kernel
  std::optional<uint16_t> health_port;    ///< absent: the pool's
  friend bool operator==(const Backend&, const Backend&) = default;
};

inline constexpr uint32_t kDefaultMaglevSize = 65537;

struct Pool {
  std::string name;
  uint32_t maglev_size = kDefaultMaglevSize;  ///< a prime; see maglev.h for the range
  std::vector<Backend> backends;
  HealthCheck health;
  PoolPolicy policy;
  friend bool operator==(const Pool&, const Pool&) = default;
};

/// A service: packets to `address`, `protocol` and `ports` go to `pool`.
struct Vip {
  std::string name;
  Prefix address;  ///< usually a host prefix
  Protocol protocol = Protocol::kTcp;
  PortRange ports;
  std::string pool;
  std::chrono::seconds idle_timeout{900};  ///< a flow unseen for so long is forgotten
  bool announce = true;                    ///< whether routers may learn the address from this node
  friend bool operator==(const Vip&, const Vip&) = default;
};

/// How packets are carried to backends: GRE (RFC 2784), with RFC 2890 key if set.
struct Tunnel {
  /// Outer source. A prefix shorter than a host prefix has its free bits filled from the flow hash, so that
  /// the backend's NIC spreads tunnelled flows over its queues.
  std::optional<Prefix> source_ipv4;
  std::optional<Prefix> source_ipv6;
  std::optional<uint32_t> gre_key;
  uint8_t ttl = 64;             ///< outer TTL or hop limit, 1..255
  bool dont_fragment = true;    ///< outer IPv4 DF
  std::optional<uint8_t> dscp;  ///< absent: copied from the inner header (RFC 6040 for ECN always)
  friend bool operator==(const Tunnel&, const Tunnel&) = default;
};

/// The whole of it: what decides where a packet goes.
struct Services {
  std::string cluster_seed;  ///< keys the flow hash; the same on all nodes of a cluster
  Tunnel tunnel;
  std::vector<Pool> pools;
  std::vector<Vip> vips;
  friend bool operator==(const Services&, const Services&) = default;
};

}  // namespace sluice
