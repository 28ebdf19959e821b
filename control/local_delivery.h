// What on this host would keep a decapsulated packet from its server.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lb/address.h"

namespace sluice {

/// One line each, with the command that helps: VIPs that this host does not take as its own, and a strict
/// reverse path filter on `interface`. Only host VIPs can be asked about; prefixes are taken on trust.
std::vector<std::string> local_delivery_warnings(const std::string& interface, std::span<const Prefix> vips);

}  // namespace sluice
