// The new process's side of a hand-over; see handover.h.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "control/proxy/handover.h"

namespace sluice {

class Takeover {
 public:
  /// Asks the process that listens at `path`, which must be of root, of this user or of `also`, for what it
  /// has. Nothing if nobody is there. Waits, at most 10 s. Errors say what to do.
  static Result<std::optional<Takeover>> begin(const std::string& path, std::optional<uid_t> also);
  /// Without commit() the other one goes on as if nothing had been.
  ~Takeover();
  Takeover(Takeover&& other) noexcept;
  Takeover& operator=(Takeover&& other) noexcept;

  HandoverOffer& offer() { return offer_; }
  /// The socket for the next upgrade, which the caller then owns.
  int release_upgrade_socket();
  /// All is ready: has the other one stop accepting, and waits until it has, at most 10 s. Errors: it has
  /// given up waiting, and goes on; this process must not serve then.
  Result<void> commit();

 private:
  explicit Takeover(int socket) : socket_(socket) {}
  int socket_;
  HandoverOffer offer_;
};

}  // namespace sluice
