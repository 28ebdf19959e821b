// Reads once a second what traffic says about backends, and reports those in trouble. What that is, is
// decided by lb/passive_health.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "lb/address.h"
#include "lb/model.h"
#include "lb/passive_health.h"

namespace sluice::control {

/// Watches the pools whose health check has `passive`. Lives on the thread that runs `io`.
class PassiveWatch {
 public:
  /// The totals of a backend since the start.
  using Read = std::function<PassiveSignals(const Pool&, const Backend&)>;
  /// A backend is in trouble, in words, and should stay out for `hold`.
  using Report =
      std::function<void(const Pool&, const Backend&, const std::string& what, std::chrono::seconds hold)>;

  /// `pools` are the pools as they are now. All are called from the io_context.
  PassiveWatch(boost::asio::io_context& io, std::function<const std::vector<Pool>&()> pools, Read read,
               Report report);

 private:
  using Windows = std::map<IpAddress, PassiveWindow>;

  void wait();
  void turn();
  void watch(const Pool& pool, Windows& windows);

  const std::function<const std::vector<Pool>&()> pools_;
  const Read read_;
  const Report report_;
  boost::asio::steady_timer timer_;
  std::map<std::string, Windows> windows_;  ///< of watched pools
};

}  // namespace sluice::control
