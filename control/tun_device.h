// A TUN device of this process, with addresses and routes on it.
//
// It is not persistent: when this process ends, however it ends, the kernel removes the device, and with it
// its addresses and routes. So nothing is left behind that a next start would have to clean up.
#pragma once

#include <cstdint>
#include <string>

#include "lb/address.h"
#include "lb/result.h"

struct mnl_socket;

namespace sluice::control {

class TunDevice {
 public:
  struct Options {
    std::string name;        ///< 1 to 15 characters; "%d" in it becomes the first number that is free
    uint32_t mtu = 1500;     ///< bytes of an IP packet
    std::string name_taken;  ///< what to do when another process has a device of this name
  };

  /// Who may choose an address of the device as the source of its packets.
  enum class Scope : uint8_t {
    kGlobal,  ///< anybody
    kDevice,  ///< only packets that leave by the device itself
  };

  /// Makes the device and sets it up. Errors say what to do (name taken by another process, no permission, no
  /// /dev/net/tun).
  static Result<TunDevice> open(const Options& options);
  TunDevice(TunDevice&&) noexcept;
  TunDevice& operator=(TunDevice&&) = delete;
  ~TunDevice();

  /// When the process is killed, this device goes before what the process has opened otherwise. The kernel
  /// ends what a process had open one after the other, from the highest descriptor down, and each network
  /// device takes it some 20 ms. Best effort; before anybody asks for descriptor().
  void end_first();

  const std::string& name() const { return name_; }
  int index() const { return index_; }
  /// One IP packet per read and write, without a header before it. Does not block.
  int descriptor() const { return tun_; }

  /// Adds an address, with the route to its prefix. One that is there already is no error, nor is one that
  /// another device of this host has too.
  Result<void> add_address(const Prefix& address, Scope scope = Scope::kGlobal);
  /// One that is not there is no error.
  Result<void> remove_address(const Prefix& address);
  /// Removes it from `other` and adds it here, as one request: whoever follows the kernel's messages is told
  /// of both with a few microseconds in between. It is never on both, which is more than zebra of FRR 8.4 can
  /// take: of two devices with one address it forgets the wrong one.
  Result<void> move_address(TunDevice& other, const Prefix& address);

  /// Sends packets to `destination` into the device, in the main table. As above: twice is no error.
  Result<void> add_route(const Prefix& destination);
  Result<void> remove_route(const Prefix& destination);

 private:
  TunDevice(int tun, mnl_socket* netlink) : tun_(tun), netlink_(netlink) {}
  Result<void> set_up(uint32_t mtu);
  Result<void> address_changed(const Prefix& address, bool add, int error) const;
  Result<void> change_route(const Prefix& destination, bool add);

  std::string name_;
  int tun_;
  mnl_socket* netlink_;
  int index_ = 0;
};

}  // namespace sluice::control
