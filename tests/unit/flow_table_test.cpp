#include "lb/flow_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <vector>

namespace sluice {
namespace {

/// A hash with this bucket and signature, as the layout of FlowBucket says.
uint64_t hash_of(uint32_t bucket, uint64_t signature) {
  return signature << 28 | bucket;
}

/// A table with its memory.
struct Fixture {
  explicit Fixture(uint32_t buckets) : memory(buckets), table(memory) {}

  uint64_t entries_in_memory() const {
    uint64_t count = 0;
    for (const FlowBucket& bucket : memory)
      for (const uint64_t entry : bucket.entries) count += entry != 0;
    return count;
  }
  void expect_counters_agree() const {
    EXPECT_EQ(table.occupied(), entries_in_memory());
    EXPECT_EQ(table.inserted() - table.evicted() - table.expired(), table.occupied());
  }

  std::vector<FlowBucket> memory;
  FlowTable table;
};

constexpr FlowTick kTimeout = 30;

TEST(FlowTableSize, FourMillionFlowsTake64MiB) {
  static_assert(uint64_t{FlowTable::buckets_for(4 << 20)} * sizeof(FlowBucket) <= 64u << 20);
  static_assert(FlowTable::buckets_for(4'000'000) == FlowTable::buckets_for(4 << 20));
  Fixture four_million(FlowTable::buckets_for(4 << 20));
  EXPECT_GE(four_million.table.capacity(), 2u * (4 << 20)) << "half full at the promised number";
}

TEST(FlowTableSize, IsAPowerOfTwoWithRoomForAllFlows) {
  for (const uint32_t flows : {0u, 1u, 255u, 256u, 257u, 1000u, 1u << 20, (1u << 20) + 4, 0xffffffffu}) {
    const uint32_t buckets = FlowTable::buckets_for(flows);
    EXPECT_TRUE(std::has_single_bit(buckets)) << flows;
    EXPECT_GE(buckets, FlowTable::kMinBuckets);
    EXPECT_LE(buckets, FlowTable::kMaxBuckets);
    if (buckets < FlowTable::kMaxBuckets) {
      EXPECT_GE(uint64_t{buckets} * FlowTable::kWays, flows);
    }
  }
}

TEST(FlowTableSize, FewOfThePromisedFlowsMeetInAFullBucket) {
  constexpr uint32_t kFlows = 4 << 20;
  Fixture f(FlowTable::buckets_for(kFlows));
  std::mt19937_64 random(1);
  for (uint32_t i = 0; i < kFlows; ++i) f.table.insert(random(), 1, 0);
  // Poisson with mean 4: 0.84 % of the flows come to a bucket that has eight others.
  EXPECT_NEAR(static_cast<double>(f.table.evicted()) / kFlows, 0.0084, 0.001);
  f.expect_counters_agree();
}

TEST(FlowTable, AnEmptyTableKnowsNobody) {
  Fixture f(64);
  for (const FlowTick now : std::initializer_list<FlowTick>{0, 1, 29, 30, 31, 4095, 4096, 65535}) {
    for (const uint64_t signature : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 36) - 1}) {
      const uint64_t hash = hash_of(5, signature);
      EXPECT_EQ(f.table.find(hash, now, kTimeout), kNoBackend);
      EXPECT_EQ(f.table.find_and_refresh(hash, now, kTimeout), kNoBackend);
    }
  }
  EXPECT_EQ(f.entries_in_memory(), 0u) << "a look-up must not write";
}

TEST(FlowTable, AnInsertTellsWhatWasKnownOfTheFlow) {
  Fixture f(64);
  const uint64_t hash = hash_of(5, 12345);
  FlowTable::Known known = f.table.insert(hash, 7, 4095);
  EXPECT_EQ(known.backend, kNoBackend);
  known = f.table.insert(hash, 9, 4096 % 4096);
  EXPECT_EQ(known.backend, 7);
  EXPECT_EQ(known.idle, 1) << "over the wrap of the clock";
  known = f.table.insert(hash, 9, 3);
  EXPECT_EQ(known.backend, 9);
  EXPECT_EQ(known.idle, 3);
  EXPECT_EQ(f.table.insert(hash_of(5, 54321), 9, 3).backend, kNoBackend) << "another flow";
}

