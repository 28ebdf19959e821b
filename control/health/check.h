// One attempt to find out whether a backend is alive. Every kind of check is a class of its own, made anew
// for each attempt; when it is run and what follows from it is health_checks.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "control/health/check_result.h"
#include "control/health/health_target.h"

namespace sluice::control {

class TlsContexts;
class TunnelPath;

/// What checks share. Outlives them.
struct CheckContext {
  boost::asio::io_context& io;
  TlsContexts& tls;
  TunnelPath* tunnel = nullptr;  ///< for targets with a VIP
};

/// Held by a shared_ptr; the handlers of its asynchronous operations keep it until they have ended.
class Check : public std::enable_shared_from_this<Check> {
 public:
  using Done = std::function<void(CheckResult)>;

  virtual ~Check() = default;
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  /// `done` is called at most once, possibly before start() returns.
  void start(Done done) {
    done_ = std::move(done);
    begin();
  }
  /// Ends the attempt: what is open is closed, and `done` is not called any more.
  void cancel() {
    done_ = nullptr;
    close();
  }
  /// The result of an attempt that has not ended in time; cancel() it too.
  virtual CheckResult timed_out(std::chrono::milliseconds limit) const;

 protected:
  Check() = default;

  virtual void begin() = 0;
  /// Closes what is open; called more than once.
  virtual void close() = 0;
  /// What it waits for now, as in "no ... within 1000 ms".
  virtual std::string awaited() const { return "answer"; }

  void finish(CheckResult result) {
    if (!done_) return;
    const auto done = std::exchange(done_, nullptr);
    close();
    done(std::move(result));
  }
  bool ended() const { return !done_; }

 private:
  Done done_;
};

/// An attempt of the kind that `target` asks for, which is not kNone.
std::shared_ptr<Check> make_check(const CheckContext& context, const HealthTarget& target);

}  // namespace sluice::control
