#include "lb/flow_hash.h"

#include <vector>

namespace sluice {

uint64_t flow_hash(const SipKey& key, const FiveTuple& tuple) {
  std::vector<uint8_t> message;
  const auto append = [&](const void* bytes, size_t count) {
    const auto* begin = static_cast<const uint8_t*>(bytes);
    message.insert(message.end(), begin, begin + count);
  };
  for (const IpAddress* address : {&tuple.source, &tuple.destination}) {
    if (address->is_v4()) {
      append(address->v4_bytes(), 4);
    } else {
      append(address->bytes().data(), 16);
    }
  }
  for (const uint16_t raw_port : {tuple.source_port.raw(), tuple.destination_port.raw()})
    append(&raw_port, 2);
  append(&tuple.protocol, 1);
  return siphash<1, 3>(key, message);
}

}  // namespace sluice
