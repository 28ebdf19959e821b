// Writes the seed corpora of parse_fuzz and pipeline_fuzz: fuzz_seeds tests/fuzz/corpus
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "tests/packet/frames.h"
#include "tests/packet/site.h"

namespace sluice::packet {
namespace {

struct Seed {
  std::string name;
  Bytes frame;
};

std::vector<Seed> seeds() {
  const Bytes reply4 = tcp_packet({kVip4, kClient4, 80, 40000});
  const Bytes reply6 = tcp_packet({kVip6, kClient6, 90, 40000});
  return {
      {"tcp4", ethernet({}, tcp_packet(ports4(80), kSyn, payload(4)))},
      {"udp4-over-6", ethernet({}, udp_packet(ports4(90), payload(4)))},
      {"tcp6", ethernet({}, tcp_packet(ports6(90), kAck, payload(4)))},
      {"udp6-over-4", ethernet({}, udp_packet(ports6(80), payload(4)))},
      {"any-port", ethernet({}, udp_packet({kClient4, "203.0.113.99", 40000, 9}, payload(4)))},
      {"too-big4", ethernet({}, tcp_packet(ports4(80), kAck, payload(1460)))},
      {"too-big6", ethernet({}, tcp_packet(ports6(90), kAck, payload(1440)))},
      {"options", ethernet({}, ipv4({.source = kClient4,
                                     .destination = kVip4,
                                     .protocol = 6,
                                     .options = {0x94, 4, 0, 0, 1, 1, 1, 0}},
                                    tcp(ports4(80), kAck, payload(4))))},
      {"extensions",
       ethernet(
           {}, ipv6({.source = kClient6, .destination = kVip6, .next_header = 0},
                    extension(60, extension(44, fragment_header(6, 0, tcp(ports6(90), kAck, payload(4)))))))},
      {"tags", padded(ethernet({.tags = {0x88a80001, 0x81000002}}, udp_packet(ports4(80), {})), 64)},
      {"echo4", ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1},
                                  icmpv4(8, 0, 1, payload(8))))},
      {"echo6", ethernet({}, ipv6({.source = kClient6, .destination = kVip6, .next_header = 58},
                                  icmpv6(kClient6, kVip6, 128, 0, 1, payload(8))))},
      {"error4", ethernet({}, ipv4({.source = "192.0.2.254", .destination = kVip4, .protocol = 1},
                                   icmpv4(3, 4, 1400, reply4)))},
      {"error6", ethernet({}, ipv6({.source = "2001:db8::fe", .destination = kVip6, .next_header = 58},
                                   icmpv6("2001:db8::fe", kVip6, 2, 0, 1400, reply6)))},
      {"fragment4",
       ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 17, .fragment = 0x2000},
                         udp(ports4(80), payload(8))))},
      {"arp", ethernet({.ether_type = 0x0806}, payload(28))},
  };
}

void write(const std::filesystem::path& path, const Bytes& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void append(Bytes& to, const Bytes& bytes) {
  to.insert(to.end(), bytes.begin(), bytes.end());
}

/// A frame as a step of pipeline_fuzz.
Bytes step(uint8_t kind, const Bytes& frame) {
  Bytes bytes = {kind, static_cast<uint8_t>(frame.size()), static_cast<uint8_t>(frame.size() >> 8)};
  append(bytes, frame);
  return bytes;
}

void write_all(const std::filesystem::path& corpus) {
  constexpr uint8_t kMended = 1, kProcess = 2, kChange = 3;
  Bytes all = {0x0f};  // both ports take everything
  for (const Seed& seed : seeds()) {
    Bytes parse_input = {3, 0, 0};  // checksum verified, one buffer
    append(parse_input, seed.frame);
    write(corpus / "parse_fuzz" / seed.name, parse_input);
    if (seed.frame.size() < 200) append(all, step(kMended, seed.frame));
    if (seed.frame.size() < 200) continue;
    Bytes alone = {0};
    append(alone, step(kMended, seed.frame));
    write(corpus / "pipeline_fuzz" / seed.name, alone);
  }
  all.push_back(kProcess);
  write(corpus / "pipeline_fuzz" / "one-burst", all);

  // An echo request in a chain of buffers, to a port that sends none.
  Bytes chain = {0};
  append(chain,
         step(1 << 3 | kMended, ethernet({}, ipv4({.source = kClient4, .destination = kVip4, .protocol = 1},
                                                  icmpv4(8, 0, 1, payload(300))))));
  write(corpus / "pipeline_fuzz" / "echo-in-a-chain", chain);

  // One flow through all configurations, as chains of buffers.
  const Bytes frame = ethernet({}, tcp_packet(ports4(80), kAck, payload(100)));
  Bytes reloads = {0x0c};
  for (uint8_t table = 0; table < 8; ++table) {
    append(reloads, step(static_cast<uint8_t>(kMended | table % 4 << 2), frame));
    reloads.push_back(static_cast<uint8_t>(kChange | table << 2 | 3 << 5));
  }
  write(corpus / "pipeline_fuzz" / "reloads", reloads);
}

}  // namespace
}  // namespace sluice::packet

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  sluice::packet::write_all(argv[1]);
  return 0;
}