TEST(FlowTable, FindsWhatWasInserted) {
  Fixture f(64);
  const uint64_t hash = hash_of(5, 0x123456789);
  f.table.insert(hash, 7, 100);
  EXPECT_EQ(f.table.find(hash, 100, kTimeout), 7);
  EXPECT_EQ(f.table.find_and_refresh(hash, 100, kTimeout), 7);
  f.table.insert(hash, 65535, 100);
  EXPECT_EQ(f.table.find(hash, 100, kTimeout), 65535) << "the largest number";
  EXPECT_EQ(f.table.occupied(), 1u) << "the same flow has one entry";
  EXPECT_EQ(f.table.inserted(), 1u);
}

TEST(FlowTable, EverySignatureBitIsComparedAndNoOther) {
  Fixture f(64);
  const uint64_t hash = hash_of(5, 0x5a5a5a5a5);
  f.table.insert(hash, 7, 100);
  for (int bit = 28; bit < 64; ++bit) {
    EXPECT_EQ(f.table.find(hash ^ uint64_t{1} << bit, 100, kTimeout), kNoBackend) << "bit " << bit;
    EXPECT_EQ(f.table.find_and_refresh(hash ^ uint64_t{1} << bit, 100, kTimeout), kNoBackend);
  }
  for (int bit = 0; bit < 6; ++bit) {
    EXPECT_EQ(f.table.find(hash ^ uint64_t{1} << bit, 100, kTimeout), kNoBackend) << "another bucket";
  }
  for (int bit = 6; bit < 28; ++bit) {
    EXPECT_EQ(f.table.find(hash ^ uint64_t{1} << bit, 100, kTimeout), 7) << "bit " << bit;
  }
}

TEST(FlowTable, ASignatureOfZeroIsAFlowLikeAnyOther) {
  Fixture f(64);
  const uint64_t zero = hash_of(5, 0);
  f.table.insert(zero, 7, 0);
  EXPECT_EQ(f.table.find(zero, 0, kTimeout), 7);
  EXPECT_EQ(f.table.find_and_refresh(zero, kTimeout, kTimeout), 7);
  EXPECT_EQ(f.entries_in_memory(), 1u) << "the seven empty entries beside it match it, and must stay empty";
  for (uint64_t other = 1; other <= 6; ++other) f.table.insert(hash_of(5, other), 9, 5);
  EXPECT_EQ(f.table.find_and_refresh(zero, kTimeout + 1, kTimeout), 7);
  f.table.insert(zero, 8, kTimeout + 1);
  EXPECT_EQ(f.table.find(zero, kTimeout + 1, kTimeout), 8);
  EXPECT_EQ(f.table.occupied(), 7u);
  f.expect_counters_agree();
}

// All 4096 values of the clock as the time of insertion: the wrap is one of them.
TEST(FlowTable, AFlowIsForgottenOneTickAfterItsTimeout) {
  const uint64_t hash = hash_of(5, 42);
  for (const FlowTick timeout : std::initializer_list<FlowTick>{0, 1, 30, 450, 3600}) {
    for (uint32_t start = 0; start <= 4096; ++start) {
      Fixture f(64);
      const auto at = [&](uint32_t ticks) { return static_cast<FlowTick>(start + ticks); };
      f.table.insert(hash, 7, at(0));
      ASSERT_EQ(f.table.find(hash, at(timeout), timeout), 7) << start << " " << timeout;
      ASSERT_EQ(f.table.find(hash, at(timeout + 1u), timeout), kNoBackend) << start << " " << timeout;
      ASSERT_EQ(f.table.find_and_refresh(hash, at(timeout + 1u), timeout), kNoBackend);
      ASSERT_EQ(f.table.find(hash, at(timeout), timeout), 7) << "a late look-up must not change the entry";
      ASSERT_EQ(f.table.find_and_refresh(hash, at(timeout), timeout), 7);
      ASSERT_EQ(f.table.find(hash, at(2u * timeout), timeout), 7) << "refreshed at " << start + timeout;
      ASSERT_EQ(f.table.find(hash, at(2u * timeout + 1), timeout), kNoBackend);
    }
  }
}

