// Questions to the kernel, a limited number at a time: where does a packet to an address go, and "this
// neighbour is in use". Ten thousand of them leave the thread to others in between.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <unordered_map>
#include <variant>

#include "control/netlink.h"
#include "control/rtnetlink.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::control {

class KernelRequests {
 public:
  struct Listener {
    std::function<void(const IpAddress&, const Route&)> on_route;
    /// `error` is 0 or an errno value. That the kernel took note does not mean that anyone answered.
    std::function<void(const NeighbourKey&, int error)> on_neighbour_used;
  };

  KernelRequests(boost::asio::io_context& io, Listener listener);

  /// An Error if there is no netlink socket to be had.
  Result<void> start();
  void stop();

  /// A look-up that waits for its turn already is not queued twice.
  void look_up(const IpAddress& address);
  void use_neighbour(const NeighbourKey& key);

  /// Nothing waits, nothing is unanswered.
  bool idle() const { return waiting_.empty() && outstanding_.empty(); }

 private:
  using Subject = std::variant<IpAddress, NeighbourKey>;

  void enqueue(const Subject& subject);
  void send();
  void on_message(const nlmsghdr& message);
  void on_overrun();
  void again_later();

  Listener listener_;
  boost::asio::io_context& io_;
  boost::asio::steady_timer again_timer_;
  std::unique_ptr<Netlink> netlink_;

  std::deque<Subject> waiting_;
  std::set<Subject> waiting_set_;                      ///< the same, to queue nothing twice
  std::unordered_map<uint32_t, Subject> outstanding_;  ///< by sequence number
  uint32_t sequence_ = 0;
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  ///< timer handlers may outlive us
};

}  // namespace sluice::control
