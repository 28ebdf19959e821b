// The L7 proxy's data plane: as many workers as cores, each with listeners of its own.
#pragma once

#include <memory>
#include <vector>

#include "dataplane/l7/worker.h"

namespace sluice::l7 {

class Proxy {
 public:
  /// Opens everything and starts the workers. Errors name the listener or cluster.
  static Result<std::unique_ptr<Proxy>> start(std::shared_ptr<const ProxySettings> settings);
  /// Ends the workers.
  void stop();

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace sluice::l7
