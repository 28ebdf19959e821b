// Any bytes as an answer to a health check, as the packet socket hands them over: reading stays inside of the
// packet, and what is understood keeps its length, flow and content under other addresses.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/check_packet.h"

namespace {

using namespace sluice;
using namespace sluice::control;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

IpAddress other_address(bool is_v4, uint8_t last) {
  if (is_v4) return IpAddress::v4(169, 254, 143, last);
  IpAddress::Bytes bytes{0xfe, 0x80};
  bytes[15] = last;
  return IpAddress::v6(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Memory of exactly this size, so that a step outside is found by the address sanitizer.
  const std::unique_ptr<uint8_t[]> memory(new uint8_t[size]);
  std::copy_n(data, size, memory.get());
  const std::span<uint8_t> packet(memory.get(), size);
  const auto before = read_check_packet(packet);
  const bool is_v4 = before ? before->flow.source.is_v4() : true;
  const IpAddress source = other_address(is_v4, 1);
  const IpAddress destination = other_address(is_v4, 0);
  require(readdress(packet, source, destination) == before.has_value());
  if (!before) {
    require(std::equal(packet.begin(), packet.end(), data));
    return 0;
  }
  require(before->length <= size);
  const auto after = read_check_packet(packet);
  require(after.has_value());
  require(after->flow.source == source && after->flow.destination == destination);
  require(after->flow.source_port == before->flow.source_port);
  require(after->flow.destination_port == before->flow.destination_port);
  require(after->flow.protocol == before->flow.protocol && after->is_icmp_error == before->is_icmp_error);
  require(after->length == before->length && after->traffic_class == before->traffic_class);
  // A second time changes nothing: the checksums of the first are sound.
  const std::vector<uint8_t> once(packet.begin(), packet.end());
  require(readdress(packet, source, destination));
  require(std::equal(packet.begin(), packet.end(), once.begin()));
  return 0;
}
