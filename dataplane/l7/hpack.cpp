#include "dataplane/l7/hpack.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/l7/hpack_static_table.h"
#include "dataplane/l7/huffman.h"

namespace sluice::l7 {
namespace {

constexpr uint32_t kEntryOverhead = 32;
constexpr uint32_t kStaticEntries = kHpackStaticTable.size();
constexpr size_t kTokens = static_cast<size_t>(HeaderToken::kVia) + 1;

// What the representations begin with (RFC 7541 section 6).
constexpr uint8_t kIndexed = 0x80;
constexpr uint8_t kIndexedLiteral = 0x40;
constexpr uint8_t kTableSizeUpdate = 0x20;
constexpr uint8_t kNeverIndexed = 0x10;
constexpr uint8_t kHuffman = 0x80;

struct StaticTokens {
  std::array<HeaderToken, kStaticEntries + 1> of_index{};
  std::array<uint8_t, kTokens> first_index{};  // 0: the name is not in the table
};

const StaticTokens& static_tokens() {
  static const StaticTokens tokens = [] {
    StaticTokens made;
    for (uint32_t index = 1; index <= kStaticEntries; ++index) {
      const HeaderToken token = token_of(kHpackStaticTable[index - 1].name);
      made.of_index[index] = token;
      uint8_t& first = made.first_index[static_cast<size_t>(token)];
      if (token != HeaderToken::kOther && first == 0) first = static_cast<uint8_t>(index);
    }
    return made;
  }();
  return tokens;
}
const StaticTokens& kStatic = static_tokens();

uint8_t* write_integer(uint64_t value, uint8_t first, uint8_t prefix_bits, uint8_t* into) {
  const uint64_t limit = (1u << prefix_bits) - 1;
  if (value < limit) {
    *into++ = static_cast<uint8_t>(first | value);
    return into;
  }
  *into++ = static_cast<uint8_t>(first | limit);
  value -= limit;
  while (value >= 0x80) {
    *into++ = static_cast<uint8_t>(value | 0x80);
    value >>= 7;
  }
  *into++ = static_cast<uint8_t>(value);
  return into;
}

uint8_t* write_text(std::string_view text, uint8_t* into) {
  into = write_integer(text.size(), 0, 7, into);
  if (!text.empty()) std::memcpy(into, text.data(), text.size());
  return into + text.size();
}

}  // namespace

std::string_view text_of(HpackError error) {
  switch (error) {
    case HpackError::kNone:
      return "no error";
    case HpackError::kTruncated:
      return "header block ends inside a field";
    case HpackError::kBadInteger:
      return "integer out of range in a header block";
    case HpackError::kBadIndex:
      return "index beyond the header tables";
    case HpackError::kBadHuffman:
      return "invalid Huffman code in a header block";
    case HpackError::kBadTableSize:
      return "header table size update above the limit or in the wrong place";
    case HpackError::kTooLarge:
      return "header list larger than the limit";
  }
  return "";
}

void HpackTable::set_max_size(uint32_t max_size) {
  max_size_ = max_size;
  evict();
}

HpackTable::Entry HpackTable::at(uint32_t index) const {
  const Slot& slot = slots_[slots_.size() - 1 - index];
  const char* name = bytes_.data() + slot.at;
  return {{name, slot.name_size}, {name + slot.name_size, slot.value_size}, slot.token};
}

void HpackTable::evict() {
  while (size_ > max_size_) {
    const Slot& gone = slots_[oldest_++];
    size_ -= gone.name_size + gone.value_size + kEntryOverhead;
  }
  if (oldest_ == slots_.size()) {
    slots_.clear();
    bytes_.clear();
    oldest_ = 0;
  }
}

// Live entries are one piece at the end of bytes_. When the space behind them ends they move to the front,
// which happens once per table's worth of bytes.
void HpackTable::make_room(size_t bytes) {
  if (bytes_.size() + bytes <= bytes_.capacity() && slots_.size() < slots_.capacity()) return;
  const size_t live_from = oldest_ == slots_.size() ? bytes_.size() : slots_[oldest_].at;
  if (live_from != 0) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(live_from));
    slots_.erase(slots_.begin(), slots_.begin() + static_cast<ptrdiff_t>(oldest_));
    oldest_ = 0;
    for (Slot& slot : slots_) slot.at -= static_cast<uint32_t>(live_from);
  }
  // Twice the table's bytes, so that half of them can be dead before the next move.
  const size_t most = size_t{2} * max_size_;
  const size_t wanted = std::min<size_t>(std::max<size_t>(512, 2 * (bytes_.size() + bytes)),
                                         std::max(most, bytes_.size() + bytes));
  if (wanted > bytes_.capacity()) bytes_.reserve(wanted);
  // Half of them too, or a table full of small entries would move with each new one.
  if (2 * slots_.size() >= slots_.capacity()) slots_.reserve(std::max<size_t>(8, slots_.size() * 2 + 2));
}

