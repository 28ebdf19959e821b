#include "control/check_packet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace sluice::control {
namespace {

using Bytes = std::vector<uint8_t>;

IpAddress address(const char* text) {
  return IpAddress::parse(text).value();
}

void put(Bytes& bytes, size_t at, uint16_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

/// Header and payload; checksums are zero, as a kernel leaves them to the NIC.
Bytes ip_packet(const IpAddress& source, const IpAddress& destination, uint8_t protocol,
                const Bytes& payload) {
  Bytes packet(source.is_v4() ? 20 : 40);
  if (source.is_v4()) {
    packet[0] = 0x45;
    packet[1] = 0x2e;
    put(packet, 2, static_cast<uint16_t>(20 + payload.size()));
    packet[8] = 64;
    packet[9] = protocol;
    std::copy_n(source.v4_bytes(), 4, packet.begin() + 12);
    std::copy_n(destination.v4_bytes(), 4, packet.begin() + 16);
  } else {
    packet[0] = 0x62;
    packet[1] = 0xe0;
    put(packet, 4, static_cast<uint16_t>(payload.size()));
    packet[6] = protocol;
    packet[7] = 64;
    std::copy_n(source.bytes().begin(), 16, packet.begin() + 8);
    std::copy_n(destination.bytes().begin(), 16, packet.begin() + 24);
  }
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

/// Ports 40000 to 80 and an odd number of bytes behind the header.
Bytes with_ports(uint8_t protocol) {
  Bytes payload(protocol == 6 ? 20 + 5 : 8 + 5, 0x5a);
  put(payload, 0, 40000);
  put(payload, 2, 80);
  if (protocol == 6) put(payload, 16, 0);
  if (protocol == 17) {
    put(payload, 4, static_cast<uint16_t>(payload.size()));
    put(payload, 6, 0);
  }
  return payload;
}

uint32_t sum(const uint8_t* at, size_t bytes) {
  uint32_t total = 0;
  for (size_t i = 0; i < bytes; ++i) total += i % 2 == 0 ? uint32_t{at[i]} << 8 : at[i];
  return total;
}

uint16_t folded(uint32_t total) {
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return static_cast<uint16_t>(total);
}

/// RFC 1071: with its checksum in place everything adds up to all ones.
void expect_checksums(const Bytes& packet) {
  const bool is_v4 = packet[0] >> 4 == 4;
  const size_t header = is_v4 ? 20 : 40;
  const uint8_t protocol = packet[is_v4 ? 9 : 6];
  const size_t length = packet.size() - header;
  if (is_v4) {
    EXPECT_EQ(folded(sum(packet.data(), header)), 0xffff) << "IPv4 header";
  }
  uint32_t total = sum(packet.data() + header, length);
  if (protocol != 1) {
    total += sum(packet.data() + (is_v4 ? 12 : 8), is_v4 ? 8 : 32) + static_cast<uint32_t>(length) + protocol;
  }
  EXPECT_EQ(folded(total), 0xffff) << "payload of protocol " << int{protocol};
}

struct Ends {
  IpAddress source, destination, new_source, new_destination;
};
const Ends kEnds[] = {
    {address("169.254.143.0"), address("169.254.143.1"), address("10.1.1.2"), address("203.0.113.10")},
    {address("fe80::2"), address("fe80::3"), address("fd00:1:1::2"), address("2001:db8:f00d::10")},
};

TEST(CheckPacket, TcpAndUdpGetOtherAddressesAndSoundChecksums) {
  for (const Ends& ends : kEnds) {
    for (const uint8_t protocol : {uint8_t{6}, uint8_t{17}}) {
      Bytes packet = ip_packet(ends.source, ends.destination, protocol, with_ports(protocol));
      const Bytes expected_end(packet.end() - 5, packet.end());
      const auto before = read_check_packet(packet);
      ASSERT_TRUE(before);
      EXPECT_EQ(before->flow, (FiveTuple{ends.source, ends.destination, Be16(40000), Be16(80), protocol}));
      EXPECT_EQ(before->traffic_class, 0x2e);
      EXPECT_EQ(before->length, packet.size());
      ASSERT_TRUE(readdress(packet, ends.new_source, ends.new_destination));
      const auto after = read_check_packet(packet);
      ASSERT_TRUE(after);
      EXPECT_EQ(after->flow,
                (FiveTuple{ends.new_source, ends.new_destination, Be16(40000), Be16(80), protocol}));
      expect_checksums(packet);
      EXPECT_TRUE(std::equal(expected_end.begin(), expected_end.end(), packet.end() - 5));
    }
  }
}

TEST(CheckPacket, AnErrorBelongsToTheFlowItIsAboutAndGetsAddressesInBothPlaces) {
  for (const Ends& ends : kEnds) {
    const bool is_v4 = ends.source.is_v4();
    // What went from the node to the VIP comes back quoted, cut behind its ports.
    Bytes quoted = ip_packet(ends.new_source, ends.new_destination, 17, with_ports(17));
    quoted.resize(quoted.size() - 5);
    Bytes icmp(8);
    icmp[0] = is_v4 ? 3 : 1;
    icmp[1] = is_v4 ? 3 : 4;
    icmp.insert(icmp.end(), quoted.begin(), quoted.end());
    Bytes packet = ip_packet(ends.new_destination, ends.new_source, is_v4 ? 1 : 58, icmp);
    const auto found = read_check_packet(packet);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->is_icmp_error);
    EXPECT_EQ(found->flow, (FiveTuple{ends.new_destination, ends.new_source, Be16(80), Be16(40000), 17}));
    ASSERT_TRUE(readdress(packet, ends.destination, ends.source));
    expect_checksums(packet);
    const auto after = read_check_packet(packet);
    ASSERT_TRUE(after);
    EXPECT_EQ(after->flow, (FiveTuple{ends.destination, ends.source, Be16(80), Be16(40000), 17}));
    if (is_v4) {
      EXPECT_EQ(folded(sum(packet.data() + 28, 20)), 0xffff) << "header of the quoted packet";
    }
  }
}

TEST(CheckPacket, AUdpChecksumOfZeroIsWrittenAsAllOnes) {
  // RFC 768. Two bytes of content that make the sum all ones.
  const Ends& ends = kEnds[0];
  Bytes payload(10);
  put(payload, 0, 40000);
  put(payload, 2, 80);
  put(payload, 4, 10);
  Bytes packet = ip_packet(ends.source, ends.destination, 17, payload);
  ASSERT_TRUE(readdress(packet, ends.source, ends.destination));
  put(packet, 28, static_cast<uint16_t>(packet[26] << 8 | packet[27]));
  ASSERT_TRUE(readdress(packet, ends.source, ends.destination));
  EXPECT_EQ(packet[26] << 8 | packet[27], 0xffff);
}

TEST(CheckPacket, OneOfSixtyFourKilobytesIsRead) {
  Bytes payload = with_ports(6);
  payload.resize(65000);
  Bytes packet = ip_packet(kEnds[0].source, kEnds[0].destination, 6, payload);
  ASSERT_TRUE(readdress(packet, kEnds[0].new_source, kEnds[0].new_destination));
  expect_checksums(packet);
}

TEST(CheckPacket, WhatIsNotUnderstoodStaysAsItIs) {
  std::vector<Bytes> refused = {{}, {0x45}, Bytes(40, 0xff)};
  for (const Ends& ends : kEnds) {
    for (const uint8_t protocol : {uint8_t{6}, uint8_t{17}}) {
      const Bytes good = ip_packet(ends.source, ends.destination, protocol, with_ports(protocol));
      ASSERT_TRUE(read_check_packet(good));
      // Cut anywhere: its header says that it is longer.
      for (size_t length = 0; length < good.size(); ++length)
        refused.emplace_back(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    }
    refused.push_back(ip_packet(ends.source, ends.destination, 47, with_ports(6)));
    refused.push_back(ip_packet(ends.source, ends.destination, 6, Bytes(19)));
    const uint8_t icmp = ends.source.is_v4() ? 1 : 58;
    Bytes echo(64);
    echo[0] = ends.source.is_v4() ? 8 : 128;
    refused.push_back(ip_packet(ends.source, ends.destination, icmp, echo));
    for (size_t length = 8; length < 8 + (ends.source.is_v4() ? 24u : 44u); ++length) {
      Bytes error(8);
      error[0] = ends.source.is_v4() ? 3 : 1;
      const Bytes about = ip_packet(ends.source, ends.destination, 6, with_ports(6));
      error.insert(error.end(), about.begin(), about.end());
      error.resize(length);
      refused.push_back(ip_packet(ends.destination, ends.source, icmp, error));
    }
  }
  Bytes fragment = ip_packet(kEnds[0].source, kEnds[0].destination, 17, with_ports(17));
  put(fragment, 6, 0x2000);
  refused.push_back(fragment);
  for (size_t i = 0; i < refused.size(); ++i) {
    Bytes packet = refused[i];
    EXPECT_FALSE(read_check_packet(packet)) << i;
    EXPECT_FALSE(readdress(packet, kEnds[0].new_source, kEnds[0].new_destination)) << i;
    EXPECT_EQ(packet, refused[i]) << i;
  }
}

}  // namespace
}  // namespace sluice::control
