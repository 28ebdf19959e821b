// Every drop has a name. The same names are in the CLI, the metrics and docs/drop-reasons.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

enum class DropReason : uint8_t {
  kNotForVip,
  kTruncated,
  kBadIpHeader,
  kBadIpChecksum,
  kFragment,
  kExtensionHeaders,
  kUnsupportedProtocol,
  kUnknownService,
  kIcmpUnmatched,
  kNoBackend,
  kBackendUnresolved,
  kTooBig,
  kNoHeadroom,
  kMultiSegment,
  kTxFull,
  kCount,
};

inline constexpr size_t kDropReasons = static_cast<size_t>(DropReason::kCount);

struct DropReasonText {
  std::string_view name;
  std::string_view help;
};

/// Names and one line each, in the order of the enum.
inline constexpr std::array<DropReasonText, kDropReasons> kDropReasonTexts{{
    {"not_for_vip", "no VIP has this destination address, and the port has no kernel side to pass it to"},
    {"truncated", "the frame ends before the headers that it announces"},
    {"bad_ip_header", "IP version, header length or total length contradict each other or the frame"},
    {"bad_ip_checksum", "the IPv4 header checksum is wrong"},
    {"fragment", "IP fragment: the ports that choose the backend are not in every fragment"},
    {"extension_headers", "IPv6 extension headers are too many or of a kind that hides the ports"},
    {"unsupported_protocol", "to a VIP address, but neither TCP, UDP nor ICMP"},
    {"unknown_service", "to a VIP address, but no VIP has this protocol and port"},
    {"icmp_unmatched", "ICMP to a VIP that is neither an echo request nor an error about a VIP flow"},
    {"no_backend", "the VIP's pool has no backend that takes this flow"},
    {"backend_unresolved", "no next hop to the chosen backend: no route, or no ARP/ND answer"},
    {"too_big", "larger than the link to the backend once encapsulated; the client was told by ICMP"},
    {"no_headroom", "no room before the packet for the outer header"},
    {"multi_segment", "spread over several buffers in a way that the port or the parser cannot handle"},
    {"tx_full", "the transmit queue was full"},
}};

constexpr std::string_view drop_reason_name(DropReason reason) {
  return kDropReasonTexts[static_cast<size_t>(reason)].name;
}

}  // namespace sluice
