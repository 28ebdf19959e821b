// How many flows each backend has: counted by the worker that owns the table, while it does its work.
#include <gtest/gtest.h>
#include <rte_cycles.h>

#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include "dataplane/l4/worker.h"
#include "tests/packet/frames.h"
#include "tests/packet/rig.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

using std::chrono::steady_clock;

Services wide() {
  Services all = services();
  auto& backends = all.pools[0].backends;
  for (int i = 1; i < 5; ++i)
    backends.push_back(backend("x" + std::to_string(i), "10.0.1.2" + std::to_string(i)));
  return all;
}

TEST(Survey, AgreesWithWhereThePacketsWent) {
  Rig rig(wide());
  std::map<std::string, uint32_t> sent;
  for (uint16_t port = 1; port <= 1000; ++port) {
    ++sent[rig.backend_of(rig.run(ethernet({}, tcp_packet({kClient4, kVip4, port, 80}, kSyn))))];
  }
  FlowSurvey survey;
  survey.start(std::vector<FlowTick>(ForwardingIds::kMaxBackends + 1u, 30));
  while (survey.running()) survey.advance(rig.flows(), 16, rig.now);
  uint32_t in_all = 0;
  for (const uint32_t flows : survey.flows()) in_all += flows;
  EXPECT_EQ(in_all, 1000u);
  const Pool pool = wide().pools[0];
  for (const Backend& one : pool.backends) {
    const auto id = rig.ids().backends.find(ForwardingIds::backend_name(pool, one));
    EXPECT_EQ(survey.flows()[*id], sent[one.name]) << one.name;
  }
}

/// A worker on a thread of its own, with a table of 4 Mi flows and no port.
class RunningWorker {
 public:
  explicit RunningWorker(l4::IdleMode idle) : memory_(FlowTable::buckets_for(4u << 20)), table_(1) {
    test_buffers();
    // Known before the worker owns the table.
    FlowTable flows(memory_);
    const auto now = static_cast<FlowTick>(rte_rdtsc() / (rte_get_tsc_hz() * kFlowTickSeconds));
    for (uint64_t i = 1; i <= kFlows; ++i) flows.insert(i << 28 | (i * 7919 & (memory_.size() - 1)), 7, now);
    auto table = ForwardingTable::build(
        services(), [](const Backend&) { return std::nullopt; }, ids_, nullptr);
    table_.publish(std::move(*table));
    l4::WorkerSetup setup;
    setup.idle = idle;
    setup.flow_memory = memory_;
    worker_.emplace(std::move(setup), table_);
    thread_ = std::thread([this] { worker_->run(stop_); });
  }
  ~RunningWorker() {
    stop_.store(true);
    thread_.join();
  }
  l4::Worker& operator*() { return *worker_; }

  static constexpr uint32_t kFlows = 100'000;

 private:
  std::vector<FlowBucket> memory_;
  ForwardingIds ids_;
  l4::PublishedTable table_;
  std::optional<l4::Worker> worker_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class SurveyOfAWorker : public testing::TestWithParam<l4::IdleMode> {};

TEST_P(SurveyOfAWorker, IsAnsweredAsleepOrAwake) {
  RunningWorker running(GetParam());
  l4::Worker& worker = *running;
  for (int i = 0; i < 2; ++i) {
    const uint64_t wanted_polls = worker.counters().polls.read() + 2 * l4::kIdleRoundsBeforeSleep;
    while (worker.counters().polls.read() < wanted_polls) std::this_thread::yield();
    const uint64_t slept = worker.counters().sleeps.read();
    ASSERT_TRUE(worker.survey().start(std::vector<FlowTick>(8, 30)));
    const auto limit = steady_clock::now() + std::chrono::seconds(20);
    while (!worker.survey().done() && steady_clock::now() < limit) std::this_thread::yield();
    ASSERT_TRUE(worker.survey().done());
    EXPECT_EQ(worker.survey().flows()[7], RunningWorker::kFlows);
    // One may have been under way, one begun before the worker saw the question, and one after the end.
    EXPECT_LE(worker.counters().sleeps.read() - slept, 3u);
  }
}

TEST_P(SurveyOfAWorker, LetsTheWorkerSleepAgainAfterwards) {
  RunningWorker running(GetParam());
  l4::Worker& worker = *running;
  worker.survey().start(std::vector<FlowTick>(8, 30));
  while (!worker.survey().done()) std::this_thread::yield();
  const uint64_t slept = worker.counters().sleeps.read();
  const uint64_t polls = worker.counters().polls.read();
  while (worker.counters().polls.read() < polls + 2 * l4::kIdleRoundsBeforeSleep) std::this_thread::yield();
  EXPECT_EQ(worker.counters().sleeps.read() > slept, GetParam() == l4::IdleMode::kAdaptive);
}

INSTANTIATE_TEST_SUITE_P(Idle, SurveyOfAWorker,
                         testing::Values(l4::IdleMode::kPoll, l4::IdleMode::kAdaptive));

}  // namespace
}  // namespace sluice::packet
