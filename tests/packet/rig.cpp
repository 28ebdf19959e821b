#include "tests/packet/rig.h"

#include <gtest/gtest.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>

#include "dataplane/l4/eal.h"
#include "dataplane/l4/mbuf_pool.h"

namespace sluice::packet {

namespace {

constexpr uint16_t kBufferSize = 10000;

struct Buffers {
  l4::MbufPool pool;
  Buffers() {
    l4::DpdkSettings dpdk;
    dpdk.huge_pages = false;
    dpdk.memory_mb = 64;
    auto started = l4::start_eal(l4::eal_arguments(dpdk, {}, {}, 0));
    if (!started) throw std::runtime_error(started.error().message);
    auto made = l4::make_mbuf_pool("test", 1024, kBufferSize);
    if (!made) throw std::runtime_error(made.error().message);
    pool = std::move(*made);
  }
};

/// The bytes of a frame, which is freed.
Bytes take_bytes(rte_mbuf* frame) {
  Bytes bytes(frame->pkt_len);
  const void* at = rte_pktmbuf_read(frame, 0, frame->pkt_len, bytes.data());
  if (at != bytes.data()) std::copy_n(static_cast<const uint8_t*>(at), frame->pkt_len, bytes.data());
  rte_pktmbuf_free(frame);
  return bytes;
}

}  // namespace

rte_mempool* test_buffers() {
  static auto* buffers = new Buffers;  // EAL's memory outlives main
  return buffers->pool.get();
}

uint32_t buffers_in_use() {
  return rte_mempool_in_use_count(test_buffers());
}

rte_mbuf* make_mbuf(const Bytes& frame, size_t segment) {
  rte_mbuf* head = nullptr;
  for (size_t at = 0; at < frame.size() || head == nullptr; at += segment) {
    rte_mbuf* mbuf = rte_pktmbuf_alloc(test_buffers());
    const size_t count = std::min(segment, frame.size() - at);
    if (count > 0)
      std::copy_n(frame.begin() + static_cast<long>(at), count, rte_pktmbuf_mtod(mbuf, uint8_t*));
    mbuf->data_len = static_cast<uint16_t>(count);
    mbuf->pkt_len = static_cast<uint32_t>(count);
    if (head == nullptr) {
      head = mbuf;
    } else {
      rte_pktmbuf_chain(head, mbuf);
    }
    if (segment == SIZE_MAX) break;
  }
  return head;
}

Rig::Rig(Services services, std::vector<l4::EgressTraits> ports)
    : flow_memory_(FlowTable::buckets_for(4096)) {
  test_buffers();
  flows_ = std::make_unique<FlowTable>(flow_memory_);
  counters_ = std::make_unique<l4::WorkerCounters>();
  pipeline_ = std::make_unique<l4::Pipeline>(*flows_, *counters_, std::move(ports));
  reload(std::move(services));
}

Rig::~Rig() {
  EXPECT_EQ(buffers_in_use(), 0u) << "packet buffers leaked";
}

void Rig::reload(Services services) {
  services_ = std::move(services);
  const auto egress = [&](const Backend& backend) -> std::optional<Egress> {
    if (std::find(unresolved_.begin(), unresolved_.end(), backend.address) != unresolved_.end()) return {};
    const uint16_t port = backend.next_hop && backend.next_hop->port == "second" ? 1 : 0;
    return Egress{port, mac(kNodeMac), mac(kRouterMac), mtu_};
  };
  auto table = ForwardingTable::build(services_, egress, ids_, table_.get());
  ASSERT_TRUE(table) << table.error().message;
  table_ = std::move(*table);
  table_->release_ids(ids_);
}

Fate Rig::run_mbuf(rte_mbuf* mbuf, uint16_t port) {
  std::array<uint64_t, kDropReasons> before;
  for (size_t i = 0; i < kDropReasons; ++i) before[i] = counters_->drops[i].read();
  l4::TransmitBatches out;
  pipeline_->process(*table_, {&mbuf, 1}, port, now, out);

  Fate fate;
  uint32_t sent = 0;
  for (uint16_t p = 0; p < l4::kMaxPorts; ++p) {
    for (uint16_t i = 0; i < out.ports[p].count; ++i, ++sent) {
      rte_mbuf* frame = out.ports[p].frames[i];
      fate.port = p;
      fate.offloads = frame->ol_flags;
      const char* reason = "";
      EXPECT_EQ(rte_mbuf_check(frame, 1, &reason), 0) << reason;
      fate.frame = take_bytes(frame);
    }
  }
  uint32_t drops = 0;
  for (size_t i = 0; i < kDropReasons; ++i) {
    const uint64_t count = counters_->drops[i].read() - before[i];
    drops += static_cast<uint32_t>(count);
    if (count > 0) fate.dropped = static_cast<DropReason>(i);
  }
  // A packet that is too big is dropped and answered; all others have one fate.
  EXPECT_EQ(drops + sent, fate.dropped == DropReason::kTooBig && sent > 0 ? 2u : 1u);
  return fate;
}

std::vector<Bytes> Rig::run_burst(const std::vector<rte_mbuf*>& burst) {
  l4::TransmitBatches out;
  pipeline_->process(*table_, burst, 0, now, out);
  std::vector<Bytes> frames;
  for (const auto& port : out.ports) {
    for (uint16_t i = 0; i < port.count; ++i) frames.push_back(take_bytes(port.frames[i]));
  }
  return frames;
}

std::string Rig::backend_of(const Fate& fate) const {
  if (fate.frame.size() < 34) return "";
  const bool is_v4 = fate.frame[12] == 0x08;
  IpAddress address;
  if (is_v4) {
    address = IpAddress::v4(fate.frame.data() + 14 + 16);
  } else {
    IpAddress::Bytes bytes;
    std::copy_n(fate.frame.begin() + 14 + 24, 16, bytes.begin());
    address = IpAddress::v6(bytes);
  }
  for (const Pool& pool : services_.pools) {
    for (const Backend& backend : pool.backends) {
      if (backend.address == address) return backend.name;
    }
  }
  return "";
}

}  // namespace sluice::packet
