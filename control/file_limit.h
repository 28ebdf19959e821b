// How many file descriptors a configuration needs, and getting them.
#pragma once

#include <cstdint>

#include "lb/model.h"

namespace sluice {

/// For all that can be open at a time: a health check has a socket, or for a program two pipes; clients;
/// ports and devices.
uint64_t files_needed(const Services& services);

/// Raises the limit of this process to `needed`, never lowers it. With the right to (at the start, as root)
/// it also raises how far it can be raised later. Returns the limit that is in force now.
uint64_t raise_file_limit(uint64_t needed);

}  // namespace sluice
