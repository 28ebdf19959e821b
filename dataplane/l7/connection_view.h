// A connection as people see it: a copy of what is known of it at one moment.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/address.h"

namespace sluice::l7 {

struct ConnectionView {
  bool upstream = false;      ///< to an endpoint; otherwise from a client
  std::string place;          ///< the listener's name, or the cluster's
  IpAddress address;          ///< the peer's
  uint16_t port = 0;          ///< the peer's; 0: a client that has gone
  uint32_t worker = 0;        ///< whose it is
  std::string_view protocol;  ///< "http2", "http1", "" while that is not known
  std::string_view state;     ///< "connecting", "handshake", "open", "draining", "closing"
  std::string tls;            ///< "TLSv1.3"; "": cleartext
  std::string server_name;    ///< what a client asked for in TLS
  std::chrono::nanoseconds age{0};
  size_t streams = 0;  ///< open now
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;  ///< sent into the socket; both without TLS's own
};

/// Which connections are wanted; what is empty takes any.
struct ConnectionFilter {
  bool clients = true;
  bool upstreams = true;
  std::string place;              ///< a listener or a cluster
  std::optional<IpAddress> peer;  ///< at whatever port

  bool takes_place(std::string_view name) const { return place.empty() || place == name; }
  bool takes_peer(const IpAddress& address) const { return !peer || *peer == address; }
};

/// What one worker found.
struct ConnectionsFound {
  std::vector<ConnectionView> views;  ///< up to the limit
  uint64_t matched = 0;               ///< all that the filter takes
};

}  // namespace sluice::l7
