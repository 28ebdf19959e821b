#include "dataplane/l4/pipeline.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/l4/icmp.h"
#include "dataplane/l4/parse.h"
#include "lb/cpu_clones.h"
#include "lb/flow_hash.h"

namespace sluice::l4 {

namespace {

/// A packet on its way from classification to transmission: half a cache line.
struct Flight {
  rte_mbuf* mbuf;
  uint8_t* ip;  ///< the IP packet in the mbuf
  uint32_t vip;
  uint16_t ip_length;
  BackendId backend;
  uint8_t traffic_class;
  bool starts_flow;
  bool remember;  ///< may be put into the flow table
};
static_assert(sizeof(Flight) == 32, "two to a cache line");
static_assert(kBurst <= 32, "a flight of a burst is a bit of a word");

/// The packets of one family in a burst, with the words that their hash is made of.
template <uint32_t kWords>
struct FlightGroup {
  uint32_t count = 0;
  uint32_t unreachable = 0;  ///< a bit for each flight that is an ICMP unreachable error
  FlowLanes<kWords> lanes;
  std::array<Flight, kBurst> flights;
};

template <uint32_t kWords>
[[gnu::always_inline]] inline void set_lane(FlowLanes<kWords>& lanes, uint32_t lane,
                                            const ParsedPacket& packet) {
  if constexpr (kWords == 2) {
    lanes.words[0][lane] = packet.source.low | packet.destination.low << 32;
  } else {
    lanes.words[0][lane] = packet.source.high;
    lanes.words[1][lane] = packet.source.low;
    lanes.words[2][lane] = packet.destination.high;
    lanes.words[3][lane] = packet.destination.low;
  }
  lanes.words[kWords - 1][lane] =
      flow_ports_word(packet.source_port_raw, packet.destination_port_raw, packet.protocol);
}

/// Bytes before the IP packet, in the mbuf.
[[gnu::always_inline]] inline uint32_t room_before(const rte_mbuf* mbuf, const uint8_t* ip) {
  return static_cast<uint32_t>(ip - static_cast<const uint8_t*>(mbuf->buf_addr));
}

/// Makes the frame start at `start` and, in its first segment, be `length` long.
[[gnu::always_inline]] inline void set_frame(rte_mbuf* mbuf, const uint8_t* start, uint32_t length) {
  mbuf->data_off = static_cast<uint16_t>(room_before(mbuf, start));
  mbuf->pkt_len = mbuf->pkt_len - mbuf->data_len + length;
  mbuf->data_len = static_cast<uint16_t>(length);
}

}  // namespace

/// One call of Pipeline::process.
struct Burst {
  Pipeline& pipeline;
  const ForwardingTable& table;
  uint16_t in_port;
  FlowTick now;
  TransmitBatches& out;
  FlightGroup<2> ipv4;
  FlightGroup<5> ipv6;

  // A constructor, so that the lanes are not zeroed for every burst.
  Burst(Pipeline& owner, const ForwardingTable& forwarding, uint16_t port, FlowTick tick,
        TransmitBatches& batches)
      : pipeline(owner), table(forwarding), in_port(port), now(tick), out(batches) {}

  void drop(rte_mbuf* mbuf, DropReason reason) {
    pipeline.counters_.drop(reason);
    rte_pktmbuf_free(mbuf);
  }

  [[gnu::always_inline]] void classify(rte_mbuf* mbuf) {
    auto* data = rte_pktmbuf_mtod(mbuf, uint8_t*);
    const FrameView frame{data, mbuf->data_len, mbuf->pkt_len};
    const uint64_t checksum = mbuf->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK;
    const ParsedPacket packet = parse(frame, checksum != RTE_MBUF_F_RX_IP_CKSUM_GOOD);
    if (packet.kind != ParsedKind::kFlow) [[unlikely]]
      return classify_other(mbuf, frame, packet);
    const VipLookup::Index vip = table.vip_lookup().find(packet.service());
    if (vip == VipLookup::kNone) [[unlikely]] {
      const bool to_vip = table.vip_lookup().has_address(packet.destination, packet.family);
      return drop(mbuf, to_vip ? DropReason::kUnknownService : DropReason::kNotForVip);
    }
    add_flight(mbuf, packet, vip, true);
  }

