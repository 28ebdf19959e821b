// The filter that leaves a packet socket only what comes from certain addresses (replies.bpf.c).
#pragma once

#include <span>

#include "dataplane/bpf/file_descriptor.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::bpf {

class ReplyFilter {
 public:
  /// Loads it; it lets nothing pass until set_sources().
  static Result<ReplyFilter> load();

  /// Puts it on a socket, which keeps it to its end.
  Result<void> attach_to(int socket) const;

  /// Packets from exactly these pass, at most 65536 of each family.
  Result<void> set_sources(std::span<const Prefix> sources) const;

 private:
  ReplyFilter() = default;
  FileDescriptor program_;
  FileDescriptor ipv4_;
  FileDescriptor ipv6_;
};

}  // namespace sluice::bpf