TEST(FlowTable, FindDoesNotRefresh) {
  Fixture f(64);
  const uint64_t hash = hash_of(5, 42);
  f.table.insert(hash, 7, 0);
  EXPECT_EQ(f.table.find(hash, kTimeout, kTimeout), 7);
  EXPECT_EQ(f.table.find(hash, kTimeout + 1, kTimeout), kNoBackend);
}

TEST(FlowTable, RefreshLeavesTheOtherEntriesOfTheBucketAlone) {
  Fixture f(64);
  for (uint64_t flow = 0; flow < 8; ++flow)
    f.table.insert(hash_of(5, flow), static_cast<BackendId>(flow + 1), 10);
  f.table.find_and_refresh(hash_of(5, 3), 10 + kTimeout, kTimeout);
  for (uint64_t flow = 0; flow < 8; ++flow) {
    const BackendId expected = flow == 3 ? 4 : kNoBackend;
    EXPECT_EQ(f.table.find(hash_of(5, flow), 10 + kTimeout + 1, kTimeout), expected) << flow;
  }
}

TEST(FlowTable, AFullBucketGivesUpTheOneLongestUnseen) {
  for (uint32_t oldest = 0; oldest < 8; ++oldest) {
    for (const uint32_t start : {100u, 4090u}) {
      Fixture f(64);
      const auto at = [&](uint32_t ticks) { return static_cast<FlowTick>(start + ticks); };
      for (uint64_t flow = 0; flow < 8; ++flow) {
        f.table.insert(hash_of(5, flow), static_cast<BackendId>(flow + 1), at(0));
      }
      for (uint64_t flow = 0; flow < 8; ++flow) {
        if (flow != oldest) f.table.find_and_refresh(hash_of(5, flow), at(3), kTimeout);
      }
      f.table.insert(hash_of(5, 100), 99, at(9));
      EXPECT_EQ(f.table.find(hash_of(5, 100), at(9), kTimeout), 99);
      for (uint64_t flow = 0; flow < 8; ++flow) {
        const BackendId expected = flow == oldest ? kNoBackend : static_cast<BackendId>(flow + 1);
        EXPECT_EQ(f.table.find(hash_of(5, flow), at(9), kTimeout), expected) << flow;
      }
      EXPECT_EQ(f.table.evicted(), 1u);
      EXPECT_EQ(f.table.occupied(), 8u);
      f.expect_counters_agree();
    }
  }
}

TEST(FlowTable, NeverFailsHoweverManyFlowsCome) {
  Fixture f(64);
  std::mt19937_64 random(2);
  for (uint32_t i = 0; i < 100'000; ++i) {
    const uint64_t hash = random();
    const auto backend = static_cast<BackendId>(1 + i % 65535);
    f.table.insert(hash, backend, static_cast<FlowTick>(i / 1000));
    ASSERT_EQ(f.table.find(hash, static_cast<FlowTick>(i / 1000), kTimeout), backend);
  }
  EXPECT_EQ(f.table.occupied(), f.table.capacity());
  f.expect_counters_agree();
}

TEST(FlowTableSweep, EmptiesWhatIsOverdueAndNothingElse) {
  Fixture f(64);
  for (uint32_t bucket = 0; bucket < 64; ++bucket) {
    f.table.insert(hash_of(bucket, 1), 1, 10);
    f.table.insert(hash_of(bucket, 2), 2, 11);
  }
  f.table.sweep(64, 10 + kTimeout, kTimeout);
  EXPECT_EQ(f.table.occupied(), 128u) << "just in time";
  f.table.sweep(64, 10 + kTimeout + 1, kTimeout);
  EXPECT_EQ(f.table.occupied(), 64u);
  EXPECT_EQ(f.table.expired(), 64u);
  for (uint32_t bucket = 0; bucket < 64; ++bucket) {
    EXPECT_EQ(f.table.find(hash_of(bucket, 1), 11, 4095), kNoBackend);
    EXPECT_EQ(f.table.find(hash_of(bucket, 2), 11, kTimeout), 2);
  }
  f.expect_counters_agree();
}

