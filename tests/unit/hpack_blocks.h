// Header blocks written and read by the codec's own HPACK, each with the checks that every test wants.
#pragma once

#include <gtest/gtest.h>

#include "dataplane/l7/hpack.h"
#include "tests/unit/nghttp2_hpack.h"

namespace sluice::l7 {

inline constexpr HeaderLimits kWide{1 << 20, 10'000};

struct Decoded {
  HpackError error;
  TestFields fields;
};

inline Decoded decode(HpackDecoder& decoder, const Bytes& block, const HeaderLimits& limits = kWide) {
  HeaderList list;
  // Exactly as much memory as the block has, so that a step outside is found by the address sanitizer.
  const Bytes copy(block);
  const HpackError error = decoder.decode(copy, list, limits);
  for (const HeaderList::Field& field : list.fields()) EXPECT_EQ(field.token, token_of(list.name(field)));
  return {error, fields_of(list)};
}

inline Bytes encode(const TestFields& fields) {
  const HeaderList list = list_of(fields);
  Bytes block(hpack_bound(list));
  const uint8_t* end = hpack_encode(list, block.data());
  EXPECT_LE(end, block.data() + block.size());
  block.resize(static_cast<size_t>(end - block.data()));
  return block;
}

}  // namespace sluice::l7