  [[gnu::always_inline]] void add_flight(rte_mbuf* mbuf, const ParsedPacket& packet, VipLookup::Index vip,
                                         bool remember) {
    if (packet.family == Family::kIpv4) {
      add_flight_to(ipv4, mbuf, packet, vip, remember);
    } else {
      add_flight_to(ipv6, mbuf, packet, vip, remember);
    }
  }

  template <uint32_t kWords>
  [[gnu::always_inline]] void add_flight_to(FlightGroup<kWords>& group, rte_mbuf* mbuf,
                                            const ParsedPacket& packet, VipLookup::Index vip, bool remember) {
    set_lane(group.lanes, group.count, packet);
    group.flights[group.count++] = {mbuf,
                                    rte_pktmbuf_mtod_offset(mbuf, uint8_t*, packet.ip_offset),
                                    vip,
                                    packet.ip_length,
                                    kNoBackend,
                                    packet.traffic_class,
                                    packet.starts_flow,
                                    remember};
  }

  /// Everything but TCP and UDP.
  [[gnu::noinline]] void classify_other(rte_mbuf* mbuf, const FrameView& frame, const ParsedPacket& packet) {
    const VipLookup& lookup = table.vip_lookup();
    const bool to_vip = packet.addressed && lookup.has_address(packet.destination, packet.family);
    if (packet.kind == ParsedKind::kNotIp || (packet.addressed && !to_vip)) {
      return drop(mbuf, DropReason::kNotForVip);
    }
    if (packet.kind == ParsedKind::kRefused) {
      // A buffer chain cut the headers, not the sender.
      const bool cut = packet.reason == DropReason::kTruncated && mbuf->nb_segs > 1;
      return drop(mbuf, cut ? DropReason::kMultiSegment : packet.reason);
    }
    if (is_echo_request(frame, packet)) {
      if (mbuf->nb_segs > 1 && !pipeline.ports_[in_port].multi_segment) {
        return drop(mbuf, DropReason::kMultiSegment);
      }
      make_echo_reply(rte_pktmbuf_mtod(mbuf, uint8_t*), packet);
      mbuf->ol_flags = 0;
      pipeline.counters_.echo_replies.add(1);
      return out.add(in_port, mbuf);
    }
    const auto flow = quoted_flow(frame, packet);
    const auto vip = flow ? lookup.find(flow->service()) : VipLookup::kNone;
    if (vip == VipLookup::kNone) return drop(mbuf, DropReason::kIcmpUnmatched);
    // A forged error must not take a place in the flow table.
    add_flight(mbuf, *flow, vip, false);
    if (!is_unreachable_error(frame, packet)) return;
    if (flow->family == Family::kIpv4) {
      ipv4.unreachable |= 1u << (ipv4.count - 1);
    } else {
      ipv6.unreachable |= 1u << (ipv6.count - 1);
    }
  }

  template <uint32_t kWords>
  [[gnu::always_inline]] void choose(FlightGroup<kWords>& group) {
    FlowTable& flows = pipeline.flows_;
    group.lanes.hash_all(table.hash_key(), group.count,
                         [&flows] [[gnu::always_inline]] (uint64_t hash) { flows.prefetch(hash); });
    for (uint32_t i = 0; i < group.count; ++i) {
      Flight& flight = group.flights[i];
      const uint64_t hash = group.lanes.hashes[i];
      const ForwardVip& vip = table.vip(flight.vip);
      // A SYN opens a new connection: it is placed by the table as it is now, even on a reused 5-tuple.
      if (!flight.starts_flow) {
        flight.backend = pipeline.flows_.find_and_refresh(hash, now, vip.idle_timeout);
      }
      if (!table.backend(flight.backend).takes_known_flows) [[unlikely]]
        place(flight, vip, hash);
      prefetch_backend(flight.backend);
    }
    if (group.unreachable != 0) [[unlikely]]
      count_unreachable(group);
  }