TEST(FlowTableSweep, GoesRoundInPieces) {
  Fixture f(64);
  for (uint32_t bucket = 0; bucket < 64; ++bucket) f.table.insert(hash_of(bucket, 1), 1, 0);
  uint64_t left = 64;
  for (const uint32_t piece : {0u, 1u, 20u, 42u}) {
    f.table.sweep(piece, kTimeout + 1, kTimeout);
    left -= piece;
    EXPECT_EQ(f.table.occupied(), left);
  }
  f.table.sweep(1, kTimeout + 1, kTimeout);
  EXPECT_EQ(f.table.occupied(), 0u);
  f.table.insert(hash_of(63, 1), 1, 0);
  f.table.sweep(63, kTimeout + 1, kTimeout);
  EXPECT_EQ(f.table.occupied(), 1u) << "the next round is one short of it";
  f.table.sweep(1, kTimeout + 1, kTimeout);
  EXPECT_EQ(f.table.occupied(), 0u);
}

TEST(FlowTableSweep, AtItsSlowestKeepsOldFlowsFromComingBackAtTheWrap) {
  constexpr FlowTick kLongest = kMaxIdleTimeoutSeconds / kFlowTickSeconds;
  for (uint32_t bucket = 0; bucket < 128; ++bucket) {
    Fixture f(128);  // one bucket a tick is one round in kSweepTicks
    static_assert(kSweepTicks == 128);
    f.table.insert(hash_of(bucket, 1), 1, 0);
    for (uint32_t tick = 1; tick <= 3 * 4096; ++tick) {
      f.table.sweep(1, static_cast<FlowTick>(tick), kLongest);
      const BackendId found = f.table.find(hash_of(bucket, 1), static_cast<FlowTick>(tick), kLongest);
      ASSERT_EQ(found, tick <= kLongest ? 1 : kNoBackend) << "bucket " << bucket << ", tick " << tick;
    }
  }
}

TEST(FlowTableMatch, AWrongMatchIsRarerThanOneInABillion) {
  // Eight signatures of 36 bits are compared.
  constexpr double kBound = 8 * 0x1p-36;
  static_assert(kBound < 1e-9);
  Fixture f(1 << 14);
  std::mt19937_64 random(3);
  while (f.table.occupied() < f.table.capacity()) f.table.insert(random(), 1, 0);
  // 20 M strangers: 0.002 wrong matches expected.
  uint64_t matches = 0;
  for (uint32_t i = 0; i < 20'000'000; ++i) matches += f.table.find(random(), 0, kTimeout) != kNoBackend;
  EXPECT_EQ(matches, 0u);
}

TEST(FlowTableMatch, EachTwelveBitsOfTheSignatureKeepOut4095Of4096) {
  // What cannot be counted at 2^-36 can in three parts: a stranger that agrees with an entry in all but 12
  // bits, which are random, matches with 2^-12, wherever the 12 bits are.
  constexpr uint32_t kTrials = 4'000'000;
  for (const int shift : {28, 40, 52}) {
    Fixture f(1 << 14);
    std::mt19937_64 random(4);
    std::vector<uint64_t> known;
    for (uint32_t bucket = 0; bucket < f.table.bucket_count(); ++bucket) {
      known.push_back(hash_of(bucket, random() >> 28));
      f.table.insert(known.back(), 1, 0);
    }
    uint64_t matches = 0;
    for (uint32_t i = 0; i < kTrials; ++i) {
      const uint64_t hash = known[i % known.size()] & ~(uint64_t{0xfff} << shift);
      matches += f.table.find(hash | (random() & 0xfff) << shift, 0, kTimeout) != kNoBackend;
    }
    const double expected = kTrials / 4096.0;
    EXPECT_NEAR(static_cast<double>(matches), expected, 5 * std::sqrt(expected)) << "bits from " << shift;
  }
}

/// The table by the book: time that does not wrap, entries in a map per bucket.
class Model {
 public:
  struct Entry {
    BackendId backend;
    uint64_t seen;
  };
  using Bucket = std::map<uint64_t, Entry>;  ///< by signature

  explicit Model(uint32_t buckets) : buckets_(buckets) {}

