#include "dataplane/l7/memory_ledger.h"

#include <gtest/gtest.h>

#include <vector>

#include "dataplane/l7/byte_queue.h"

namespace sluice::l7 {
namespace {

TEST(MemoryLedger, HandsInMuchAndKeepsLittleToItself) {
  ProcessMemory process;
  MemoryLedger ledger(process);
  MemoryAccount account(ledger, nullptr);
  account.add(1000);
  ledger.settle(0);
  EXPECT_EQ(process.held(), 0);
  account.add(MemoryLedger::kBatch);
  ledger.settle(0);
  EXPECT_EQ(process.held(), MemoryLedger::kBatch + 1000);
  account.subtract(MemoryLedger::kBatch);
  ledger.settle(0);
  EXPECT_EQ(process.held(), 1000);
  account.subtract(1000);
  EXPECT_EQ(ledger.held(), 0);
}

TEST(MemoryLedger, CountsWhatTheWorkerKeeps) {
  ProcessMemory process;
  MemoryLedger ledger(process);
  ledger.settle(100'000);
  EXPECT_EQ(process.held(), 100'000);
  ledger.settle(0);
  EXPECT_EQ(process.held(), 0);
}

TEST(MemoryLedger, AWorkerThatEndsTakesItsPartAway) {
  ProcessMemory process;
  {
    MemoryLedger ledger(process);
    ledger.add(1'000'000);
    ledger.settle(0);
    EXPECT_EQ(process.held(), 1'000'000);
  }
  EXPECT_EQ(process.held(), 0);
}

TEST(MemoryLedger, LevelsAreOfAllWorkersTogether) {
  ProcessMemory process;
  process.set_limit(1'000'000);
  MemoryLedger one(process);
  MemoryLedger other(process);
  one.add(400'000);
  one.settle(0);
  EXPECT_EQ(one.level(), MemoryLevel::kCalm);
  other.add(400'001);
  other.settle(0);
  EXPECT_EQ(other.level(), MemoryLevel::kTight);
  one.settle(0);
  EXPECT_EQ(one.level(), MemoryLevel::kTight);
  other.add(200'000);
  other.settle(0);
  EXPECT_EQ(other.level(), MemoryLevel::kFull);
  process.set_limit(0);
  EXPECT_EQ(process.limit(), 0u);
  other.settle(0);
  EXPECT_EQ(other.level(), MemoryLevel::kCalm);
}

TEST(MemoryAccount, AboveHalfOfItsLimitItIsToBeLookedAt) {
  ProcessMemory process;
  MemoryLedger ledger(process);
  MemoryAccount account(ledger, nullptr);
  account.set_limit(1000);
  account.add(500);
  EXPECT_TRUE(ledger.tight().empty());
  account.add(1);
  EXPECT_FALSE(ledger.tight().empty());
  EXPECT_TRUE(account.tight());
  EXPECT_FALSE(account.over());
  account.add(500);
  EXPECT_TRUE(account.over());
  account.subtract(1001);
  EXPECT_FALSE(account.tight());
}

TEST(MemoryAccount, IsChargedForTheChunksOfItsQueues) {
  ProcessMemory process;
  MemoryLedger ledger(process);
  MemoryAccount account(ledger, nullptr);
  ChunkPool pool;
  {
    ByteQueue queue(pool, &account);
    const uint8_t byte = 1;
    queue.append({&byte, 1});
    EXPECT_EQ(account.held(), sizeof(Chunk));
    const std::vector<uint8_t> much(Chunk::kBytes, 0);
    queue.append(much);
    EXPECT_EQ(account.held(), 2 * sizeof(Chunk));
    queue.consume(Chunk::kBytes);
    EXPECT_EQ(account.held(), sizeof(Chunk));
  }
  EXPECT_EQ(account.held(), 0u);
  EXPECT_EQ(pool.kept_bytes(), 2 * sizeof(Chunk));
  pool.trim();
  EXPECT_EQ(pool.kept_bytes(), 0u);
}

}  // namespace
}  // namespace sluice::l7
