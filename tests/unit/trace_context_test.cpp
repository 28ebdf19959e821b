#include "lb/l7/trace_context.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace sluice {
namespace {

const std::string kTrace = "12345678901234567890123456789012";
const std::string kSpan = "1234567890123456";
constexpr TraceId kTraceValue{0x1234567890123456, 0x7890123456789012};

std::string field(const std::string& version, const std::string& trace, const std::string& span,
                  const std::string& flags) {
  return version + "-" + trace + "-" + span + "-" + flags;
}

TEST(Traceparent, TheSpecificationsExamplesAreRead) {
  // Section 3.2.5.
  const auto sampled = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  ASSERT_TRUE(sampled);
  EXPECT_EQ(sampled->trace, (TraceId{0x4bf92f3577b34da6, 0xa3ce929d0e0e4736}));
  EXPECT_EQ(sampled->span, 0x00f067aa0ba902b7u);
  EXPECT_TRUE(sampled->sampled);
  EXPECT_TRUE(sampled->plain);
  const auto not_sampled = parse_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  ASSERT_TRUE(not_sampled);
  EXPECT_FALSE(not_sampled->sampled);
}

TEST(Traceparent, WhatIsInvalidIsRefused) {
  const std::vector<std::string> invalid{
      "",
      "1",
      // Version 00 has nothing behind its flags.
      field("00", kTrace, kSpan, "01."),
      field("00", kTrace, kSpan, "01-"),
      field("00", kTrace, kSpan, "01-what-the-future-will-be-like"),
      // Later ones may, after a hyphen.
      field("cc", kTrace, kSpan, "01.what-the-future-will-not-be-like"),
      field("cc", kTrace, kSpan, "0"),
      field("cc", kTrace, kSpan, ""),
      field("ff", kTrace, kSpan, "01"),
      field("ff", kTrace, kSpan, "01-what-the-future-will-be-like"),
      field(".0", kTrace, kSpan, "01"),
      field("0.", kTrace, kSpan, "01"),
      field("000", kTrace, kSpan, "01"),
      field("0000", kTrace, kSpan, "01"),
      field("0", kTrace, kSpan, "01"),
      field("00", std::string(32, '0'), kSpan, "01"),
      field("00", ".2345678901234567890123456789012", kSpan, "01"),
      field("00", "1234567890123456789012345678901.", kSpan, "01"),
      field("00", "1234567890123456789012345678901g", kSpan, "01"),
      field("00", kTrace + "3", kSpan, "01"),
      field("00", kTrace.substr(1), kSpan, "01"),
      field("00", kTrace, std::string(16, '0'), "01"),
      field("00", kTrace, ".234567890123456", "01"),
      field("00", kTrace, "123456789012345.", "01"),
      field("00", kTrace, kSpan + "7", "01"),
      field("00", kTrace, kSpan.substr(1), "01"),
      field("00", kTrace, kSpan, ".0"),
      field("00", kTrace, kSpan, "0."),
      field("00", kTrace, kSpan, "001"),
      field("00", kTrace, kSpan, "1"),
      // Lower case only (section 3.2.2).
      field("00", "1234567890123456789012345678901A", kSpan, "01"),
      field("00", kTrace, "123456789012345F", "01"),
      field("0A", kTrace, kSpan, "01"),
      field("00", kTrace, kSpan, "0F"),
      " " + field("00", kTrace, kSpan, "01"),
      field("00", kTrace, kSpan, "01") + " ",
      "00_" + kTrace + "-" + kSpan + "-01",
      "00-" + kTrace + "_" + kSpan + "-01",
      "00-" + kTrace + "-" + kSpan + "_01",
  };
  for (const std::string& value : invalid) EXPECT_FALSE(parse_traceparent(value)) << value;
}

TEST(Traceparent, OfLaterVersionsTheKnownPartIsRead) {
  for (const char* version : {"01", "cc", "fe"}) {
    for (const char* flags : {"01", "01-", "01-what-the-future-will-be-like", "ff"}) {
      const std::string value = field(version, kTrace, kSpan, flags);
      const auto context = parse_traceparent(value);
      ASSERT_TRUE(context) << value;
      EXPECT_EQ(context->trace, kTraceValue);
      EXPECT_EQ(context->span, 0x1234567890123456u);
      EXPECT_TRUE(context->sampled);
      EXPECT_FALSE(context->plain) << "what is passed on is of version 00";
    }
  }
}

TEST(Traceparent, FlagsThatAreNotDefinedAreNotPassedOn) {
  // Section 3.2.2.5: "MUST set those to zero".
  const auto sampled = parse_traceparent(field("00", kTrace, kSpan, "ff"));
  ASSERT_TRUE(sampled);
  EXPECT_TRUE(sampled->sampled);
  EXPECT_FALSE(sampled->plain);
  const auto other = parse_traceparent(field("00", kTrace, kSpan, "02"));
  ASSERT_TRUE(other);
  EXPECT_FALSE(other->sampled);
  EXPECT_FALSE(other->plain);
}

TEST(Traceparent, WhatIsWrittenIsReadTheSame) {
  EXPECT_EQ(format_traceparent({0x0af7651916cd43dd, 0x8448eb211c80319c}, 0xb7ad6b7169203331, true).view(),
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  EXPECT_EQ(format_traceparent({0, 1}, 2, false).view(),
            "00-00000000000000000000000000000001-0000000000000002-00");
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const TraceId trace = draw_trace_id(random);
    const SpanId span = draw_span_id(random);
    const auto context = parse_traceparent(format_traceparent(trace, span, i % 2 == 0).view());
    ASSERT_TRUE(context);
    EXPECT_EQ(context->trace, trace);
    EXPECT_EQ(context->span, span);
    EXPECT_EQ(context->sampled, i % 2 == 0);
    EXPECT_TRUE(context->plain);
  }
}

TEST(Sampling, AShareOfTheTracesIsTaken) {
  Random random(3);
  constexpr int kTraces = 100'000;
  for (const double percent : {0.0, 0.1, 1.0, 25.0, 99.0, 100.0}) {
    const SampleRatio ratio = SampleRatio::of_percent(percent);
    int taken = 0;
    for (int i = 0; i < kTraces; ++i) taken += ratio.takes(draw_trace_id(random)) ? 1 : 0;
    const double expected = kTraces * percent / 100;
    EXPECT_NEAR(taken, expected, 6 * std::sqrt(expected * (1 - percent / 100))) << percent;
  }
}

TEST(Sampling, AllAndNoneAreExactAndOutsideIsTheNearest) {
  const TraceId last{0, ~uint64_t{0}};
  const TraceId first{1, 0};
  EXPECT_TRUE(SampleRatio().takes(last));
  EXPECT_TRUE(SampleRatio::of_percent(100).takes(last));
  EXPECT_TRUE(SampleRatio::of_percent(1000).takes(last));
  EXPECT_FALSE(SampleRatio::of_percent(0).takes(first));
  EXPECT_FALSE(SampleRatio::of_percent(-1).takes(first));
}

TEST(Sampling, ATraceThatASmallerShareTakesALargerOneTakesToo) {
  Random random(5);
  const SampleRatio few = SampleRatio::of_percent(1);
  const SampleRatio many = SampleRatio::of_percent(10);
  int both = 0;
  for (int i = 0; i < 100'000; ++i) {
    const TraceId trace = draw_trace_id(random);
    if (!few.takes(trace)) continue;
    EXPECT_TRUE(many.takes(trace));
    ++both;
  }
  EXPECT_GT(both, 500);
}

TEST(Sampling, TheSenderDecidesIfThereIsOne) {
  const SampleRatio all;
  const SampleRatio none = SampleRatio::of_percent(0);
  const TraceId trace{1, 1};
  EXPECT_FALSE(decide_sampling(TraceContext{trace, 1, false}, trace, all));
  EXPECT_TRUE(decide_sampling(TraceContext{trace, 1, true}, trace, none));
  EXPECT_TRUE(decide_sampling(std::nullopt, trace, all));
  EXPECT_FALSE(decide_sampling(std::nullopt, trace, none));
}

}  // namespace
}  // namespace sluice