void HpackTable::add(std::string_view name, std::string_view value, HeaderToken token) {
  const size_t bytes = name.size() + value.size();
  const size_t entry = bytes + kEntryOverhead;
  if (entry > max_size_) {
    const uint32_t keep = max_size_;
    set_max_size(0);
    max_size_ = keep;
    return;
  }
  // A name or value that lies in this table would move with it, so the new entry is written before the old
  // ones go. Its source survives make_room() by its distance from the start of the live bytes.
  const auto inside = [this](std::string_view text) {
    return !bytes_.empty() && text.data() >= bytes_.data() && text.data() < bytes_.data() + bytes_.size();
  };
  const size_t live_before = oldest_ == slots_.size() ? 0 : slots_[oldest_].at;
  const bool name_inside = inside(name);
  const size_t name_at = name_inside ? static_cast<size_t>(name.data() - bytes_.data()) - live_before : 0;
  make_room(bytes);
  const size_t live_after = oldest_ == slots_.size() ? 0 : slots_[oldest_].at;
  const auto at = static_cast<uint32_t>(bytes_.size());
  bytes_.resize(bytes_.size() + bytes);
  char* into = bytes_.data() + at;
  const char* name_from = name_inside ? bytes_.data() + live_after + name_at : name.data();
  if (!name.empty()) std::memcpy(into, name_from, name.size());
  if (!value.empty()) std::memcpy(into + name.size(), value.data(), value.size());
  slots_.push_back({at, static_cast<uint32_t>(name.size()), static_cast<uint32_t>(value.size()), token});
  size_ += static_cast<uint32_t>(entry);
  evict();
}

struct HpackDecoder::Reader {
  const uint8_t* at;
  const uint8_t* end;

  bool done() const { return at == end; }

  // RFC 7541 section 5.1. Four bytes behind the prefix reach beyond any length that makes sense.
  HpackError integer(uint8_t prefix_bits, uint32_t& value) {
    const uint32_t limit = (1u << prefix_bits) - 1;
    value = *at++ & limit;
    if (value < limit) return HpackError::kNone;
    uint64_t sum = limit;
    for (unsigned shift = 0; shift <= 28; shift += 7) {
      if (done()) return HpackError::kTruncated;
      const uint8_t byte = *at++;
      sum += static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) {
        if (sum > UINT32_MAX) return HpackError::kBadInteger;
        value = static_cast<uint32_t>(sum);
        return HpackError::kNone;
      }
    }
    return HpackError::kBadInteger;
  }

  HpackError text(std::vector<char>& scratch, std::string_view& into) {
    if (done()) return HpackError::kTruncated;
    const bool coded = (*at & kHuffman) != 0;
    uint32_t size = 0;
    if (const HpackError error = integer(7, size); error != HpackError::kNone) return error;
    if (size > static_cast<size_t>(end - at)) return HpackError::kTruncated;
    const uint8_t* from = at;
    at += size;
    if (!coded) {
      into = {reinterpret_cast<const char*>(from), size};
      return HpackError::kNone;
    }
    if (scratch.size() < huffman_decoded_bound(size)) scratch.resize(huffman_decoded_bound(size));
    const ptrdiff_t written = huffman_decode({from, size}, scratch.data());
    if (written < 0) return HpackError::kBadHuffman;
    into = {scratch.data(), static_cast<size_t>(written)};
    return HpackError::kNone;
  }
};

HpackError HpackDecoder::emit(std::string_view name, std::string_view value, HeaderToken token,
                              bool sensitive) {
  if (into_->list_size() + name.size() + value.size() + kEntryOverhead > limits_->list_size ||
      into_->size() >= limits_->fields) {
    too_large_ = true;
    return HpackError::kNone;
  }
  into_->add(name, value, token, sensitive);
  return HpackError::kNone;
}

