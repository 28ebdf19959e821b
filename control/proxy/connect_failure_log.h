// Says in the log why connections to endpoints fail. Workers note the reason of the last failure of each
// endpoint; here it is looked at now and then, so that no worker waits for a log, and an endpoint that is
// down for a day is a few lines.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/l7/snapshot.h"

namespace sluice::control {

struct ConnectFailureLine {
  std::string cluster;
  EndpointId endpoint;
  std::string why;
  uint64_t failures;  ///< since the last line
};

class ConnectFailureLog {
 public:
  /// While an endpoint goes on failing for the same reason, one line in so long.
  static constexpr std::chrono::minutes kAgain{1};

  /// What is to be said now, at `now`: endpoints that have failed since they were looked at last, for another
  /// reason than was said, or long after that. Endpoints that have gone are forgotten.
  std::vector<ConnectFailureLine> look(const l7::ProxySnapshot& snapshot,
                                       std::chrono::system_clock::time_point now);

 private:
  struct Said {
    std::chrono::system_clock::time_point at;
    std::string why;
    uint64_t failures = 0;  // in all, then
  };
  std::map<std::pair<std::string, EndpointId>, Said> said_;
};

}  // namespace sluice::control
