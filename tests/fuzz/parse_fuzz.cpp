// Any bytes as a frame: the parser and the ICMP answers stay inside of the buffer, and what they say is true.
//
// Input: one byte of options, two bytes that cut the first buffer, then the frame. Buffers are exactly as
// large as promised, so that a step outside is found by the address sanitizer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "dataplane/l4/icmp.h"
#include "dataplane/l4/parse.h"

namespace {

using namespace sluice;
using namespace sluice::l4;

void require(bool holds) {
  if (!holds) __builtin_trap();
}

/// A copy of `count` bytes with `room` writable bytes before it and none behind.
class Buffer {
 public:
  Buffer(const uint8_t* bytes, size_t count, size_t room)
      : memory_(new uint8_t[room + count]), frame_(memory_.get() + room) {
    std::fill_n(memory_.get(), room, 0xa5);
    std::copy_n(bytes, count, frame_);
  }
  uint8_t* frame() { return frame_; }

 private:
  std::unique_ptr<uint8_t[]> memory_;
  uint8_t* frame_;
};

void check_offsets(const FrameView& frame, const ParsedPacket& packet) {
  if (packet.kind != ParsedKind::kFlow && packet.kind != ParsedKind::kIcmp) return;
  require(packet.addressed);
  require(packet.ip_offset == 14 || packet.ip_offset == 18 || packet.ip_offset == 22);
  require(packet.ip_offset + packet.ip_length <= frame.total);
  require(packet.l4_offset >= packet.ip_offset + 20);
  const uint32_t l4_header = packet.kind == ParsedKind::kFlow && packet.protocol == kProtocolTcp ? 20 : 8;
  require(packet.l4_offset + l4_header <=
          std::min<uint32_t>(packet.ip_offset + packet.ip_length, frame.contiguous));
}

bool same_flow(const ParsedPacket& a, const ParsedPacket& b) {
  return a.family == b.family && a.protocol == b.protocol && a.source == b.source &&
         a.destination == b.destination && a.source_port_raw == b.source_port_raw &&
         a.destination_port_raw == b.destination_port_raw;
}

/// What reading the answer gives.
ParsedPacket parse_answer(const uint8_t* start, uint32_t length) {
  const Buffer copy(start, length, 0);
  ParsedPacket answer = parse({start, length, length}, true);
  require(answer.kind == ParsedKind::kIcmp);
  return answer;
}

void answer_too_big(const FrameView& frame, const ParsedPacket& packet) {
  // Only the room that the contract asks for.
  Buffer buffer(frame.data, frame.contiguous, kTooBigRoom - packet.ip_offset);
  const IcmpAnswer answer = make_packet_too_big(buffer.frame(), packet, 1400);
  const ParsedPacket parsed = parse_answer(answer.start, answer.length);
  require(parsed.source == packet.destination && parsed.destination == packet.source);
  require(parsed.ip_length <= (packet.family == Family::kIpv4 ? 576 : 1280));
  // The client finds its flow in the quote, turned round, if the headers were not too long for it.
  const uint32_t quoted = parsed.ip_offset + parsed.ip_length - parsed.l4_offset - 8u;
  if (packet.l4_offset - packet.ip_offset + 4u > quoted) return;
  auto flow = quoted_flow({answer.start, answer.length, answer.length}, parsed);
  require(flow.has_value());
  std::swap(flow->source, flow->destination);
  std::swap(flow->source_port_raw, flow->destination_port_raw);
  require(same_flow(*flow, packet));
}

void answer_echo(const FrameView& frame, const ParsedPacket& packet) {
  Buffer buffer(frame.data, frame.contiguous, 0);
  make_echo_reply(buffer.frame(), packet);
  const ParsedPacket reply = parse({buffer.frame(), frame.contiguous, frame.total}, true);
  require(reply.kind == ParsedKind::kIcmp);
  require(reply.source == packet.destination && reply.destination == packet.source);
  require(!is_echo_request({buffer.frame(), frame.contiguous, frame.total}, reply));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return -1;
  const bool verify_checksum = (data[0] & 1) != 0;
  const bool whole = (data[0] & 2) != 0;
  const uint32_t cut = static_cast<uint32_t>(data[1] | data[2] << 8);
  data += 3;
  const auto total = static_cast<uint32_t>(size - 3);
  const uint32_t contiguous = whole ? total : std::min(total, cut);

  Buffer first(data, contiguous, 0);
  const FrameView frame{first.frame(), contiguous, total};
  const ParsedPacket packet = parse(frame, verify_checksum);
  check_offsets(frame, packet);
  if (packet.kind == ParsedKind::kFlow) {
    if (contiguous == total) answer_too_big(frame, packet);
  } else if (packet.kind == ParsedKind::kIcmp) {
    if (is_echo_request(frame, packet)) answer_echo(frame, packet);
    if (const auto flow = quoted_flow(frame, packet)) {
      require(flow->kind == ParsedKind::kFlow);
      require(flow->protocol == kProtocolTcp || flow->protocol == kProtocolUdp);
      require(flow->destination == packet.destination && flow->ip_length == packet.ip_length);
    }
  }
  return 0;
}