HpackError HpackDecoder::read_indexed(uint32_t index) {
  if (index == 0) return HpackError::kBadIndex;
  if (index <= kStaticEntries) {
    const HpackStaticEntry& entry = kHpackStaticTable[index - 1];
    return emit(entry.name, entry.value, kStatic.of_index[index], false);
  }
  index -= kStaticEntries + 1;
  if (index >= table_.count()) return HpackError::kBadIndex;
  const HpackTable::Entry entry = table_.at(index);
  return emit(entry.name, entry.value, entry.token, false);
}

HpackError HpackDecoder::read_literal(Reader& in, uint8_t prefix_bits, bool index, bool sensitive) {
  // Texts pass through these on their way into list and table; one pair per thread is as good as one per
  // connection.
  thread_local std::vector<char> name_scratch;
  thread_local std::vector<char> value_scratch;
  uint32_t name_index = 0;
  if (const HpackError error = in.integer(prefix_bits, name_index); error != HpackError::kNone) return error;
  std::string_view name;
  HeaderToken token = HeaderToken::kOther;
  if (name_index == 0) {
    if (const HpackError error = in.text(name_scratch, name); error != HpackError::kNone) return error;
    token = token_of(name);
  } else if (name_index <= kStaticEntries) {
    name = kHpackStaticTable[name_index - 1].name;
    token = kStatic.of_index[name_index];
  } else {
    if (name_index - kStaticEntries > table_.count()) return HpackError::kBadIndex;
    const HpackTable::Entry entry = table_.at(name_index - kStaticEntries - 1);
    name = entry.name;
    token = entry.token;
  }
  std::string_view value;
  if (const HpackError error = in.text(value_scratch, value); error != HpackError::kNone) return error;
  if (const HpackError error = emit(name, value, token, sensitive); error != HpackError::kNone) return error;
  if (index) table_.add(name, value, token);
  return HpackError::kNone;
}

HpackError HpackDecoder::decode(std::span<const uint8_t> block, HeaderList& into,
                                const HeaderLimits& limits) {
  into_ = &into;
  limits_ = &limits;
  too_large_ = false;
  Reader in{block.data(), block.data() + block.size()};
  bool fields_seen = false;
  while (!in.done()) {
    const uint8_t first = *in.at;
    HpackError error = HpackError::kNone;
    if ((first & kIndexed) != 0) {
      uint32_t index = 0;
      error = in.integer(7, index);
      if (error == HpackError::kNone) error = read_indexed(index);
      fields_seen = true;
    } else if ((first & kIndexedLiteral) != 0) {
      error = read_literal(in, 6, true, false);
      fields_seen = true;
    } else if ((first & kTableSizeUpdate) != 0) {
      uint32_t size = 0;
      error = in.integer(5, size);
      if (error == HpackError::kNone && (fields_seen || size > limit_)) error = HpackError::kBadTableSize;
      if (error == HpackError::kNone) table_.set_max_size(size);
    } else {
      error = read_literal(in, 4, false, (first & kNeverIndexed) != 0);
      fields_seen = true;
    }
    if (error != HpackError::kNone) return error;
  }
  return too_large_ ? HpackError::kTooLarge : HpackError::kNone;
}

size_t hpack_bound(const HeaderList& fields) {
  // Two lengths of up to five bytes each and the first byte.
  return fields.list_size() - 32 * fields.size() + 12 * fields.size();
}

uint8_t* hpack_encode_field(HeaderToken token, std::string_view name, std::string_view value, bool sensitive,
                            uint8_t* into) {
  uint32_t index = kStatic.first_index[static_cast<size_t>(token)];
  if (index == 0) {
    *into++ = sensitive ? kNeverIndexed : 0;
    return write_text(value, write_text(name, into));
  }
  // Entries of the same name stand together in the table.
  for (uint32_t same = index; same <= kStaticEntries && kStatic.of_index[same] == token; ++same) {
    if (kHpackStaticTable[same - 1].value == value && !sensitive) {
      *into++ = static_cast<uint8_t>(kIndexed | same);
      return into;
    }
  }
  into = write_integer(index, sensitive ? kNeverIndexed : 0, 4, into);
  return write_text(value, into);
}

uint8_t* hpack_encode(const HeaderList& fields, uint8_t* into) {
  for (const HeaderList::Field& field : fields.fields()) {
    into = hpack_encode_field(field.token, fields.name(field), fields.value(field), field.sensitive, into);
  }
  return into;
}

}  // namespace sluice::l7
