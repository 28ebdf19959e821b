// The XDP program that splits the traffic of an AF_XDP port between the workers and the kernel (steer.bpf.c),
// seen from the process that runs the workers.
//
// Order at start: Steering::detach_stale(interface); SteeringObject::create(); start DPDK with
// `net_af_xdp…,iface=IF,xdp_prog=PATH`; Steering::attach_to(interface) once the port's queues are set up;
// set_vips(). Until set_vips() everything passes to the kernel.
//
// A veth with several queues: DPDK takes one queue per device there (`start_queue=N`, without `queue_count`),
// and each device wants to attach the program anew. So, for each queue: detach(interface), set up the
// device's queue, and note its socket (l4::af_xdp_sockets(), before and after). Then attach_to() finds the
// last device's program, whose map lacks the other sockets: add_socket() each. The program passes everything
// until set_vips(), so the kernel's traffic goes on throughout.
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

  /// Gives the frames of a receive queue to a socket: for a port made of several DPDK devices, see above.
  Result<void> add_socket(uint32_t queue, int xdp_socket) const;

  /// Sums over all CPUs.
  Result<SteeringCounters> counters() const;

  /// Takes off the program of a sluiced that was killed; DPDK cannot attach while it is there. True if there
  /// was one. An Error if the program is not ours, or if sockets of a running process still use it.
  static Result<bool> detach_stale(const std::string& interface);

  /// Takes off our program, whoever uses it; no program is no error, another's is.
  static Result<void> detach(const std::string& interface);

 private:
  Steering() = default;
  FileDescriptor sockets_;
  FileDescriptor vips_ipv4_;
  FileDescriptor vips_ipv6_;
  FileDescriptor counters_;
};

}  // namespace sluice::bpf
