// What one health check found.
#pragma once

#include <string>
#include <string_view>
#include <utility>

namespace sluice::control {

struct CheckResult {
  enum class Verdict {
    kGood,
    kBad,
    kNotRun,  ///< this node could not check (no file descriptors, ...): says nothing about the backend
  };
  /// What kind of failure kBad is.
  enum class Failure {
    kAnswer,   ///< the server answered, and not as expected
    kNetwork,  ///< no connection, no handshake, or it broke
    kTimeout,  ///< no end in time
  };
  Verdict verdict = Verdict::kGood;
  std::string error;     ///< one line for people; "" if good
  bool answered = true;  ///< false: good because of silence, so there is no latency
  Failure failure = Failure::kAnswer;
  bool leaving = false;  ///< bad because it answered that it leaves
  bool there = false;    ///< kNetwork: its host has said no, so that is there

  static CheckResult good() { return {}; }
  static CheckResult good_silence() { return {Verdict::kGood, "", false}; }
  static CheckResult bad(std::string error, Failure failure = Failure::kAnswer) {
    return {Verdict::kBad, std::move(error), true, failure};
  }
  static CheckResult not_run(std::string error) { return {Verdict::kNotRun, std::move(error), true}; }
};

/// `text` of a server or program as part of an error: one line, printable, in bounds, `"` as `'` since logs
/// quote errors.
std::string printable(std::string_view text, size_t limit = 200);

}  // namespace sluice::control
