// The XDP program that splits the traffic of an AF_XDP port between the workers and the kernel (steer.bpf.c),
// seen from the process that runs the workers.
//
// Order at start: Steering::detach_stale(interface); SteeringObject::create(); start DPDK with
// `net_af_xdp…,iface=IF,xdp_prog=PATH`; Steering::attach_to(interface) once the port's queues are set up;
// set_vips(). Until set_vips() everything passes to the kernel.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/bpf/attached_program.h"
#include "dataplane/bpf/file_descriptor.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::bpf {

/// Frames counted by the program since it was loaded.
struct SteeringCounters {
  uint64_t steered = 0;    ///< to a VIP, handed to a worker's socket
  uint64_t passed = 0;     ///< not to a VIP: to the kernel
  uint64_t no_socket = 0;  ///< to a VIP, but no socket serves its receive queue: to the kernel
};

/// The program as a file, for DPDK, which loads it from a path. The file lives in memory, for this process
/// only, until this object goes: keep it until the port's queues are set up. One serves any number of ports.
class SteeringObject {
 public:
  static Result<SteeringObject> create();
  /// Free of characters that mean something in a DPDK device string.
  const std::string& path() const { return path_; }

 private:
  explicit SteeringObject(FileDescriptor file);
  FileDescriptor file_;
  std::string path_;
};

/// The program on one interface.
class Steering {
 public:
  /// Takes hold of the maps of the program attached to `interface`. An Error if none is, or another's.
  static Result<Steering> attach_to(const std::string& interface);

  /// Steers exactly these destinations. A prefix that was steered before and still is misses no packet. At
  /// most 65536 of each family. On an Error nothing that was steered before has stopped being so.
  Result<void> set_vips(std::span<const Prefix> vips) const;

  /// The destinations steered now, sorted.
  Result<std::vector<Prefix>> vips() const;

  /// Sums over all CPUs.
  Result<SteeringCounters> counters() const;

  /// Takes off the program of a sluiced that was killed; DPDK cannot attach while it is there. True if there
  /// was one. An Error if the program is not ours, or if sockets of a running process still use it.
  static Result<bool> detach_stale(const std::string& interface);

  /// Takes off our program, whoever uses it; no program is no error, another's is.
  static Result<void> detach(const std::string& interface);

 private:
  Steering(FileDescriptor ipv4, FileDescriptor ipv6, FileDescriptor counters)
      : vips_ipv4_(std::move(ipv4)), vips_ipv6_(std::move(ipv6)), counters_(std::move(counters)) {}
  FileDescriptor vips_ipv4_;
  FileDescriptor vips_ipv6_;
  FileDescriptor counters_;
};

}  // namespace sluice::bpf
