// HPACK as nghttp2 does it: the second opinion that the tests of our own ask for.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "dataplane/l7/header_list.h"

namespace sluice::l7 {

struct TestField {
  std::string name;
  std::string value;
  bool sensitive = false;
  bool operator==(const TestField&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const TestField& field) {
    return out << field.name << "=" << field.value << (field.sensitive ? " (sensitive)" : "");
  }
};
using TestFields = std::vector<TestField>;
using Bytes = std::vector<uint8_t>;

inline TestFields fields_of(const HeaderList& list) {
  TestFields fields;
  for (const HeaderList::Field& field : list.fields()) {
    fields.push_back({std::string(list.name(field)), std::string(list.value(field)), field.sensitive});
  }
  return fields;
}

inline HeaderList list_of(const TestFields& fields) {
  HeaderList list;
  for (const TestField& field : fields) {
    list.add(field.name, field.value, token_of(field.name), field.sensitive);
  }
  return list;
}

/// The same for nghttp2, which writes to none of it; points into `fields`.
inline std::vector<nghttp2_nv> nghttp2_list_of(const TestFields& fields) {
  std::vector<nghttp2_nv> list;
  for (const TestField& field : fields) {
    list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(field.name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(field.value.data())), field.name.size(),
                    field.value.size(),
                    static_cast<uint8_t>(field.sensitive ? NGHTTP2_NV_FLAG_NO_INDEX : 0)});
  }
  return list;
}

class Nghttp2Inflater {
 public:
  explicit Nghttp2Inflater(size_t table_size = 4096) {
    nghttp2_hd_inflate_new(&inflater_);
    if (table_size != 4096) nghttp2_hd_inflate_change_table_size(inflater_, table_size);
  }
  Nghttp2Inflater(const Nghttp2Inflater&) = delete;
  Nghttp2Inflater& operator=(const Nghttp2Inflater&) = delete;
  ~Nghttp2Inflater() { nghttp2_hd_inflate_del(inflater_); }

  void change_table_size(size_t size) { nghttp2_hd_inflate_change_table_size(inflater_, size); }
  std::optional<TestFields> decode(std::span<const uint8_t> block) {
    TestFields fields;
    while (true) {
      nghttp2_nv field;
      int flags = 0;
      const auto taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, block.data(), block.size(), 1);
      if (taken < 0) return std::nullopt;
      block = block.subspan(static_cast<size_t>(taken));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fields.push_back({std::string(reinterpret_cast<const char*>(field.name), field.namelen),
                          std::string(reinterpret_cast<const char*>(field.value), field.valuelen),
                          (field.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0});
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && block.empty()) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return fields;
  }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

class Nghttp2Deflater {
 public:
  Nghttp2Deflater() { nghttp2_hd_deflate_new(&deflater_, 4096); }
  Nghttp2Deflater(const Nghttp2Deflater&) = delete;
  Nghttp2Deflater& operator=(const Nghttp2Deflater&) = delete;
  ~Nghttp2Deflater() { nghttp2_hd_deflate_del(deflater_); }

  void change_table_size(size_t size) { nghttp2_hd_deflate_change_table_size(deflater_, size); }
  Bytes encode(const TestFields& fields) {
    const auto list = nghttp2_list_of(fields);
    Bytes block(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()));
    const auto size = nghttp2_hd_deflate_hd(deflater_, block.data(), block.size(), list.data(), list.size());
    block.resize(size < 0 ? 0 : static_cast<size_t>(size));
    return block;
  }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

}  // namespace sluice::l7
