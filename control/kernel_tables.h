// The kernel's links and neighbours, copied once and kept up to date by its notifications.
//
// Dumps and notifications come through one socket, in one queue: an older dump can never overwrite a newer
// notification. When the kernel drops notifications the tables are read again, and what they no longer hold
// is reported as gone.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include "control/netlink.h"
#include "control/next_hop.h"
#include "control/rtnetlink.h"
#include "lb/result.h"

namespace sluice::control {

class KernelTables {
 public:
  struct Listener {
    /// links() changed in a way that matters to a next hop.
    std::function<void()> on_links;
    /// neighbour(key) changed; `before` is nullptr if it is new. Look up the present value.
    std::function<void(const NeighbourKey& key, const Neighbour* before)> on_neighbour;
    /// A route to this destination was added, changed or removed.
    std::function<void(const Prefix& destination)> on_route;
    /// Any route may lead elsewhere now: an address, a rule or a next hop object changed, or notifications
    /// were lost.
    std::function<void()> on_any_route;
  };

  KernelTables(boost::asio::io_context& io, Listener listener);

  /// Subscribes and begins to read. An Error if there is no netlink socket to be had.
  Result<void> start();
  void stop();

  /// Both tables were read to their end once.
  bool complete() const { return complete_; }
  const Links& links() const { return links_; }
  /// nullptr if the kernel has no such entry.
  const Neighbour* neighbour(const NeighbourKey& key) const;

 private:
  /// A netlink socket does one dump at a time: links, then neighbours.
  enum class Dump : uint8_t { kNone, kLinks, kNeighbours };

  void on_message(const nlmsghdr& message);
  void on_link(const LinkChange& change);
  void on_neighbour(const NeighbourChange& change);
  void forget_neighbour(const NeighbourKey& key);
  void forget_link(uint32_t index);
  void read_again();
  void begin(Dump dump);
  void end_of_dump(const nlmsghdr& message);
  void forget_unseen();

  Listener listener_;
  boost::asio::io_context& io_;
  boost::asio::steady_timer read_again_timer_;
  std::unique_ptr<Netlink> netlink_;

  Links links_;
  std::unordered_map<NeighbourKey, Neighbour> neighbours_;

  Dump dump_ = Dump::kNone;
  uint32_t sequence_ = 0;
  bool complete_ = false;
  bool read_again_pending_ = false;
  bool interrupted_ = false;                 ///< the table changed under the dump: it may lack an entry
  std::unordered_set<uint32_t> links_seen_;  ///< since the dump began
  std::unordered_set<NeighbourKey> neighbours_seen_;                  ///< since the dump began
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  ///< timer handlers may outlive us
};

}  // namespace sluice::control
