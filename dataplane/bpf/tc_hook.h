// Our filter at the tc ingress hook of an interface: one BPF program in direct-action mode at a handle and
// priority of our own, so that it is found again without a pin.
#pragma once

#include <optional>

#include "dataplane/bpf/attached_program.h"
#include "lb/result.h"

namespace sluice::bpf {

/// The program of our filter; nothing if there is no such filter (or no clsact qdisc to hold one).
Result<std::optional<Program>> attached_tc(int interface_index);

/// Adds the clsact qdisc that the ingress hook belongs to. False if the interface has one already.
Result<bool> add_clsact(int interface_index);

/// Adds our filter, or puts the program into the one that is there: at no moment is there none or two.
Result<void> attach_tc(int interface_index, int program_fd);

/// Removes our filter. The packets that it would have seen go on to the next filter and the kernel.
Result<void> detach_tc(int interface_index);

/// Removes the clsact qdisc, unless it holds filters of somebody else; then it stays. No qdisc is no error.
Result<void> remove_empty_clsact(int interface_index);

}  // namespace sluice::bpf
