// What sluice-proxy may take of the machine when its file does not say.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/l7/settings.h"

namespace sluice {

/// Bytes of memory that this process may have: the least of the machine's, of its control groups' (v2, or the
/// memory controller of v1) and of RLIMIT_AS. `root` is put before /proc and /sys, for tests.
uint64_t memory_allowed(const std::string& root = "");

/// Fills in what is 0: memory_limit is half of memory_allowed(), max_clients is nine tenths of the file
/// descriptors, so that endpoints have some left, and each listener's max_client_memory is 128 MiB or an
/// eighth of the memory limit.
void fill_limits(l7::ProxySettings& settings);

}  // namespace sluice
