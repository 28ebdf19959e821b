// HPACK, the header compression of HTTP/2 (RFC 7541).
//
// The decoder is whole. The encoder refers to the static table and never fills a dynamic one: it writes a
// block in about the time of copying it, keeps no memory per connection, and leaves nothing for an attack on
// compressed secrets (RFC 7541 section 7.1). The price is bytes on the wire for fields that repeat.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/l7/header_list.h"

namespace sluice::l7 {

/// What can be wrong with a header block.
enum class HpackError : uint8_t {
  kNone,
  kTruncated,     ///< it ends inside a field
  kBadInteger,    ///< an integer beyond 2^32-1 or with needless bytes behind it
  kBadIndex,      ///< an index beyond both tables
  kBadHuffman,    ///< no Huffman code
  kBadTableSize,  ///< a table size update above the limit, late in a block, or missing after a lower limit
  kTooLarge,      ///< more than the limits of the receiver; the table is still right, the message is refused
};

/// In words, for logs.
std::string_view text_of(HpackError error);

/// The most recently received fields (RFC 7541 section 2.3.2). Takes no memory before its first entry.
class HpackTable {
 public:
  struct Entry {
    std::string_view name;
    std::string_view value;
    HeaderToken token;
  };

  explicit HpackTable(uint32_t max_size) : max_size_(max_size) {}

  /// Size as RFC 7541 section 4.1 counts it: 32 octets are added per entry.
  uint32_t size() const { return size_; }
  uint32_t max_size() const { return max_size_; }
  uint32_t count() const { return static_cast<uint32_t>(slots_.size() - oldest_); }
  /// Evicts until `max_size` holds.
  void set_max_size(uint32_t max_size);
  /// The entry that is `index` entries older than the newest; index < count(). The views are good until the
  /// next add().
  Entry at(uint32_t index) const;
  /// Adds in front, evicting the oldest. What is larger than the table empties it. `name` may lie in this
  /// table, `value` not.
  void add(std::string_view name, std::string_view value, HeaderToken token);

  /// Memory held, in bytes.
  size_t capacity() const { return bytes_.capacity() + slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    uint32_t at;
    uint32_t name_size;
    uint32_t value_size;
    HeaderToken token;
  };
  void evict();
  void make_room(size_t bytes);

  uint32_t max_size_;
  uint32_t size_ = 0;
  size_t oldest_ = 0;        // slots_ before it are gone
  std::vector<Slot> slots_;  // oldest first
  std::vector<char> bytes_;
};

/// What a message's fields may take before they are refused.
struct HeaderLimits {
  size_t list_size = 64 * 1024;  ///< as HeaderList::list_size() counts
  size_t fields = 200;
};

class HpackDecoder {
 public:
  /// `limit` is the SETTINGS_HEADER_TABLE_SIZE that the peer has been told.
  explicit HpackDecoder(uint32_t limit = 4096) : limit_(limit), table_(limit) {}

  /// Appends a whole header block's fields to `into`. On kTooLarge the block was read to its end, the fields
  /// beyond the limits are missing. After any other error the connection cannot go on (RFC 9113 section 4.3).
  HpackError decode(std::span<const uint8_t> block, HeaderList& into, const HeaderLimits& limits);

  /// Memory held, in bytes.
  size_t capacity() const { return table_.capacity(); }

 private:
  struct Reader;
  HpackError read_literal(Reader& in, uint8_t prefix_bits, bool index, bool sensitive);
  HpackError read_indexed(uint32_t index);
  HpackError emit(std::string_view name, std::string_view value, HeaderToken token, bool sensitive);

  uint32_t limit_;
  HpackTable table_;
  HeaderList* into_ = nullptr;
  const HeaderLimits* limits_ = nullptr;
  bool too_large_ = false;
};

/// The most bytes that encoding `fields` takes.
size_t hpack_bound(const HeaderList& fields);

/// Writes the fields as a header block to `into`, which has room for hpack_bound(fields) bytes; returns its
/// end. Values marked sensitive are written as never to be indexed.
uint8_t* hpack_encode(const HeaderList& fields, uint8_t* into);

/// One field, as hpack_encode() writes it; room for 12 bytes more than both texts.
uint8_t* hpack_encode_field(HeaderToken token, std::string_view name, std::string_view value, bool sensitive,
                            uint8_t* into);

}  // namespace sluice::l7
