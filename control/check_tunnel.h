// Health checks to a VIP, through the same GRE tunnel as traffic: up is only who decapsulates, has the VIP,
// and answers from it.
//
//   check's socket ── TUN device ──▶ this process: real addresses, outer header ── raw socket ──▶ backend
//         ▲                                                                                         │
//         └────── TUN device ◀── this process: the TUN's addresses ◀── packet socket ◀──────────────┘
//
// The backend answers directly, from the VIP, to this node's address. The kernel must not see such answers
// under their real addresses: while this node announces the VIP it is an address of its own, and a packet
// from it is a martian. So the socket only ever talks to a link-local address on the TUN device, and answers
// are picked up by a packet socket before the kernel's IP layer sees them, which has no use for them: it
// drops them as martians, or answers into the device, where they end. No sysctl, no rule, no firewall
// matters, and the kernel removes all of it with the process.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/check_packet.h"
#include "control/health/tunnel_path.h"
#include "control/tun_device.h"
#include "dataplane/bpf/file_descriptor.h"
#include "dataplane/bpf/reply_filter.h"
#include "lb/outer_header.h"

namespace sluice::control {

/// Lives on one thread: the one that runs `io`.
class CheckTunnel final : public TunnelPath {
 public:
  /// Needs CAP_NET_ADMIN and CAP_NET_RAW; what needs more, the filter, is made beforehand and must live
  /// longer. Errors say what to do; nothing is left behind.
  static Result<std::unique_ptr<CheckTunnel>> open(boost::asio::io_context& io,
                                                   const bpf::ReplyFilter& filter);
  CheckTunnel(const CheckTunnel&) = delete;
  CheckTunnel& operator=(const CheckTunnel&) = delete;

  /// How packets are carried, and the VIPs that targets may name. While a VIP is among them and not announced
  /// by this node, programs on this node do not reach it: their packets end in the device.
  Result<void> configure(const Tunnel& tunnel, std::vector<IpAddress> vips);

  tl::expected<Way, CheckResult> lead(int socket, Protocol protocol, const HealthTarget& target) override;
  std::string advice(const HealthTarget& target) override;

  const std::string& device() const { return tun_.name(); }

 private:
  /// The ends on the TUN device.
  struct Ends {
    IpAddress socket;
    IpAddress backend;
  };
  /// What a socket's packets become.
  struct Flow {
    IpAddress node;
    IpAddress vip;
    IpAddress backend;
    OuterHeader outer;
  };
  /// What has come back instead of an answer.
  struct Refusal {
    int error = 0;  ///< errno of the send, or 0
    uint8_t icmp_type = 0;
    uint8_t icmp_code = 0;
  };
  static constexpr size_t kHeadroom = 64;  ///< for the outer header
  using Descriptor = boost::asio::posix::stream_descriptor;

  CheckTunnel(boost::asio::io_context& io, TunDevice tun, const bpf::ReplyFilter& filter, uint32_t number);
  Result<void> add_addresses();
  Result<void> open_raw(Family family);
  Result<void> open_replies();

  void wait_for_packets();
  void wait_for_replies();
  void take_packets();
  void take_replies();
  void send(std::span<uint8_t> packet);
  void receive(std::span<uint8_t> packet);
  void read_refusals(Family family);
  bpf::FileDescriptor& raw(Family family) { return family == Family::kIpv4 ? raw_ipv4_ : raw_ipv6_; }
  const Ends& ends(Family family) const { return family == Family::kIpv4 ? ends_ipv4_ : ends_ipv6_; }
  tl::expected<IpAddress, CheckResult> node_address(const HealthTarget& target) const;

  TunDevice tun_;
  const bpf::ReplyFilter& filter_;
  Ends ends_ipv4_;
  Ends ends_ipv6_;
  Descriptor packets_;  ///< the TUN's descriptor
  Descriptor replies_;
  bpf::FileDescriptor raw_ipv4_;
  bpf::FileDescriptor raw_ipv6_;
  bool has_ipv6_ = true;

  Tunnel tunnel_;
  std::vector<Prefix> vips_;  ///< sorted
  /// By protocol << 16 | port of the socket. An entry outlives its socket: the reset that closes a connection
  /// is still to be sent then. The next socket with that port takes its place.
  std::unordered_map<uint32_t, Flow> flows_;
  std::unordered_map<IpAddress, Refusal> refusals_;  ///< by backend, since its last check began
  uint16_t packet_id_ = 0;
  /// Receive offload hands out several packets as one of up to 64 KiB.
  std::array<uint8_t, kHeadroom + (1 << 16)> buffer_;
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  ///< handlers may outlive us
};

}  // namespace sluice::control
