// Which of the rights that AF_XDP takes this process has not.
#pragma once

#include <string>

namespace sluice::l4 {

/// For the end of an error: "; sluiced lacks CAP_NET_RAW: ...", or "" if nothing is missing. Each of the four
/// was tried: without any one of them an AF_XDP port does not start.
std::string missing_capabilities();

}  // namespace sluice::l4
