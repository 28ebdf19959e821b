// How a pool finds out which of its backends are alive, and what follows when too few are. Settings only; the
// checks themselves are control/health.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice {

enum class HealthCheckKind : uint8_t {
  kNone,      ///< backends are taken for healthy
  kTcp,       ///< a connection is accepted
  kHttp,      ///< HTTP/1.1 GET answered with an expected status (and body)
  kHttps,     ///< the same over TLS
  kHttp2,     ///< the same over HTTP/2, cleartext with prior knowledge
  kGrpc,      ///< grpc.health.v1.Health/Check answers SERVING
  kUdp,       ///< a datagram is answered as expected, or at least not refused by ICMP
  kIcmp,      ///< echo is answered
  kExternal,  ///< a program exits with status 0
};

/// How the check's packets reach the backend.
enum class HealthCheckVia : uint8_t {
  kDirect,  ///< to the backend's own address
  kTunnel,  ///< to the VIP, through the same tunnel as traffic: also finds a missing VIP or decapsulation
};

/// First and last HTTP status of a range that counts as healthy.
struct StatusRange {
  uint16_t first = 200;
  uint16_t last = 299;
  friend bool operator==(const StatusRange&, const StatusRange&) = default;
};

struct HealthCheck {
  HealthCheckKind kind = HealthCheckKind::kNone;
  HealthCheckVia via = HealthCheckVia::kDirect;
  std::optional<uint16_t> port;  ///< absent: the port of the pool's first VIP that has a single one
  std::chrono::milliseconds interval{2000};
  std::chrono::milliseconds fast_interval{500};  ///< while the state is about to change
  std::chrono::milliseconds timeout{1000};       ///< for one check, connection included
  uint32_t rise = 2;                             ///< good checks in a row that make a backend healthy
  uint32_t fall = 3;                             ///< bad checks in a row that make it unhealthy
  bool answer_decides = false;  ///< an answer that is not good does at once; `fall` is for no answer at all

  std::string path = "/";  ///< http, https, http2
  std::string host;        ///< Host or :authority, and TLS server name; "": the address
  std::vector<StatusRange> expected_status = {StatusRange{}};
  /// A backend that answers so is about to leave: it gets no new flows at once, and keeps those it has.
  std::vector<StatusRange> leaving_status;
  std::string expected_body;         ///< the body must contain this; "": any
  bool verify_certificate = false;   ///< https: check the certificate against the system's authorities
  std::string grpc_service;          ///< "": the server as a whole
  std::string udp_payload;           ///< what is sent
  std::string udp_expected;          ///< what the answer must begin with; "": silence is good too
  std::vector<std::string> command;  ///< external: program and arguments; see docs/health-checks.md

  bool passive = false;  ///< SYN retransmissions and ICMP errors seen in traffic count as a bad check
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

/// What a pool does when too few backends are healthy.
enum class TooFewHealthy : uint8_t {
  kWithdraw,  ///< its VIPs are no longer announced
  kFailOpen,  ///< traffic goes to all its backends, healthy or not
};

struct PoolPolicy {
  uint32_t min_healthy = 1;  ///< fewer healthy backends than this are too few
  TooFewHealthy too_few = TooFewHealthy::kWithdraw;
  /// Below this share of healthy backends (percent of all, 0..100) traffic goes to all of them, on the ground
  /// that the check is wrong rather than nearly every server; 0: never.
  uint32_t panic_percent = 0;
  /// Flap damping: a backend that turned unhealthy `flap_limit` times within `flap_window` must stay healthy
  /// for `flap_hold` before it is used again; 0: off.
  uint32_t flap_limit = 0;
  std::chrono::seconds flap_window{60};
  std::chrono::seconds flap_hold{30};
  friend bool operator==(const PoolPolicy&, const PoolPolicy&) = default;
};

}  // namespace sluice
