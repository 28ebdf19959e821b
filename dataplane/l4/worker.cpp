#include "dataplane/l4/worker.h"

#include <poll.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <time.h>

#include <algorithm>

namespace sluice::l4 {

namespace {

/// Frames are counted with their Ethernet header, as a switch would.
uint64_t bytes_of(rte_mbuf* const* frames, uint16_t count) {
  uint64_t bytes = 0;
  for (uint16_t i = 0; i < count; ++i) bytes += frames[i]->pkt_len;
  return bytes;
}

}  // namespace

Worker::Worker(WorkerSetup setup, PublishedTable& table)
    : setup_(std::move(setup)),
      table_(table),
      flows_(setup_.flow_memory),
      pipeline_(flows_, counters_, setup_.traits) {}

void Worker::run(const std::atomic<bool>& stop) {
  const uint64_t tsc_per_tick = rte_get_tsc_hz() * kFlowTickSeconds;
  tsc_per_bucket_ = std::max<uint64_t>(1, tsc_per_tick * (kSweepTicks / 2) / flows_.bucket_count());
  tsc_per_survey_bucket_ = std::max<uint64_t>(1, rte_get_tsc_hz() / 2 / flows_.bucket_count());
  swept_until_ = rte_rdtsc();
  uint32_t idle_rounds = 0;
  uint64_t stop_by = 0;

  table_.online(setup_.index);
  for (;;) {
    const uint64_t tsc = rte_rdtsc();
    const auto now = static_cast<FlowTick>(tsc / tsc_per_tick);
    const uint32_t received = poll(now);
    age_flows(table_.current(), now, tsc);
    survey_flows(now, tsc, received == 0);
    table_.quiescent(setup_.index);

    idle_rounds = received == 0 ? idle_rounds + 1 : 0;
    if (stop.load(std::memory_order_relaxed)) [[unlikely]] {
      if (stop_by == 0) stop_by = tsc + rte_get_tsc_hz() * kDrainMs / 1000;
      if (idle_rounds >= kIdleRoundsBeforeSleep || tsc > stop_by) break;
    } else if (idle_rounds >= kIdleRoundsBeforeSleep && setup_.idle == IdleMode::kAdaptive &&
               !survey_.running()) {
      sleep();
      idle_rounds = 0;
    }
  }
  table_.offline(setup_.index);
}

uint32_t Worker::poll(FlowTick now) {
  uint32_t total = 0;
  for (const ReceiveQueue& from : setup_.queues) {
    std::array<rte_mbuf*, kBurst> frames;
    const uint16_t count = rte_eth_rx_burst(from.device, from.queue, frames.data(), kBurst);
    if (count == 0) continue;
    total += count;
    counters_.received.add(count, bytes_of(frames.data(), count));
    TransmitBatches batches;
    pipeline_.process(table_.current(), {frames.data(), count}, from.port, now, batches);
    transmit(batches);
  }
  counters_.polls.add(1);
  if (total == 0) counters_.idle_polls.add(1);
  return total;
}

void Worker::transmit(TransmitBatches& batches) {
  for (size_t port = 0; port < setup_.transmit.size(); ++port) {
    auto& batch = batches.ports[port];
    if (batch.count == 0) continue;
    rte_mbuf** frames = batch.frames.data();
    const uint64_t bytes = bytes_of(frames, batch.count);  // before the driver frees them
    const auto [device, queue] = setup_.transmit[port];
    uint16_t sent = rte_eth_tx_burst(device, queue, frames, batch.count);
    if (sent < batch.count) [[unlikely]] {
      // Once more: the first call may only have made room.
      sent = static_cast<uint16_t>(sent + rte_eth_tx_burst(device, queue, frames + sent, batch.count - sent));
    }
    const uint16_t left = static_cast<uint16_t>(batch.count - sent);
    counters_.transmitted.add(sent, left == 0 ? bytes : bytes - bytes_of(frames + sent, left));
    if (left > 0) [[unlikely]] {
      counters_.drop(DropReason::kTxFull, left);
      rte_pktmbuf_free_bulk(frames + sent, left);
    }
  }
}

void Worker::age_flows(const ForwardingTable& table, FlowTick now, uint64_t tsc) {
  // A sleeper has more to sweep, but no round does so much that packets would wait for it.
  constexpr uint64_t kMostPerRound = 512;
  const uint64_t due = (tsc - swept_until_) / tsc_per_bucket_;
  if (due == 0) return;
  const uint64_t count = std::min(due, kMostPerRound);
  flows_.sweep(static_cast<uint32_t>(count), now, table.longest_idle_timeout());
  swept_until_ += count * tsc_per_bucket_;
}

void Worker::survey_flows(FlowTick now, uint64_t tsc, bool idle) {
  if (!survey_.running()) [[likely]]
    return;
  // Half a second in all under load, by the clock, as rounds differ in length by a factor of 50. No round
  // does more than packets can wait for: 256 half-full buckets took 4.7 us, a whole table of 4 Mi flows 19
  // ms.
  constexpr uint64_t kMostPerRound = 256;
  if (survey_.at_start()) surveyed_until_ = tsc;
  const uint64_t due = (tsc - surveyed_until_) / tsc_per_survey_bucket_;
  surveyed_until_ += due * tsc_per_survey_bucket_;
  const uint64_t count = idle ? kMostPerRound : std::clamp<uint64_t>(due, 1, kMostPerRound);
  survey_.advance(flows_, static_cast<uint32_t>(count), now);
}

void Worker::sleep() {
  counters_.sleeps.add(1);
  table_.offline(setup_.index);
  std::array<pollfd, 64> waiting;
  nfds_t sockets = 0;
  for (const ReceiveQueue& from : setup_.queues) {
    if (from.socket >= 0 && sockets < waiting.size()) waiting[sockets++] = {from.socket, POLLIN, 0};
  }
  if (sockets == setup_.queues.size()) {
    ::poll(waiting.data(), sockets, kSocketSleepMs);
  } else {
    const timespec pause{0, kTimedSleepUs * 1000};
    nanosleep(&pause, nullptr);
  }
  table_.online(setup_.index);
}

}  // namespace sluice::l4
