// The thread that writes access logs: takes the workers' lines out of their rings and gives them to the
// system in batches. What a file does not take is dropped and counted; workers never wait for it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/l7/access_log.h"
#include "dataplane/l7/settings.h"
#include "lb/result.h"

namespace sluice {

class AccessLogTarget;

/// All functions are for one thread, the control thread.
class AccessLogWriter {
 public:
  /// Files that are open, by what the workers call them.
  using Targets = std::map<uint32_t, std::shared_ptr<AccessLogTarget>>;

  AccessLogWriter();
  AccessLogWriter(const AccessLogWriter&) = delete;
  AccessLogWriter& operator=(const AccessLogWriter&) = delete;
  /// As stop().
  ~AccessLogWriter();

  /// Opens, each anew, the files that the listeners' logs name, and numbers them in the settings. Nothing is
  /// written there before use(). Errors name the file and say what to do.
  Result<Targets> open(l7::ProxySettings& settings);
  /// Writes to `targets` from now on what comes out of `rings` (nullptr if nobody logs).
  void use(Targets targets, std::shared_ptr<l7::AccessLogRings> rings);
  /// As last given to use().
  const Targets& targets() const { return current_; }
  /// Opens the files anew that are in use, as who has renamed them wants it. On an error nothing has changed.
  Result<void> reopen();
  /// Writes what the rings hold and ends the thread. The workers have ended before.
  void stop();

 private:
  void run();
  void take_targets();
  bool write_all();
  void write_ring(l7::ByteRing& ring, bool& found);
  void flush_all();
  void tell_drops();
  bool nothing_to_do() const;
  uint32_t number_of(const std::string& to);

  std::map<std::string, uint32_t> numbers_;  // never used for anything else again: lines are under way
  Targets current_;
  std::shared_ptr<l7::AccessLogRings> rings_;
  std::thread thread_;
  std::atomic<bool> stopping_{false};

  mutable std::mutex mutex_;  // of next_
  std::unique_ptr<Targets> next_;

  // The thread's own.
  Targets targets_;
  uint64_t told_dropped_ = 0;
  std::chrono::steady_clock::time_point tell_at_{};
};

}  // namespace sluice
