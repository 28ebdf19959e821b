// Any bytes as header blocks: our decoder and nghttp2's agree on what they mean, or that they mean nothing.
// And as fields: what one end encodes, the other decodes.
//
// Input: a byte of options; then blocks, each behind two bytes of length, or fields, each behind a byte of
// options and two of lengths.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "dataplane/l7/hpack.h"
#include "tests/unit/nghttp2_hpack.h"

namespace {

using namespace sluice::l7;

constexpr HeaderLimits kWide{1 << 24, 1 << 20};

void require(bool holds) {
  if (!holds) __builtin_trap();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : left_(data, size) {}
  bool done() const { return left_.empty(); }
  uint8_t byte() {
    if (left_.empty()) return 0;
    const uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  Bytes bytes(size_t size) {
    const auto piece = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(piece.size());
    return {piece.begin(), piece.end()};
  }
  std::string text(size_t size) {
    const Bytes piece = bytes(size);
    return {piece.begin(), piece.end()};
  }

 private:
  std::span<const uint8_t> left_;
};

void blocks(Input& input) {
  HpackDecoder decoder;
  Nghttp2Inflater inflater;
  HpackDecoder narrow;
  bool narrow_lives = true;
  while (!input.done()) {
    const size_t size = static_cast<size_t>(input.byte() << 8 | input.byte());
    const Bytes block = input.bytes(size);
    HeaderList list;
    const HpackError error = decoder.decode(block, list, kWide);
    // With limits the table stays the same, and the list within them.
    HeaderList few;
    const HeaderLimits limits{200, 4};
    if (narrow_lives) {
      const HpackError of_narrow = narrow.decode(block, few, limits);
      require(few.size() <= limits.fields && few.list_size() <= limits.list_size);
      require(of_narrow == error || (of_narrow == HpackError::kTooLarge && error == HpackError::kNone));
      narrow_lives = of_narrow == HpackError::kNone || of_narrow == HpackError::kTooLarge;
    }
    const auto expected = inflater.decode(block);
    require((error == HpackError::kNone) == expected.has_value());
    if (!expected) return;
    require(fields_of(list) == *expected);
    for (const HeaderList::Field& field : list.fields()) require(field.token == token_of(list.name(field)));
  }
}

void fields(Input& input) {
  HpackDecoder decoder;
  Nghttp2Deflater deflater;
  Nghttp2Inflater inflater;
  while (!input.done()) {
    TestFields sent;
    for (size_t left = input.byte() % 8; left > 0; --left) {
      const uint8_t options = input.byte();
      if ((options & 0x80) != 0 && sent.empty()) deflater.change_table_size(options * 32u);
      const size_t name_size = input.byte() % 40;
      const size_t value_size = (options & 2) != 0 ? input.byte() * 4u : input.byte() % 16;
      TestField field{input.text(name_size), input.text(value_size), (options & 1) != 0};
      sent.push_back(std::move(field));
    }
    HeaderList list;
    require(decoder.decode(deflater.encode(sent), list, kWide) == HpackError::kNone);
    TestFields got = fields_of(list);
    const HeaderList ours = list_of(sent);
    Bytes block(hpack_bound(ours));
    const uint8_t* end = hpack_encode(ours, block.data());
    require(end <= block.data() + block.size());
    block.resize(static_cast<size_t>(end - block.data()));
    const auto theirs = inflater.decode(block);
    require(theirs && *theirs == sent);
    // nghttp2 takes some fields for secrets by itself.
    for (size_t i = 0; i < sent.size(); ++i) {
      if (i < got.size() && !sent[i].sensitive) got[i].sensitive = false;
    }
    require(got == sent);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return -1;
  Input input(data + 1, size - 1);
  if ((data[0] & 1) != 0) {
    fields(input);
  } else {
    blocks(input);
  }
  return 0;
}
