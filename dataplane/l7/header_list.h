// Header fields of one message, in order, in one piece of memory that is used again: a list that has been
// through a few messages no longer allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "dataplane/l7/header_token.h"

namespace sluice::l7 {

class HeaderList {
 public:
  struct Field {
    uint32_t at = 0;  ///< the name's first byte in the list's memory; the value follows it
    uint32_t name_size = 0;
    uint32_t value_size = 0;
    HeaderToken token = HeaderToken::kOther;
    bool sensitive = false;  ///< never to enter a compression table (RFC 7541 section 7.1.3)
  };

  void clear() {
    fields_.clear();
    used_ = 0;
    overhead_ = 0;
  }

  /// Adds a field behind the others; copies both texts. `name` is in lower case and `token` its token.
  void add(std::string_view name, std::string_view value, HeaderToken token, bool sensitive = false);
  void add(HeaderToken token, std::string_view value) { add(name_of(token), value, token); }
  void add(std::string_view name, std::string_view value) { add(name, value, token_of(name)); }

  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  const std::vector<Field>& fields() const { return fields_; }
  std::string_view name(const Field& field) const { return {bytes_.data() + field.at, field.name_size}; }
  std::string_view value(const Field& field) const {
    return {bytes_.data() + field.at + field.name_size, field.value_size};
  }
  /// The first field of that token, or nullptr.
  const Field* find(HeaderToken token) const;
  /// The value of the first field of that token, or an empty view.
  std::string_view get(HeaderToken token) const;

  /// Takes out the fields for which `predicate(name, value)` holds.
  template <typename Predicate>
  void remove_if(Predicate predicate) {
    std::erase_if(fields_, [&](const Field& field) {
      if (!predicate(name(field), value(field))) return false;
      // Its texts stay where they are, but count no more: the sum is right even if this wraps.
      overhead_ -= 32 + field.name_size + field.value_size;
      return true;
    });
  }
  /// Writes `value` over that of the first field of that token. False: there is none, or its size is another.
  bool overwrite(HeaderToken token, std::string_view value);
  /// Puts the last `count` fields in front of the others.
  void move_to_front(size_t count);

  /// The size that RFC 9113 section 6.5.2 (SETTINGS_MAX_HEADER_LIST_SIZE) defines: 32 octets are added per
  /// field.
  size_t list_size() const { return used_ + overhead_; }
  /// Memory held, in bytes.
  size_t capacity() const { return bytes_.size() + fields_.capacity() * sizeof(Field); }
  /// Gives back what an unusually large message made it grow to.
  void shrink(size_t above_bytes);

 private:
  std::vector<char> bytes_;  // its size is the capacity: growing it writes zeros, filling it does not
  size_t used_ = 0;
  size_t overhead_ = 0;
  std::vector<Field> fields_;
};

}  // namespace sluice::l7
