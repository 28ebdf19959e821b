// The forwarding table: everything that a worker needs to send a packet on, as one immutable value.
//
// The control thread builds a new one for every change and publishes it by RCU; workers only read. A decision
// made from it is a function of the configuration and the packet, so that nodes with the same configuration
// agree; the flow table, which remembers, is the worker's own.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lb/flow_table.h"
#include "lb/id_registry.h"
#include "lb/maglev.h"
#include "lb/model.h"
#include "lb/outer_header.h"
#include "lb/result.h"
#include "lb/vip_lookup.h"

namespace sluice {

/// The way out to a backend, as the kernel or the operator names it.
struct Egress {
  uint16_t port = 0;  ///< index of a port in the config
  MacAddress source;
  MacAddress next_hop;
  uint16_t mtu = 1500;  ///< largest IP packet on that link, in bytes
  friend bool operator==(const Egress&, const Egress&) = default;
};

/// Finds the way to a backend; nothing while it is not known.
using EgressLookup = std::function<std::optional<Egress>(const Backend&)>;

/// What a packet to one backend needs: two cache lines.
struct alignas(64) ForwardBackend {
  OuterHeader outer;
  uint16_t port = 0;
  uint16_t max_inner_length = 0;   ///< IP bytes that fit into the link behind the outer header
  bool takes_known_flows = false;  ///< false: removed or down, its flows are placed anew
  bool resolved = false;           ///< the next hop is known
};
static_assert(sizeof(ForwardBackend) == 128, "two cache lines: the header template, and the rest");

/// What a packet to one VIP needs: half a cache line.
struct alignas(32) ForwardVip {
  const BackendId* slots = nullptr;  ///< the pool's Maglev table
  uint32_t slot_count = 0;           ///< 0: no backend takes new flows
  FlowTick idle_timeout = 0;
  uint16_t id = 0;  ///< of its counters

  /// The backend of a flow that no flow table knows, or kNoBackend.
  BackendId pick(uint64_t flow_hash) const {
    if (slot_count == 0) [[unlikely]]
      return kNoBackend;
    // The hash is uniform, so scaling its upper half is as good as the remainder, without a division.
    return slots[((flow_hash >> 32) * slot_count) >> 32];
  }
};
static_assert(sizeof(ForwardVip) == 32, "two to a cache line");

/// Numbers of VIPs and backends, kept over all tables of a process.
struct ForwardingIds {
  IdRegistry vips{kMaxVips};
  IdRegistry backends{kMaxBackends};

  static constexpr uint16_t kMaxVips = 16384;
  static constexpr uint16_t kMaxBackends = 65535;
  /// The name under which a backend has its number: its pool and its address.
  static std::string backend_name(const Pool& pool, const Backend& backend);
};

/// The idle time-out of each backend's flows in ticks, by its number: the longest of the VIPs that use its
/// pool, as a flow entry does not say of which VIP it is. 0 for numbers that no backend has.
std::vector<FlowTick> backend_idle_timeouts(const Services& services, const ForwardingIds& ids);

class ForwardingTable {
 public:
  /// Builds the table of `services`. `previous` (may be null) lends the Maglev tables of pools that did not
  /// change. New VIPs and backends get numbers from `ids`; numbers are freed by release_ids, once no worker
  /// reads an older table. Fails, and changes nothing but `ids`, when a Maglev table cannot be built or
  /// numbers run out.
  static Result<std::unique_ptr<const ForwardingTable>> build(const Services& services,
                                                              const EgressLookup& egress, ForwardingIds& ids,
                                                              const ForwardingTable* previous);

  /// Frees the numbers that this table does not use.
  void release_ids(ForwardingIds& ids) const;

  const VipLookup& vip_lookup() const { return lookup_; }
  const ForwardVip& vip(VipLookup::Index index) const { return vips_[index]; }
  /// Any id that a table of this process ever gave out: a removed backend reads as taking no flows.
  const ForwardBackend& backend(BackendId id) const {
    return backends_[id < backend_count_ ? id : kNoBackend];
  }
  const SipKey& hash_key() const { return hash_key_; }
  /// The longest idle time-out of all VIPs: what the sweep of a flow table goes by.
  FlowTick longest_idle_timeout() const { return longest_idle_timeout_; }

  /// Share of a pool's new flows that goes to a backend, 0..1: its slots of the Maglev table.
  double slots_share(const std::string& pool, BackendId backend) const;

 private:
  /// A Maglev table with what it was made from.
  struct PoolTable {
    std::vector<MaglevEntry> members;
    uint32_t size = 0;
    std::shared_ptr<const std::vector<BackendId>> slots;
    std::shared_ptr<const std::map<BackendId, uint32_t>> slots_owned;
  };

  ForwardingTable() = default;
  Result<void> add_pool(const Pool& pool, const Tunnel& tunnel, const EgressLookup& egress,
                        ForwardingIds& ids, const ForwardingTable* previous);
  void add_backend(BackendId id, const Backend& backend, const Tunnel& tunnel, const EgressLookup& egress);
  Result<void> add_vip(const Vip& vip, ForwardingIds& ids);

  SipKey hash_key_;
  FlowTick longest_idle_timeout_ = 0;
  VipLookup lookup_;
  std::vector<ForwardVip> vips_;
  std::vector<ForwardBackend> backends_;  ///< by id; [0] takes no flows
  uint32_t backend_count_ = 0;            ///< backends_.size(), without the division that it costs
  std::map<std::string, PoolTable> pools_;
  std::set<std::string> vip_names_;
  std::set<std::string> backend_names_;
};

}  // namespace sluice
