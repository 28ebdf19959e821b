// The VIP addresses that routers may learn from this node, as addresses of a TUN device.
//
// BIRD or FRR exports the addresses of that device. It is not persistent: when this process ends, however it
// ends, the kernel removes the device with its addresses, and BGP withdraws them. Nothing reads the device:
// traffic to the VIPs comes in by the ports and never reaches it.
#pragma once

#include <string>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"

struct mnl_socket;

namespace sluice::control {

class Announcer {
 public:
  /// Makes the device and sets it up. Errors say what to do (name taken by another process, no permission, no
  /// /dev/net/tun).
  static Result<Announcer> open(const std::string& device);
  Announcer(Announcer&&) noexcept;
  Announcer& operator=(Announcer&&) = delete;
  /// The device goes, and with it all addresses.
  ~Announcer();

  /// Announces exactly these: new ones are added before old ones go. An address that another device of this
  /// host has too is no error. On an Error, which names the address, the others are as asked.
  Result<void> announce(const std::vector<Prefix>& addresses);

  const std::vector<Prefix>& announced() const { return announced_; }
  const std::string& device() const { return device_; }

 private:
  Announcer(std::string device, int tun, mnl_socket* netlink, int index)
      : device_(std::move(device)), tun_(tun), netlink_(netlink), index_(index) {}
  Result<void> change(const Prefix& address, bool add);

  std::string device_;
  int tun_;
  mnl_socket* netlink_;
  int index_;
  std::vector<Prefix> announced_;  ///< sorted
};

}  // namespace sluice::control