  /// Counts only errors about flows that are known: those about others are easy to forge.
  template <uint32_t kWords>
  [[gnu::noinline]] void count_unreachable(const FlightGroup<kWords>& group) {
    for (uint32_t i = 0; i < group.count; ++i) {
      if ((group.unreachable >> i & 1) == 0) continue;
      const FlowTick timeout = table.vip(group.flights[i].vip).idle_timeout;
      const BackendId backend = pipeline.flows_.find(group.lanes.hashes[i], now, timeout);
      if (backend != kNoBackend) pipeline.counters_.signals[backend].unreachable_errors.add(1);
    }
  }

  [[gnu::always_inline]] void place(Flight& flight, const ForwardVip& vip, uint64_t hash) {
    flight.backend = vip.pick(hash);
    if (!flight.remember || flight.backend == kNoBackend) return;
    const FlowTable::Known before = pipeline.flows_.insert(hash, flight.backend, now);
    if (flight.starts_flow) count_syn(flight.backend, before);
  }

  [[gnu::always_inline]] void count_syn(BackendId backend, FlowTable::Known before) {
    BackendSignals& signals = pipeline.counters_.signals[backend];
    signals.syns.add(1);
    if (before.backend == backend && before.idle <= kSynAgainTicks) signals.syns_again.add(1);
  }

  [[gnu::always_inline]] void prefetch_backend(BackendId id) {
    const auto* backend = reinterpret_cast<const uint8_t*>(&table.backend(id));
    __builtin_prefetch(backend);
    __builtin_prefetch(backend + 64);
  }

  template <uint32_t kWords>
  [[gnu::always_inline]] void encapsulate(FlightGroup<kWords>& group) {
    constexpr uint16_t kEtherType = kWords == 2 ? kEtherTypeIpv4 : kEtherTypeIpv6;
    // Kept in registers: for all the compiler knows, a byte written to a packet may change a member.
    TrafficCounter* const vip_counters = pipeline.counters_.vips.get();
    TrafficCounter* const backend_counters = pipeline.counters_.backends.get();
    const uint32_t count = group.count;
    uint16_t packet_id = pipeline.packet_id_;
    for (uint32_t i = 0; i < count; ++i) {
      const Flight& flight = group.flights[i];
      const ForwardBackend& backend = table.backend(flight.backend);
      rte_mbuf* const mbuf = flight.mbuf;
      uint8_t* const ip = flight.ip;
      const uint16_t ip_length = flight.ip_length;
      const uint16_t port_index = backend.port;
      const uint16_t outer_length = backend.outer.length;
      const EgressTraits port = pipeline.ports_[port_index];
      // The length up to which the first buffer holds the packet; the padding of short frames is cut off.
      uint32_t first_length = ip_length;
      if (!backend.resolved || ip_length > backend.max_inner_length || mbuf->nb_segs > 1 ||
          room_before(mbuf, ip) < sizeof backend.outer.bytes) [[unlikely]] {
        if (!can_still_send(flight, backend)) continue;
        if (mbuf->nb_segs > 1) first_length = mbuf->data_len - (room_before(mbuf, ip) - mbuf->data_off);
      }
      const InnerPacket inner{kEtherType, ip_length, flight.traffic_class, group.lanes.hashes[i]};
      backend.outer.write_before(ip, inner, packet_id++, port.hardware_ipv4_checksum);
      set_frame(mbuf, ip - outer_length, outer_length + first_length);
      set_offloads(mbuf, backend.outer, port);
      vip_counters[table.vip(flight.vip).id].add(1, ip_length);
      backend_counters[flight.backend].add(1, ip_length);
      out.add(port_index, mbuf);
    }
    pipeline.packet_id_ = packet_id;
  }

