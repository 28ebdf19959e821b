// Clocks per packet of the L4 pipeline: parse, VIP, hash, flow table, backend, encapsulation, counters.
//
// Real mbufs, bursts of 32, 100 backends, one VIP per family. A generator writes 64-byte frames (60 without
// the check sequence; 74 for IPv6) with the addresses of the next flows into a batch of buffers; its time is
// not counted. The batch is larger than the L1 cache, as received frames are not in it either. Flows come in
// an order without locality; all are in the flow table before the clock starts, as in a busy hour.
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l4/eal.h"
#include "dataplane/l4/mbuf_pool.h"
#include "dataplane/l4/pipeline.h"
#include "lb/cpu_clones.h"
#include "lb/forwarding_table.h"

namespace sluice {
namespace {

constexpr uint32_t kBatch = 1024;
constexpr uint32_t kFlowTableFlows = 4u << 20;
constexpr uint32_t kBatches = 12'000;

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

Services services() {
  Services all;
  all.cluster_seed = "bench";
  all.tunnel.source_ipv4 = Prefix(ip("192.0.2.1"));
  all.tunnel.source_ipv6 = Prefix(ip("2001:db8:2::1"));
  all.pools = {{"four", 65537, {}}, {"six", 65537, {}}};
  for (int i = 1; i <= 100; ++i) {
    all.pools[0].backends.push_back({fmt::format("b{}", i), ip(fmt::format("10.0.1.{}", i)), 100, {}, {}});
    all.pools[1].backends.push_back(
        {fmt::format("b{}", i), ip(fmt::format("2001:db8:1::{:x}", i)), 100, {}, {}});
  }
  const std::chrono::seconds timeout(900);
  all.vips = {{"four", Prefix(ip("203.0.113.10")), Protocol::kTcp, {80, 80}, "four", timeout},
              {"six", Prefix(ip("2001:db8:f::10")), Protocol::kTcp, {80, 80}, "six", timeout}};
  return all;
}

/// Writes the frame of flow number `flow`.
class Generator {
 public:
  explicit Generator(bool is_v4) : is_v4_(is_v4) {
    auto* ip_header = frame_.data() + 14;
    frame_[5] = 1;
    frame_[11] = 2;
    if (is_v4) {
      length_ = 60;
      frame_[12] = 0x08;
      const std::array<uint8_t, 20> header = {0x45, 0, 0, 46, 0, 0, 0x40, 0, 64,  6,
                                              0,    0, 0, 0,  0, 0, 203,  0, 113, 10};
      std::copy(header.begin(), header.end(), ip_header);
    } else {
      length_ = 74;
      frame_[12] = 0x86;
      frame_[13] = 0xdd;
      ip_header[0] = 0x60;
      ip_header[5] = 20;
      ip_header[6] = 6;
      ip_header[7] = 64;
      const auto source = ip("2001:db8:c::").bytes(), destination = ip("2001:db8:f::10").bytes();
      std::copy(source.begin(), source.end(), ip_header + 8);
      std::copy(destination.begin(), destination.end(), ip_header + 24);
    }
    uint8_t* tcp = ip_header + (is_v4 ? 20 : 40);
    tcp[3] = 80;
    tcp[12] = 0x50;
    tcp[13] = 0x10;  // ACK
  }

  void write(rte_mbuf* mbuf, uint32_t flow) const {
    rte_pktmbuf_reset(mbuf);
    auto* frame = rte_pktmbuf_mtod(mbuf, uint8_t*);
    std::memcpy(frame, frame_.data(), length_);
    mbuf->data_len = static_cast<uint16_t>(length_);
    mbuf->pkt_len = length_;
    uint8_t* header = frame + 14;
    const uint32_t host = rte_cpu_to_be_32(0x0a000000u + (flow & 0xffff));
    const uint16_t port = rte_cpu_to_be_16(static_cast<uint16_t>(1024 + (flow >> 16)));
    if (is_v4_) {
      std::memcpy(header + 12, &host, 4);
      std::memcpy(header + 20, &port, 2);
      uint32_t sum = 0;
      for (int i = 0; i < 20; i += 2) sum += static_cast<uint32_t>(header[i] << 8 | header[i + 1]);
      sum = (sum & 0xffff) + (sum >> 16);
      const uint16_t checksum = rte_cpu_to_be_16(static_cast<uint16_t>(~(sum + (sum >> 16))));
      std::memcpy(header + 10, &checksum, 2);
    } else {
      std::memcpy(header + 20, &host, 4);
      std::memcpy(header + 40, &port, 2);
    }
  }

