// The VIP addresses that routers may learn from this node, as addresses of a TUN device.
//
// BIRD or FRR exports the addresses of that device. It is not persistent: when this process ends, however it
// ends, the kernel removes the device with its addresses, and BGP withdraws them. Nothing reads the device:
// traffic to the VIPs comes in by the ports and never reaches it.
//
// A second device, of the same kind, carries the addresses of a node that is about to withdraw them. BIRD or
// FRR exports those too, with the community that asks routers to prefer anybody else (RFC 8326): which device
// an address is on is the one thing about it that both of them can tell.
#pragma once

#include <string>
#include <vector>

#include "control/tun_device.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice::control {

class Announcer {
 public:
  /// Makes both devices. Errors say what to do (name taken by another process, no permission, no
  /// /dev/net/tun).
  static Result<Announcer> open(const std::string& device, const std::string& drain_device);

  /// Announces exactly these, `leaving` or not: new ones are added before old ones go, and what changes from
  /// one device to the other does so at once. An address that another device of this host has too is no
  /// error. On an Error, which names the address, the others are as asked.
  Result<void> announce(const std::vector<Prefix>& addresses, bool leaving);

  /// Sorted.
  const std::vector<Prefix>& announced() const { return leaving_ ? leave_.addresses : stay_.addresses; }

 private:
  struct Side {
    TunDevice device;
    std::vector<Prefix> addresses;  ///< sorted
  };

  Announcer(TunDevice stay, TunDevice leave) : stay_{std::move(stay), {}}, leave_{std::move(leave), {}} {}
  static Result<void> move(Side& from, Side& to, const std::vector<Prefix>& wanted);
  static Result<void> put(Side& side, const std::vector<Prefix>& wanted);

  Side stay_;
  Side leave_;
  bool leaving_ = false;
};

}  // namespace sluice::control
