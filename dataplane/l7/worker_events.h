// What workers tell whoever runs them, each on its own thread.
#pragma once

#include <functional>
#include <string>

namespace sluice::l7 {

struct WorkerEvents {
  /// An endpoint of that cluster has failed as often in a row as its settings allow.
  std::function<void(const std::string& cluster)> on_streak;
  /// After a change of configuration a worker cannot accept clients of a listener, and why.
  std::function<void(const std::string& error)> on_listen_failure;
};

}  // namespace sluice::l7