 private:
  bool is_v4_;
  uint32_t length_ = 0;
  std::array<uint8_t, 80> frame_{};
};

class Bench {
 public:
  Bench() {
    l4::DpdkSettings dpdk;
    dpdk.memory_mb = 128;
    if (auto started = l4::start_eal(l4::eal_arguments(dpdk, {}, {}, 0)); !started)
      throw_error(started.error());
    auto pool = l4::make_mbuf_pool("bench", 2 * kBatch, l4::buffer_size_for(1500));
    if (!pool) throw_error(pool.error());
    pool_ = std::move(*pool);
    mbufs_.resize(kBatch);
    if (rte_pktmbuf_alloc_bulk(pool_.get(), mbufs_.data(), kBatch) != 0)
      throw std::runtime_error("no buffers");
    const auto egress = [](const Backend&) {
      return std::optional(Egress{0, MacAddress(), MacAddress(), 1500});
    };
    auto table = ForwardingTable::build(services(), egress, ids_, nullptr);
    if (!table) throw_error(table.error());
    table_ = std::move(*table);
    buckets_ = FlowTable::buckets_for(kFlowTableFlows);
    memory_ = static_cast<FlowBucket*>(rte_zmalloc("flows", sizeof(FlowBucket) * buckets_, 64));
    if (memory_ == nullptr) throw std::runtime_error("no memory for the flow table");
  }
  ~Bench() {
    rte_pktmbuf_free_bulk(mbufs_.data(), kBatch);
    rte_free(memory_);
    pool_.reset();
    l4::stop_eal();
  }

  /// Median over batches of clocks per packet.
  double run(bool is_v4, uint32_t flow_count) {
    std::memset(memory_, 0, sizeof(FlowBucket) * buckets_);
    FlowTable flows({memory_, buckets_});
    l4::WorkerCounters counters;
    l4::Pipeline pipeline(flows, counters, {{}});
    const Generator generator(is_v4);
    next_flow_ = 0;
    for (uint32_t done = 0; done < std::max(flow_count, kBatch); done += kBatch) {
      batch(pipeline, generator, flow_count, 1);
    }
    // The median over batches: one in which the kernel took the core away does not count.
    std::vector<double> clocks;
    for (uint32_t i = 0; i < kBatches; ++i) {
      clocks.push_back(static_cast<double>(batch(pipeline, generator, flow_count, 2)) / kBatch);
    }
    if (flows.occupied() < flow_count - flow_count / 50)
      throw std::runtime_error("over 2 % of the flows were evicted");
    const uint64_t sent = counters.vips[table_->vip(is_v4 ? 0 : 1).id].packets.read();
    if (sent < uint64_t{kBatches} * kBatch) throw std::runtime_error("packets were dropped");
    std::sort(clocks.begin(), clocks.end());
    return clocks[clocks.size() / 2];
  }

 private:
  [[noreturn]] static void throw_error(const Error& error) { throw std::runtime_error(error.message); }

  /// Generates and processes kBatch packets; the clocks of processing.
  uint64_t batch(l4::Pipeline& pipeline, const Generator& generator, uint32_t flow_count, FlowTick now) {
    for (rte_mbuf* mbuf : mbufs_) {
      // Any odd step visits all of a power of two; this one jumps far.
      generator.write(mbuf, next_flow_ & (flow_count - 1));
      next_flow_ += 0x9e3779b1u;
    }
    uint32_t sent = 0;
    const uint64_t before = rte_rdtsc_precise();
    for (uint32_t first = 0; first < kBatch; first += l4::kBurst) {
      l4::TransmitBatches out;
      pipeline.process(*table_, {mbufs_.data() + first, l4::kBurst}, 0, now, out);
      sent += out.ports[0].count;
    }
    const uint64_t clocks = rte_rdtsc_precise() - before;
    if (sent != kBatch) throw std::runtime_error("not all frames were sent");
    return clocks;
  }

  l4::MbufPool pool_;
  std::vector<rte_mbuf*> mbufs_;
  ForwardingIds ids_;
  std::unique_ptr<const ForwardingTable> table_;
  FlowBucket* memory_ = nullptr;
  uint32_t buckets_ = 0;
  uint32_t next_flow_ = 0;
};

int run(bool json, std::optional<uint32_t> only_flows) {
  Bench bench;
  std::string rows;
  if (!json) {
    fmt::print("clocks per packet at {:.2f} GHz TSC, code for {}, median of {} batches of {} packets\n",
               static_cast<double>(rte_get_tsc_hz()) / 1e9, cpu_clone_name(), kBatches, kBatch);
    fmt::print("{:<12}{:>12}{:>12}\n", "case", "flows", "clocks");
  }
  for (const bool is_v4 : {true, false}) {
    for (const uint32_t flows : {1u, 1u << 16, 1u << 20, 4u << 20}) {
      if (only_flows && flows != *only_flows) continue;
      const double clocks = bench.run(is_v4, flows);
      const char* name = is_v4 ? "v4-in-v4" : "v6-in-v6";
      if (!json) fmt::print("{:<12}{:>12}{:>12.1f}\n", name, flows, clocks);
      rows += fmt::format("{}{{\"case\": \"{}\", \"flows\": {}, \"clocks_per_packet\": {:.2f}}}",
                          rows.empty() ? "" : ", ", name, flows, clocks);
    }
  }
  if (json) fmt::print("{{\"code\": \"{}\", \"l4\": [{}]}}\n", cpu_clone_name(), rows);
  return 0;
}

}  // namespace
}  // namespace sluice

/// l4_bench [--json] [--flows N]: all cases, or only those with N flows, for a profile.
int main(int argc, char** argv) {
  bool json = false;
  std::optional<uint32_t> only_flows;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--json") json = true;
    if (argument == "--flows" && i + 1 < argc) only_flows = static_cast<uint32_t>(std::stoul(argv[++i]));
  }
  try {
    return sluice::run(json, only_flows);
  } catch (const std::exception& error) {
    fmt::print(stderr, "l4_bench: {}\n", error.what());
    return 1;
  }
}
