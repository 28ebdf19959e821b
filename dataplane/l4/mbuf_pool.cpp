#include "dataplane/l4/mbuf_pool.h"

#include <fmt/format.h>
#include <rte_errno.h>
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <algorithm>

namespace sluice::l4 {

void MbufPoolFree::operator()(rte_mempool* pool) const {
  rte_mempool_free(pool);
}

namespace {

// No spreading over memory channels: it would lengthen the buffers, and AF_XDP allows a page for each.
constexpr unsigned kFlags = RTE_MEMPOOL_F_NO_IOVA_CONTIG | RTE_MEMPOOL_F_NO_SPREAD;

uint32_t object_bytes(uint16_t buffer_size) {
  return rte_mempool_calc_obj_size(sizeof(rte_mbuf) + buffer_size, kFlags, nullptr);
}

}  // namespace

uint16_t buffer_size_for(uint32_t mtu) {
  constexpr uint32_t kXdpRoom = 256;  // XDP_PACKET_HEADROOM, before the frame, besides DPDK's headroom
  constexpr uint32_t kCacheLine = 64;
  const uint32_t frame = mtu + RTE_ETHER_HDR_LEN + 2u * RTE_VLAN_HLEN;
  const uint32_t wanted = RTE_PKTMBUF_HEADROOM + kXdpRoom + frame;
  const uint32_t rounded = (wanted + kCacheLine - 1) / kCacheLine * kCacheLine;
  return static_cast<uint16_t>(
      std::clamp<uint32_t>(rounded, RTE_MBUF_DEFAULT_BUF_SIZE, UINT16_MAX / kCacheLine * kCacheLine));
}

uint64_t mbuf_pool_bytes(uint32_t count, uint16_t buffer_size) {
  constexpr uint64_t kPerObjectOfRing = 16;  // rings are powers of two
  return uint64_t{count} * (object_bytes(buffer_size) + kPerObjectOfRing);
}

Result<MbufPool> make_mbuf_pool(const std::string& name, uint32_t count, uint16_t buffer_size) {
  constexpr uint32_t kCache = 256;
  const auto failed = [&] {
    return fail(fmt::format("no memory for {} packet buffers of {} bytes ({}); raise dpdk.memory_mb", count,
                            buffer_size, rte_strerror(rte_errno)));
  };
  MbufPool pool(rte_mempool_create_empty(name.c_str(), count, sizeof(rte_mbuf) + buffer_size, kCache,
                                         sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, kFlags));
  if (pool == nullptr) return failed();
  rte_pktmbuf_pool_private settings{};
  settings.mbuf_data_room_size = buffer_size;
  rte_pktmbuf_pool_init(pool.get(), &settings);
  if (rte_mempool_populate_default(pool.get()) < 0) return failed();
  rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace sluice::l4
