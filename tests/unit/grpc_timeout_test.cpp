#include "lb/l7/grpc_timeout.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "lb/l7/random.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;

TEST(GrpcTimeout, ReadsEachUnit) {
  const std::vector<std::pair<std::string, nanoseconds>> cases = {{"1H", 1h},
                                                                  {"2M", 2min},
                                                                  {"3S", 3s},
                                                                  {"4m", 4ms},
                                                                  {"5u", 5us},
                                                                  {"6n", 6ns},
                                                                  {"0S", 0s},
                                                                  {"00000100m", 100ms},
                                                                  {"99999999n", 99'999'999ns},
                                                                  {"99999999S", 99'999'999s},
                                                                  {"2562047H", 2562047h},
                                                                  {"2562048H", nanoseconds::max()},
                                                                  {"99999999H", nanoseconds::max()}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(parse_grpc_timeout(text), expected) << text;
}

TEST(GrpcTimeout, RefusesOtherForms) {
  for (const char* text :
       {"", "S", "1", "1s", "1h", "-1S", "+1S", " 1S", "1S ", "1 S", "1.5S", "123456789S", "1SS"}) {
    EXPECT_FALSE(parse_grpc_timeout(text)) << text;
  }
}

TEST(GrpcTimeout, IsWrittenInTheFinestUnitThatFits) {
  const std::vector<std::pair<nanoseconds, std::string>> cases = {{0ns, "0n"},
                                                                  {-1s, "0n"},
                                                                  {1ns, "1n"},
                                                                  {99'999'999ns, "99999999n"},
                                                                  {100ms, "100000u"},
                                                                  {100'000'001ns, "100000u"},
                                                                  {1s, "1000000u"},
                                                                  {99'999'999'999ns, "99999999u"},
                                                                  {100s, "100000m"},
                                                                  {30h, "108000S"},
                                                                  {99'999'999s, "99999999S"},
                                                                  {100'000'000s, "1666666M"},
                                                                  {nanoseconds::max(), "2562047H"}};
  for (const auto& [timeout, expected] : cases) EXPECT_EQ(format_grpc_timeout(timeout).view(), expected);
}

TEST(GrpcTimeout, NeverGrowsOnItsWay) {
  Random random(1);
  for (int i = 0; i < 100'000; ++i) {
    const nanoseconds before(static_cast<int64_t>(random() >> (1 + random.below(63))));
    const auto after = parse_grpc_timeout(format_grpc_timeout(before).view());
    ASSERT_TRUE(after.has_value());
    EXPECT_LE(*after, before);
    EXPECT_GE(after->count(), before.count() - before.count() / 100'000 - 1);
  }
}

}  // namespace
}  // namespace sluice