  Bucket& bucket_of(uint64_t hash) { return buckets_[hash % buckets_.size()]; }
  BackendId find(uint64_t hash, uint64_t now, uint64_t timeout, bool refresh) {
    const auto found = bucket_of(hash).find(hash >> 28);
    if (found == bucket_of(hash).end() || now - found->second.seen > timeout) return kNoBackend;
    if (refresh) found->second.seen = now;
    return found->second.backend;
  }
  void sweep(uint64_t now, uint64_t timeout) {
    std::erase_if(buckets_[cursor_], [&](const auto& entry) { return now - entry.second.seen > timeout; });
    cursor_ = (cursor_ + 1) % buckets_.size();
  }
  uint64_t size() const {
    uint64_t count = 0;
    for (const Bucket& bucket : buckets_) count += bucket.size();
    return count;
  }

 private:
  std::vector<Bucket> buckets_;
  size_t cursor_ = 0;
};

/// Inserts in both. Of several equally old entries the table may evict any; the model follows it.
void insert_in_both(FlowTable& table, Model& model, uint64_t hash, BackendId backend, uint64_t now) {
  Model::Bucket& bucket = model.bucket_of(hash);
  const bool evicts = bucket.size() == FlowTable::kWays && !bucket.contains(hash >> 28);
  const uint64_t evicted_before = table.evicted();
  table.insert(hash, backend, static_cast<FlowTick>(now));
  EXPECT_EQ(table.evicted() - evicted_before, evicts ? 1u : 0u);
  if (evicts) {
    uint64_t oldest = now;
    std::vector<uint64_t> gone;
    for (const auto& [signature, entry] : bucket) {
      oldest = std::min(oldest, entry.seen);
      const uint64_t same_bucket = signature << 28 | (hash & 0xfffffff);
      if (table.find(same_bucket, static_cast<FlowTick>(now), 4095) == kNoBackend) gone.push_back(signature);
    }
    ASSERT_EQ(gone.size(), 1u);
    EXPECT_EQ(bucket.at(gone[0]).seen, oldest) << "a younger entry was evicted";
    bucket.erase(gone[0]);
  }
  bucket[hash >> 28] = {backend, now};
}

TEST(FlowTableModel, RandomOperationsGiveWhatTheBookSays) {
  constexpr uint32_t kBuckets = 64;
  constexpr uint64_t kLongest = kMaxIdleTimeoutSeconds / kFlowTickSeconds;
  Fixture f(kBuckets);
  Model model(kBuckets);
  std::mt19937_64 random(5);
  // About twelve flows per bucket that fits eight; every bucket has one of signature zero.
  std::vector<uint64_t> flows;
  for (uint32_t i = 0; i < kBuckets * 12; ++i) {
    flows.push_back(hash_of(i % kBuckets, i < kBuckets ? 0 : random() >> 28));
  }
  uint64_t now = 60'000;  // the tick itself wraps at 65536 too
  for (uint32_t step = 0; step < 400'000; ++step) {
    const uint64_t hash = flows[random() % flows.size()];
    const auto timeout = static_cast<FlowTick>(random() % 4 == 0 ? kLongest : 1 + random() % 900);
    const auto tick = static_cast<FlowTick>(now);
    switch (random() % 8) {
      case 0:
      case 1:
        insert_in_both(f.table, model, hash, static_cast<BackendId>(1 + random() % 65535), now);
        break;
      case 2:
      case 3:
        ASSERT_EQ(f.table.find(hash, tick, timeout), model.find(hash, now, timeout, false)) << step;
        break;
      case 4:
      case 5:
      case 6:
        ASSERT_EQ(f.table.find_and_refresh(hash, tick, timeout), model.find(hash, now, timeout, true))
            << step;
        break;
      default:
        // Mostly little time goes by, sometimes more than the tick counts.
        for (uint64_t ticks = random() % 512 == 0 ? random() % 6000 : random() % 8; ticks > 0; --ticks) {
          ++now;
          f.table.sweep(1, static_cast<FlowTick>(now), kLongest);
          model.sweep(now, kLongest);
        }
    }
    if (step % 1000 == 0) {
      ASSERT_EQ(f.table.occupied(), model.size()) << step;
      f.expect_counters_agree();
    }
  }
  EXPECT_GT(f.table.evicted(), 1000u) << "the test must come to all cases";
  EXPECT_GT(f.table.expired(), 1000u);
}

}  // namespace
}  // namespace sluice
