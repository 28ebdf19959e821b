// Finds the AF_XDP sockets that the driver opened: it offers no receive interrupts, but poll() on its sockets
// lets an idle worker sleep until a packet arrives.
#pragma once

#include <vector>

namespace sluice::l4 {

/// File descriptors of this process that are AF_XDP sockets, in ascending order, which is the order in which
/// they were opened.
std::vector<int> af_xdp_sockets();

}  // namespace sluice::l4
