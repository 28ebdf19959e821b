#include "dataplane/l4/published_table.h"

#include <rte_rcu_qsbr.h>

#include <cstdlib>
#include <new>

namespace sluice::l4 {

PublishedTable::PublishedTable(uint32_t readers)
    : readers_(nullptr, [](rte_rcu_qsbr* memory) { std::free(memory); }) {
  const size_t bytes = rte_rcu_qsbr_get_memsize(readers);
  const size_t rounded = (bytes + RTE_CACHE_LINE_SIZE - 1) / RTE_CACHE_LINE_SIZE * RTE_CACHE_LINE_SIZE;
  readers_.reset(static_cast<rte_rcu_qsbr*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, rounded)));
  if (readers_ == nullptr) throw std::bad_alloc();
  rte_rcu_qsbr_init(readers_.get(), readers);
  for (uint32_t reader = 0; reader < readers; ++reader) rte_rcu_qsbr_thread_register(readers_.get(), reader);
}

PublishedTable::~PublishedTable() {
  delete table_.load();
}

void PublishedTable::publish(std::unique_ptr<const ForwardingTable> table) {
  const ForwardingTable* older = table_.exchange(table.release(), std::memory_order_acq_rel);
  if (older == nullptr) return;
  rte_rcu_qsbr_synchronize(readers_.get(), RTE_QSBR_THRID_INVALID);
  delete older;
}

void PublishedTable::quiescent(uint32_t reader) {
  rte_rcu_qsbr_quiescent(readers_.get(), reader);
}
void PublishedTable::offline(uint32_t reader) {
  rte_rcu_qsbr_thread_offline(readers_.get(), reader);
}
void PublishedTable::online(uint32_t reader) {
  rte_rcu_qsbr_thread_online(readers_.get(), reader);
}

}  // namespace sluice::l4
