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

uint16_t buffer_size_for(uint16_t mtu) {
  // XDP keeps 256 bytes before the frame and the driver another headroom.
  constexpr uint32_t kXdpRoom = 256 + RTE_PKTMBUF_HEADROOM;
  const uint32_t frame = mtu + RTE_ETHER_HDR_LEN + 2u * RTE_VLAN_HLEN;
  const uint32_t wanted = RTE_PKTMBUF_HEADROOM + kXdpRoom + frame;
  return static_cast<uint16_t>(std::clamp<uint32_t>(wanted, RTE_MBUF_DEFAULT_BUF_SIZE, UINT16_MAX));
}

Result<MbufPool> make_mbuf_pool(const std::string& name, uint32_t count, uint16_t buffer_size) {
  constexpr uint32_t kCache = 256;
  const auto failed = [&] {
    return fail(fmt::format("no memory for {} packet buffers of {} bytes ({}); raise dpdk.memory_mb", count,
                            buffer_size, rte_strerror(rte_errno)));
  };
  MbufPool pool(rte_mempool_create_empty(name.c_str(), count, sizeof(rte_mbuf) + buffer_size, kCache,
                                         sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY,
                                         RTE_MEMPOOL_F_NO_IOVA_CONTIG));
  if (pool == nullptr) return failed();
  rte_pktmbuf_pool_private settings{};
  settings.mbuf_data_room_size = buffer_size;
  rte_pktmbuf_pool_init(pool.get(), &settings);
  if (rte_mempool_populate_default(pool.get()) < 0) return failed();
  rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace sluice::l4
