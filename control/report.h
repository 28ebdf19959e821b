// What a running node says about itself: the body of /v1/status and /v1/stats, and their tables in the CLI.
//
// Fields are only ever added. A reader takes a missing one as its default, so a CLI and a node of different
// versions understand each other.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lb/result.h"

namespace sluice {

struct PortReport {
  std::string name;
  std::string kind;    ///< as in the configuration: af_xdp, pci, vdev
  std::string device;  ///< interface, PCI address or vdev
  std::string link;    ///< "up", "down"
  uint16_t queues = 0;
  uint64_t rx_packets = 0;
  uint64_t tx_packets = 0;
  uint64_t rx_missed = 0;     ///< lost before a worker took them: the receive queue was full
  uint64_t rx_no_buffer = 0;  ///< lost for want of packet buffers
  uint64_t rx_errors = 0;
  uint64_t tx_errors = 0;
};

struct WorkerReport {
  uint32_t index = 0;
  int64_t core = -1;  ///< CPU; -1: floats over all
  std::string idle;   ///< as in the configuration: poll, adaptive
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t polls = 0;
  uint64_t idle_polls = 0;
  uint64_t sleeps = 0;
  uint64_t flows = 0;
  uint64_t flow_capacity = 0;
  uint64_t inserted = 0;   ///< flows remembered since the start
  uint64_t expired = 0;    ///< of these, forgotten after their idle time-out
  uint64_t evictions = 0;  ///< of these, given up for another flow
  uint64_t echo_replies = 0;
  uint64_t too_big_answers = 0;
};

struct VipReport {
  std::string name;
  std::string address;
  std::string protocol;  ///< tcp, udp
  std::string ports;     ///< "80", "8000-8100", "any"
  std::string pool;
  uint64_t backends_active = 0;  ///< those that take new flows now
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

/// A backend in a pool.
struct BackendReport {
  std::string pool;
  std::string name;
  std::string address;
  std::string state;  ///< active, drain, down
  uint32_t weight = 0;
  double slots_share = 0;  ///< of its pool's Maglev table, 0..1
  bool resolved = false;   ///< frames can leave for it
  std::string next_hop;    ///< "wan via 02:00:00:00:00:01", or why there is none
  uint64_t packets = 0;
  uint64_t bytes = 0;
  /// "healthy", "unhealthy", "held" (by flap damping), "leaving" (it has said so); "": it is not checked
  std::string health;
  std::string health_error;      ///< of the last check; "" if it was good
  int64_t health_since = 0;      ///< of the present health; seconds since 1970
  int64_t next_check = 0;        ///< seconds since 1970
  int64_t check_latency_us = 0;  ///< of the last good check
  uint64_t checks = 0;
  uint64_t failed_checks = 0;
  std::string checked_at;           ///< "direct", or "tunnel, " and the VIP; "": it is not checked
  uint64_t syns = 0;                ///< SYNs sent to it
  uint64_t syns_again = 0;          ///< of these, repeated by the client
  uint64_t unreachable_errors = 0;  ///< ICMP destination unreachable about its flows
};

/// A VIP address.
struct AnnouncementReport {
  std::string address;
  bool announced = false;
  std::string reason;  ///< why not
  std::vector<std::string> vips;
  bool leaving = false;  ///< announced, but routers are asked to prefer other nodes
};

struct DropReport {
  std::string reason;
  std::string help;
  uint64_t packets = 0;
};

struct Report {
  std::string node;
  std::string version;
  int64_t pid = 0;
  int64_t started = 0;      ///< seconds since 1970
  int64_t taken_ns = 0;     ///< when the counters were read; nanoseconds of a steady clock of that machine
  uint64_t generation = 0;  ///< of the forwarding table
  std::string config_path;
  std::string config_error;  ///< why the last reload changed nothing; empty if it did
  std::string isa;           ///< instruction set that the code was chosen for
  std::vector<PortReport> ports;
  std::vector<WorkerReport> workers;
  std::vector<VipReport> vips;
  std::vector<BackendReport> backends;
  std::vector<DropReport> drops;
  bool draining = false;  ///< nothing is announced because the operator said so
  std::vector<AnnouncementReport> announcements;
  std::string capabilities;  ///< of sluiced, "net_admin net_raw"
};

/// One line of JSON. Bytes that are not UTF-8 are replaced.
std::string to_json(const Report& report);

/// The reverse. Errors: no JSON object, or a field of another type.
Result<Report> report_from_json(std::string_view text);

/// How the node is set up and whether it can work. `now` in seconds since 1970. With `colour`, here and
/// below, states are in the colours of a terminal.
std::string render_status(const Report& report, int64_t now, bool colour = false);

/// The checked backends and why one is down; `now` in seconds since 1970.
std::string render_health(const Report& report, int64_t now, bool colour = false);

/// The VIP addresses and why one is not announced.
std::string render_announcements(const Report& report, bool colour = false);

/// The counters since the start; with an `earlier` report of the same process also their rates per second
/// in between. Drop reasons that never occurred are left out.
std::string render_stats(const Report& report, const Report* earlier = nullptr);

}  // namespace sluice