  [[gnu::always_inline]] void set_offloads(rte_mbuf* mbuf, const OuterHeader& outer,
                                           const EgressTraits& port) {
    mbuf->ol_flags = 0;
    if (port.hardware_ipv4_checksum && outer.is_ipv4) {
      mbuf->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM;
      mbuf->l2_len = kEthernetHeader;
      mbuf->l3_len = kIpv4Header;
    }
  }

  /// The rare cases of encapsulate; false if the packet was dropped or answered.
  [[gnu::noinline]] bool can_still_send(const Flight& flight, const ForwardBackend& backend) {
    rte_mbuf* mbuf = flight.mbuf;
    if (flight.backend == kNoBackend) return drop(mbuf, DropReason::kNoBackend), false;
    if (!backend.resolved) return drop(mbuf, DropReason::kBackendUnresolved), false;
    if (room_before(mbuf, flight.ip) < sizeof backend.outer.bytes) {
      return drop(mbuf, DropReason::kNoHeadroom), false;
    }
    if (flight.ip_length > backend.max_inner_length) return answer_too_big(flight, backend), false;
    if (mbuf->nb_segs == 1) return true;
    const uint32_t ip_offset = room_before(mbuf, flight.ip) - mbuf->data_off;
    const bool padded = mbuf->pkt_len != ip_offset + flight.ip_length;
    if (padded || !pipeline.ports_[backend.port].multi_segment) {
      return drop(mbuf, DropReason::kMultiSegment), false;
    }
    return true;
  }

  /// Tells the client what would have fitted, if it asked for that (DF) and the answer is not one of too
  /// many.
  void answer_too_big(const Flight& flight, const ForwardBackend& backend) {
    pipeline.counters_.drop(DropReason::kTooBig);
    rte_mbuf* mbuf = flight.mbuf;
    auto* data = rte_pktmbuf_mtod(mbuf, uint8_t*);
    const ParsedPacket packet = parse({data, mbuf->data_len, mbuf->pkt_len}, false);
    if (pipeline.too_big_tick_ != now) {
      pipeline.too_big_tick_ = now;
      pipeline.too_big_answers_ = 0;
    }
    const bool answerable = packet.kind == ParsedKind::kFlow && packet.dont_fragment && mbuf->nb_segs == 1 &&
                            room_before(mbuf, flight.ip) >= kTooBigRoom &&
                            pipeline.too_big_answers_ < Pipeline::kMaxTooBigAnswersPerTick;
    if (!answerable) return rte_pktmbuf_free(mbuf);
    ++pipeline.too_big_answers_;
    const IcmpAnswer answer = make_packet_too_big(data, packet, backend.max_inner_length);
    set_frame(mbuf, answer.start, answer.length);
    mbuf->ol_flags = 0;
    pipeline.counters_.too_big_answers.add(1);
    out.add(in_port, mbuf);
  }
};

namespace {

SLUICE_CPU_CLONES void run(Burst& burst, rte_mbuf* const* frames, uint32_t count) {
  constexpr uint32_t kAhead = 4;
  for (uint32_t i = 0; i < std::min(kAhead, count); ++i) {
    __builtin_prefetch(rte_pktmbuf_mtod(frames[i], void*));
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (i + kAhead < count) __builtin_prefetch(rte_pktmbuf_mtod(frames[i + kAhead], void*));
    burst.classify(frames[i]);
  }
  burst.choose(burst.ipv4);
  burst.choose(burst.ipv6);
  burst.encapsulate(burst.ipv4);
  burst.encapsulate(burst.ipv6);
}

}  // namespace

Pipeline::Pipeline(FlowTable& flows, WorkerCounters& counters, std::vector<EgressTraits> ports)
    : flows_(flows), counters_(counters) {
  std::copy_n(ports.begin(), std::min<size_t>(ports.size(), kMaxPorts), ports_.begin());
}

void Pipeline::process(const ForwardingTable& table, std::span<rte_mbuf* const> frames, uint16_t port,
                       FlowTick now, TransmitBatches& out) {
  Burst burst(*this, table, port, now, out);
  run(burst, frames.data(), static_cast<uint32_t>(frames.size()));
}

}  // namespace sluice::l4
