// How reading from or writing to a socket that does not wait can end.
#pragma once

#include <cstdint>

namespace sluice::l7 {

enum class IoStatus : uint8_t { kDone, kBlocked, kClosed, kFailed };

}  // namespace sluice::l7
