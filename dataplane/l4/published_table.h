// The forwarding table that the workers read now, and how a new one takes its place (RCU).
#pragma once

#include <atomic>
#include <memory>

#include "lb/forwarding_table.h"

struct rte_rcu_qsbr;

namespace sluice::l4 {

/// One writer (the control thread), any number of readers (workers). A reader takes no lock and waits for
/// nobody; the writer waits until no reader can still hold the older table, then frees it.
class PublishedTable {
 public:
  explicit PublishedTable(uint32_t readers);
  ~PublishedTable();
  PublishedTable(const PublishedTable&) = delete;
  PublishedTable& operator=(const PublishedTable&) = delete;

  /// Readers see `table` from their next current() on. Returns when the older one is gone.
  void publish(std::unique_ptr<const ForwardingTable> table);
  /// For the writer.
  const ForwardingTable* latest() const { return table_.load(std::memory_order_relaxed); }

  /// The table to use until this reader's next quiescent() or offline(). Never null after the first publish.
  const ForwardingTable& current() const { return *table_.load(std::memory_order_acquire); }
  /// The reader holds no table now; between bursts.
  void quiescent(uint32_t reader);
  /// The reader will hold no table for a while (it sleeps or ends); nobody waits for it.
  void offline(uint32_t reader);
  void online(uint32_t reader);

 private:
  std::atomic<const ForwardingTable*> table_{nullptr};
  std::unique_ptr<rte_rcu_qsbr, void (*)(rte_rcu_qsbr*)> readers_;
};

}  // namespace sluice::l4
