// The backend's end of the tunnel: the BPF program that takes the GRE header off packets to VIPs
// (decap.bpf.c), put on an interface, changed, read and taken off. The program stays when the process that
// attached it exits; it is found again by its name on the interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lb/address.h"
#include "lb/result.h"

namespace sluice::bpf {

/// Where in the kernel the program runs.
enum class DecapMode : uint8_t {
  kAuto,     ///< native if the driver can, else tc
  kNative,   ///< XDP in the driver: fastest
  kGeneric,  ///< XDP after the driver: any driver, but copies
  kTc,       ///< tc ingress: any driver, any MTU, beside a foreign XDP program
};

/// "native", "generic", "tc" or "auto".
std::string_view name_of(DecapMode mode);
Result<DecapMode> decap_mode(std::string_view name);

struct DecapSettings {
  std::vector<Prefix> vips;     ///< destinations of inner packets; at most 4096
  std::vector<Prefix> sources;  ///< outer sources to accept, at most 4096 per family; empty: any
  std::optional<uint32_t> key;  ///< the only GRE key to accept; absent: any key or none
  DecapMode mode = DecapMode::kAuto;
};

/// A counter of frames with its name and what it counts.
struct DecapCounter {
  std::string_view name;
  std::string_view meaning;
  uint64_t frames = 0;
};

struct DecapVip {
  Prefix vip;
  uint64_t packets = 0;
  uint64_t bytes = 0;  ///< of inner packets, from the IP header on
};

/// What runs on an interface. Counters are since the first attach.
struct DecapStatus {
  DecapMode mode = DecapMode::kNative;  ///< never kAuto
  uint32_t program_id = 0;
  std::vector<Prefix> sources;  ///< empty: any
  std::optional<uint32_t> key;
  std::vector<DecapVip> vips;
  std::vector<DecapCounter> counters;
};

struct DecapAttached {
  DecapMode mode = DecapMode::kNative;  ///< never kAuto
  std::vector<std::string> remarks;     ///< why a better mode was not taken
};

/// Decapsulates on `interface` as `settings` say. Where our program runs already, it is replaced in one step
/// by this one, with the same maps: counters go on and a VIP that stays misses no packet. Only a change
/// between native and generic has a gap of a few milliseconds: the kernel has no room for both at once.
/// On an Error what ran before goes on, though VIPs may have been added to it.
Result<DecapAttached> attach_decap(const std::string& interface, const DecapSettings& settings);

/// Nothing if our program is not on the interface.
Result<std::optional<DecapStatus>> decap_status(const std::string& interface);

/// Takes the program off, and the clsact qdisc if it came with the program and holds nothing else. False if
/// our program was not there. A foreign program is left alone.
Result<bool> detach_decap(const std::string& interface);

}  // namespace sluice::bpf
