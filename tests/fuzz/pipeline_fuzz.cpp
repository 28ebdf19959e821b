// Any sequence of frames, reloads and pauses through the worker's pipeline: every frame has one fate, no
// buffer leaks, and what leaves is well formed.
//
// Input: one byte that chooses what the port can do, then steps. A step is one byte and its arguments:
//   bits 0..1 of the byte   0: frame   1: frame, IPv4 checksum mended   2: process the burst now   3: change
//   frame                   bits 2..3: cut into segments of 4096, 512, 128 or 32 bytes; bit 4: little
//   headroom;
//                           bit 5: the NIC says that the checksum is good. Then two bytes of length (little
//                           endian, capped by what is left) and the frame.
//   change                  bits 2..4: the table to use next; bits 5..7: 2^n - 1 ticks go by.
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "dataplane/l4/parse.h"
#include "dataplane/l4/pipeline.h"
#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "pipeline_fuzz: %s\n", what);
  __builtin_trap();
}

constexpr size_t kTables = 8;

/// Eight configurations that follow each other in one process: ids are shared, as after reloads.
class Tables {
 public:
  Tables() {
    for (size_t i = 0; i < kTables; ++i) {
      auto table = ForwardingTable::build(
          variant(i), [i](const Backend& asked) { return way_to(asked, i); }, ids_,
          i == 0 ? nullptr : tables_[i - 1].get());
      require(table.has_value(), "a table cannot be built");
      tables_[i] = std::move(*table);
    }
  }
  const ForwardingTable& at(size_t i) const { return *tables_[i]; }

 private:
  static Services variant(size_t i) {
    Services all = services();
    all.pools[0].backends.push_back(backend("b4-2", "10.0.1.12"));
    all.pools[1].backends.push_back(backend("b6-2", "2001:db8:1::12"));
    Vip any = vip("any", "203.0.113.0", Protocol::kUdp, 0, "four");
    any.address = Prefix(ip("203.0.113.0"), 24);
    any.ports = {0, 65535};
    switch (i) {
      case 1:
        all.pools[0].backends[0].state = BackendState::kDrain;
        break;
      case 2:
        all.pools[1].backends.erase(all.pools[1].backends.begin());
        break;
      case 3:
        all.pools[0].backends.clear();
        break;
      case 4:
        all.tunnel.gre_key = 0x01020304;
        break;
      case 5:
        all.tunnel.source_ipv4 = Prefix::parse("192.0.2.0/24").value();
        all.tunnel.source_ipv6 = Prefix::parse("2001:db8:2::/64").value();
        all.tunnel.dont_fragment = false;
        break;
      case 6:
        all.vips.push_back(any);
        break;
      case 7:
        all.cluster_seed = "another";
        break;
      default:
        break;
    }
    return all;
  }

  static std::optional<Egress> way_to(const Backend& asked, size_t i) {
    if (i == 6 && asked.name == "b6") return std::nullopt;
    const auto port = static_cast<uint16_t>(asked.name.ends_with("-2") ? 1 : 0);
    const uint16_t mtu = i == 4 ? 300 : 1500;
    return Egress{port, mac(kNodeMac), mac(kRouterMac), mtu};
  }

  ForwardingIds ids_;
  std::array<std::unique_ptr<const ForwardingTable>, kTables> tables_;
};

/// Lets the address sanitizer see reads behind the bytes of a frame's buffers.
void poison_tail(rte_mbuf* segment) {
  auto* buffer = static_cast<uint8_t*>(segment->buf_addr);
  const size_t used = segment->data_off + segment->data_len;
  ASAN_POISON_MEMORY_REGION(buffer + used, segment->buf_len - used);
}
void unpoison(rte_mbuf* segment) {
  ASAN_UNPOISON_MEMORY_REGION(segment->buf_addr, segment->buf_len);
}

/// The input, taken off its front.
struct Script {
  const uint8_t* at;
  const uint8_t* end;

  size_t left() const { return static_cast<size_t>(end - at); }
  uint8_t byte() { return left() > 0 ? *at++ : 0; }
  Bytes bytes(size_t count) {
    count = std::min(count, left());
    Bytes taken(at, at + count);
    at += count;
    return taken;
  }
};

void mend_checksum(Bytes& frame) {
  if (frame.size() < 34 || frame[12] != 0x08 || frame[13] != 0) return;
  const size_t length = std::min<size_t>((frame[14] & 0x0fu) * 4u, frame.size() - 14) & ~size_t{1};
  frame[24] = frame[25] = 0;
  uint32_t sum = 0;
  for (size_t i = 0; i < length; i += 2) sum += static_cast<uint32_t>(frame[14 + i] << 8 | frame[15 + i]);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  frame[24] = static_cast<uint8_t>(~sum >> 8);
  frame[25] = static_cast<uint8_t>(~sum);
}

/// A worker without ports. Its memory is cleared for every input, so that an input alone decides.
class Worker {
 public:
  explicit Worker(const Tables& tables, uint8_t traits)
      : tables_(tables),
        flow_memory_(FlowTable::kMinBuckets),
        flows_(flow_memory_),
        ports_{port(traits), port(traits >> 2)},
        pipeline_(flows_, counters(), {ports_.begin(), ports_.end()}),
        in_port_(traits >> 4 & 1) {
    for (Counter& counter : counters().drops) counter.subtract(counter.read());
    counters().too_big_answers.subtract(counters().too_big_answers.read());
  }

  void step(Script& script) {
    const uint8_t step = script.byte();
    switch (step & 3) {
      case 0:
      case 1:
        add_frame(script, step);
        if (burst_.size() == l4::kBurst) process();
        break;
      case 2:
        process();
        break;
      default:
        process();
        table_ = step >> 2 & 7;
        now_ = static_cast<FlowTick>(now_ + (1u << (step >> 5)) - 1);
    }
  }

