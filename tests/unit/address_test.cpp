#include "lb/address.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Address, PrintsWhatItParsed) {
  for (const char* text : {"0.0.0.0", "203.0.113.255", "::", "2001:db8::1", "::ffff:1.2.3.4"}) {
    EXPECT_EQ(IpAddress::parse(text)->to_string(), text);
  }
}

TEST(Address, RefusesWhatIsNoAddress) {
  for (const char* text :
       {"", "1.2.3", "1.2.3.256", "example.org", "1.2.3.4 ", "2001:db8::1%eth0", "[::1]"}) {
    const auto parsed = IpAddress::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find(text), std::string::npos);
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0x", 9)));
}

TEST(Address, MappedIpv6IsNotIpv4) {
  EXPECT_NE(*IpAddress::parse("::ffff:1.2.3.4"), *IpAddress::parse("1.2.3.4"));
}

TEST(Address, KnowsUnspecifiedAndMulticast) {
  EXPECT_TRUE(IpAddress::parse("0.0.0.0")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("::")->is_unspecified());
  EXPECT_FALSE(IpAddress::parse("::1")->is_unspecified());
  EXPECT_TRUE(IpAddress::parse("239.1.2.3")->is_multicast());
  EXPECT_TRUE(IpAddress::parse("ff02::1")->is_multicast());
  EXPECT_FALSE(IpAddress::parse("223.255.255.255")->is_multicast());
}

TEST(Prefix, ContainsByItsLength) {
  const auto v4 = *Prefix::parse("192.0.2.128/25");
  EXPECT_TRUE(v4.contains(*IpAddress::parse("192.0.2.200")));
  EXPECT_FALSE(v4.contains(*IpAddress::parse("192.0.2.127")));
  EXPECT_FALSE(v4.contains(*IpAddress::parse("::ffff:192.0.2.200")));
  const auto v6 = *Prefix::parse("2001:db8:8000::/33");
  EXPECT_TRUE(v6.contains(*IpAddress::parse("2001:db8:ffff::1")));
  EXPECT_FALSE(v6.contains(*IpAddress::parse("2001:db8:7fff::1")));
  EXPECT_TRUE(Prefix::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.0.0.1")));
}

TEST(Prefix, AnAddressAloneIsAHostPrefix) {
  EXPECT_EQ(Prefix::parse("192.0.2.1")->length(), 32);
  EXPECT_EQ(Prefix::parse("2001:db8::1")->length(), 128);
  EXPECT_EQ(Prefix::parse("192.0.2.1/32")->to_string(), "192.0.2.1");
}

TEST(Prefix, RefusesBadLengthsAndStrayBits) {
  for (const char* text : {"192.0.2.0/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/8x"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
  const auto stray = Prefix::parse("192.0.2.1/24");
  ASSERT_FALSE(stray);
  EXPECT_NE(stray.error().message.find("192.0.2.0/24"), std::string::npos);
}

TEST(Mac, ParsesAndPrints) {
  EXPECT_EQ(MacAddress::parse("02:00:00:AA:bb:0c")->to_string(), "02:00:00:aa:bb:0c");
  for (const char* text :
       {"", "02:00:00:aa:bb", "02-00-00-aa-bb-cc", "02:00:00:aa:bb:cg", "02:00:00:aa:bb:cc:dd"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

}  // namespace
}  // namespace sluice
