// The next hops of all backends, followed as the kernel changes its mind.
//
// Linux stays in charge: it looks up the route, resolves and confirms the neighbour. Since VIP traffic passes
// it by, it would see nobody use its neighbour entries and let them go stale; so NextHops says "in use" for
// each of them, now and then.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "control/kernel_requests.h"
#include "control/kernel_tables.h"
#include "control/next_hop.h"
#include "control/rtnetlink.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::control {

struct NextHopTiming {
  /// Changes within this time are one change.
  std::chrono::milliseconds coalesce{20};
  /// A neighbour that does not answer is asked again after this, on top of the kernel's own three attempts.
  std::chrono::milliseconds retry{1000};
  /// A stale neighbour is confirmed within this time. The default is well below the 60 s after which Linux
  /// may forget a stale entry (net.ipv4.neigh.default.gc_stale_time).
  std::chrono::milliseconds refresh{10000};
};

/// Lives on one thread: the one that runs `io`.
class NextHops {
 public:
  /// `port_interfaces`: Linux's names of the interfaces that sluiced sends by. `on_change` is called, from
  /// the io_context, when find() answers something else for any of the tracked addresses.
  NextHops(boost::asio::io_context& io, std::vector<std::string> port_interfaces,
           std::function<void()> on_change, NextHopTiming timing = {});
  NextHops(const NextHops&) = delete;
  NextHops& operator=(const NextHops&) = delete;

  /// Subscribes and begins to read the kernel's tables; they arrive while the io_context runs. An Error if
  /// there is no netlink socket to be had. Interfaces that do not exist yet are no error.
  Result<void> start();

  /// Follows exactly these addresses from now on. What is known of those followed already stays.
  void track(const std::vector<IpAddress>& backends);

  /// The next hop, or in words why there is none. Answers from memory.
  Result<NextHop> find(const IpAddress& backend) const;

  /// Every tracked address has its next hop or a reason that is not just "waiting". A first ARP request that
  /// nobody answers settles after some three seconds.
  bool settled() const;

  /// Runs the io_context until settled(), until `limit` has passed or the
  /// io_context is stopped; for start-up. Returns settled().
  bool run_until_settled(std::chrono::milliseconds limit);

  /// Closes the sockets; find() keeps its last answers.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  struct Destination {
    std::optional<Route> route;       ///< absent: not answered yet
    std::optional<NeighbourKey> via;  ///< the neighbour that it uses
    NextHopDecision decision;
    bool changed = true;  ///< to be decided anew
  };
  /// A neighbour that destinations use.
  struct Use {
    uint32_t users = 0;
    Resolution resolution;
    std::optional<Clock::time_point> due;  ///< when to tell the kernel about it again
  };

  void on_any_route();
  void on_route_change(const Prefix& destination);
  void on_route(const IpAddress& address, const Route& route);
  void on_neighbour(const NeighbourKey& key, const Neighbour* before);
  void on_neighbour_used(const NeighbourKey& key, int error);

  void schedule_settling();
  void settle();
  /// True if the decision changed.
  bool decide(const IpAddress& address, Destination& destination);
  void use(Destination& destination, const std::optional<NeighbourKey>& via);
  void stop_using(const NeighbourKey& key);
  void plan(const NeighbourKey& key, Use& use, bool was_usable);
  void wait_for_tick();
  void tick();

  boost::asio::io_context& io_;
  const std::vector<std::string> ports_;
  const std::function<void()> on_change_;
  const NextHopTiming timing_;
  KernelTables tables_;
  KernelRequests requests_;
  boost::asio::steady_timer settle_timer_;
  boost::asio::steady_timer tick_timer_;
  bool settling_ = false;

  std::map<IpAddress, Destination> destinations_;  ///< sorted: those inside a prefix stand side by side
  std::unordered_map<NeighbourKey, Use> uses_;
  std::unordered_set<NeighbourKey> changed_neighbours_;  ///< since the last settling
  bool all_changed_ = false;
  size_t waiting_ = 0;  ///< destinations whose decision is "waiting", as of the last settling
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  ///< timer handlers may outlive us
};

}  // namespace sluice::control