  void process() {
    if (burst_.empty()) return;
    l4::TransmitBatches out;
    pipeline_.process(tables_.at(table_), burst_, in_port_, now_, out);
    uint64_t sent = 0;
    for (size_t port = 0; port < out.ports.size(); ++port) {
      const auto& batch = out.ports[port];
      require(batch.count == 0 || port < ports_.size(), "a port that is not there");
      for (uint16_t i = 0; i < batch.count; ++i, ++sent) check_and_free(batch.frames[i], ports_[port]);
    }
    // Dropped ones too: whoever gets the buffer next may write to all of it.
    for (rte_mbuf* segment : segments_) unpoison(segment);
    segments_.clear();
    uint64_t dropped = 0;
    for (const Counter& counter : counters().drops) dropped += counter.read();
    // A packet that is too big is dropped and answered; all others have one fate.
    const uint64_t answered = counters().too_big_answers.read();
    fates_ += sent;
    frames_ += burst_.size();
    require(fates_ + dropped - answered == frames_, "a frame had no fate, or two");
    burst_.clear();
    require(buffers_in_use() == 0, "a buffer leaked");
  }

 private:
  /// One set for all inputs: a megabyte of counters is too much to clear each time.
  static l4::WorkerCounters& counters() {
    static auto* all = new l4::WorkerCounters;
    return *all;
  }
  static l4::EgressTraits port(uint32_t bits) { return {(bits & 1) != 0, (bits & 2) != 0}; }

  void add_frame(Script& script, uint8_t step) {
    static constexpr std::array<size_t, 4> kSegments = {4096, 512, 128, 32};
    const size_t segment = kSegments[step >> 2 & 3];
    const size_t low = script.byte();
    const size_t length = low | static_cast<size_t>(script.byte()) << 8;
    // A full burst of the longest chains must find buffers.
    Bytes frame = script.bytes(std::min({length, size_t{9000}, segment * 20}));
    if ((step & 3) == 1) mend_checksum(frame);
    rte_mbuf* mbuf = make_mbuf(frame, segment);
    if ((step & 0x10) != 0 && mbuf->nb_segs == 1) {
      const uint16_t room = script.byte() % RTE_PKTMBUF_HEADROOM;
      std::copy(frame.begin(), frame.end(), static_cast<uint8_t*>(mbuf->buf_addr) + room);
      mbuf->data_off = room;
    }
    if ((step & 0x20) != 0) mbuf->ol_flags = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
    for (rte_mbuf* segment = mbuf; segment != nullptr; segment = segment->next) {
      poison_tail(segment);
      segments_.push_back(segment);
    }
    burst_.push_back(mbuf);
  }

  static void check_and_free(rte_mbuf* mbuf, const l4::EgressTraits& port) {
    const char* reason = "";
    require(rte_mbuf_check(mbuf, 1, &reason) == 0, reason);
    require(mbuf->nb_segs == 1 || port.multi_segment, "a chain for a port that takes none");
    const auto* data = rte_pktmbuf_mtod(mbuf, const uint8_t*);
    const auto parsed = l4::parse({data, mbuf->data_len, mbuf->pkt_len}, mbuf->ol_flags == 0);
    if (parsed.kind == l4::ParsedKind::kRefused) {
      // The only thing that leaves and is no ICMP answer is GRE, complete and without padding.
      require(parsed.reason == DropReason::kUnsupportedProtocol, drop_reason_name(parsed.reason).data());
      require(parsed.protocol == kProtocolGre, "neither GRE nor ICMP");
      require(parsed.ip_offset == 14, "a VLAN tag before the outer header");
      require(14u + parsed.ip_length == mbuf->pkt_len, "the outer length is not the frame's");
      check_inner(data + parsed.l4_offset, mbuf->pkt_len - parsed.l4_offset);
    } else {
      require(parsed.kind == l4::ParsedKind::kIcmp, "neither GRE nor ICMP");
    }
    rte_pktmbuf_free(mbuf);
  }

  /// GRE header and the lengths of the packet behind it.
  static void check_inner(const uint8_t* gre, uint32_t length) {
    require(gre[0] == 0 || gre[0] == 0x20, "GRE flags");
    require(gre[1] == 0, "GRE version");
    const uint32_t header = gre[0] == 0x20 ? 8 : 4;
    const uint8_t* inner = gre + header;
    const uint32_t type = static_cast<uint32_t>(gre[2] << 8 | gre[3]);
    if (type == 0x0800) {
      require(inner[0] >> 4 == 4, "GRE's type is not the packet's");
      require(static_cast<uint32_t>(inner[2] << 8 | inner[3]) == length - header, "inner length");
    } else {
      require(type == 0x86dd && inner[0] >> 4 == 6, "GRE's type is not the packet's");
      require(static_cast<uint32_t>(inner[4] << 8 | inner[5]) + 40 == length - header, "inner length");
    }
  }

  const Tables& tables_;
  std::vector<FlowBucket> flow_memory_;
  FlowTable flows_;
  std::array<l4::EgressTraits, 2> ports_;
  l4::Pipeline pipeline_;
  uint16_t in_port_;
  size_t table_ = 0;
  FlowTick now_ = 1;
  std::vector<rte_mbuf*> burst_;
  std::vector<rte_mbuf*> segments_;  ///< all buffers of the burst
  uint64_t frames_ = 0;
  uint64_t fates_ = 0;
};

}  // namespace
}  // namespace sluice::packet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sluice::packet;
  static const auto* tables = new Tables;
  test_buffers();
  Script script{data, data + size};
  Worker worker(*tables, script.byte());
  while (script.left() > 0) worker.step(script);
  worker.process();
  return 0;
}
