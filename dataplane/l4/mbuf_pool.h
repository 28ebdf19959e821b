// The pool that packet buffers come from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lb/result.h"

struct rte_mempool;

namespace sluice::l4 {

struct MbufPoolFree {
  void operator()(rte_mempool* pool) const;
};
using MbufPool = std::unique_ptr<rte_mempool, MbufPoolFree>;

/// Bytes of one buffer (headroom included) that takes IP packets of up to `mtu` bytes, with two VLAN tags, on
/// any kind of port.
uint16_t buffer_size_for(uint32_t mtu);

/// Bytes of memory that such a pool takes.
uint64_t mbuf_pool_bytes(uint32_t count, uint16_t buffer_size);

/// Makes `count` buffers of `buffer_size` bytes. They lie packed, across page borders: the AF_XDP driver
/// takes the pool's memory as an array of equal frames, and a gap between two would shift all that follow.
Result<MbufPool> make_mbuf_pool(const std::string& name, uint32_t count, uint16_t buffer_size);

}  // namespace sluice::l4
