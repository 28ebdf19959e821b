#include "control/proxy/otlp_batches.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "dataplane/l7/span_record.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

const OtlpBatches::Time kStart{};

std::vector<uint8_t> message(uint64_t span) {
  l7::SpanRecord record;
  record.trace = {1, 2};
  record.span = span;
  std::vector<uint8_t> bytes(sizeof(record));
  std::memcpy(bytes.data(), &record, sizeof(record));
  return bytes;
}

size_t spans_in(const std::string& body) {
  return nlohmann::json::parse(body).at("resourceSpans")[0]["scopeSpans"][0]["spans"].size();
}

TEST(OtlpBatches, SpansWaitForOthersButNotForLong) {
  OtlpBatches batches({"edge", "p1", "1"});
  batches.add(message(1), kStart);
  batches.add(message(2), kStart + 900ms);
  batches.close_if_due(kStart + 999ms);
  EXPECT_TRUE(batches.empty());
  EXPECT_EQ(batches.spans(), 2u);
  batches.close_if_due(kStart + 1000ms);
  ASSERT_FALSE(batches.empty());
  EXPECT_EQ(batches.front().spans, 2u);
  EXPECT_EQ(batches.front().begun, kStart);
  EXPECT_EQ(spans_in(batches.front().body), 2u);
  batches.pop();
  EXPECT_TRUE(batches.empty());
  EXPECT_EQ(batches.spans(), 0u);
  batches.close_if_due(kStart + 5000ms);
  EXPECT_TRUE(batches.empty()) << "no empty body";
}

TEST(OtlpBatches, ABodyIsFullByNumberOrBySize) {
  OtlpBatches::Limits limits;
  limits.spans = 3;
  OtlpBatches by_number({"edge", "p1", "1"}, limits);
  for (uint64_t i = 1; i <= 7; ++i) by_number.add(message(i), kStart);
  EXPECT_EQ(by_number.front().spans, 3u);
  by_number.pop();
  EXPECT_EQ(by_number.front().spans, 3u);
  by_number.pop();
  EXPECT_TRUE(by_number.empty());
  EXPECT_EQ(by_number.spans(), 1u);
  by_number.close();
  EXPECT_EQ(spans_in(by_number.front().body), 1u);

  limits = {};
  limits.body_bytes = 2000;
  OtlpBatches by_size({"edge", "p1", "1"}, limits);
  for (uint64_t i = 1; i <= 100; ++i) by_size.add(message(i), kStart);
  ASSERT_FALSE(by_size.empty());
  EXPECT_LT(by_size.front().body.size(), 3000u);
  EXPECT_GT(by_size.front().spans, 1u);
}

TEST(OtlpBatches, WhenTooMuchWaitsSpansAreLostAndTheOldOnesStay) {
  OtlpBatches::Limits limits;
  limits.spans = 10;
  limits.waiting_bytes = 20'000;
  OtlpBatches batches({"edge", "p1", "1"}, limits);
  uint64_t taken = 0;
  for (uint64_t i = 1; i <= 1000; ++i) taken += batches.add(message(i), kStart) ? 1 : 0;
  EXPECT_GT(taken, 20u);
  EXPECT_LT(taken, 100u);
  EXPECT_EQ(batches.spans(), taken);
  const auto first = nlohmann::json::parse(batches.front().body);
  EXPECT_EQ(first["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["spanId"], "0000000000000001");
  batches.pop();
  EXPECT_TRUE(batches.add(message(1), kStart)) << "there is room again";
}

}  // namespace
}  // namespace sluice
