// The field lines of an HTTP/1.x head or trailer section (RFC 9112 section 5), read into a HeaderList: what
// is about the connection, or about the message's way, is taken out and noted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dataplane/l7/header_list.h"
#include "dataplane/l7/hpack.h"
#include "dataplane/l7/http1_head.h"

namespace sluice::l7 {

/// Takes the next line off the front of `text`, without its end. The caller knows that each ends with CR LF.
std::string_view take_line(std::string_view& text);

class FieldReader {
 public:
  /// Fields are added to `fields`, what else they say to `into`; all three outlive the reader.
  FieldReader(const HeaderLimits& limits, HeaderList& fields, Http1Head& into)
      : limits_(limits), fields_(fields), into_(into) {}

  /// Reads all lines up to the empty one. False: refused, and `into.head` says why.
  bool read(std::string_view lines);

  bool host_seen() const { return host_seen_; }
  /// A field that is about the connection or the message's way, not the message.
  bool hop_by_hop_seen() const { return hop_by_hop_seen_; }
  std::string_view host() const { return host_; }

 private:
  // More fields of Connection than this have no use; each is compared with each field's name.
  static constexpr size_t kMaxConnectionFields = 4;

  bool fail(const char* why, uint16_t status = 400);
  bool read_line(std::string_view line);
  bool take(HeaderToken token, std::string_view name, std::string_view value);
  bool take_content_length(std::string_view value);
  bool take_transfer_encoding(std::string_view value);
  bool take_connection(std::string_view value);
  void remove_listed();

  const HeaderLimits& limits_;
  HeaderList& fields_;
  Http1Head& into_;
  size_t lines_ = 0;
  size_t options_ = 0;
  bool host_seen_ = false;
  bool hop_by_hop_seen_ = false;
  bool content_length_seen_ = false;
  bool settings_seen_ = false;
  bool te_seen_ = false;
  bool others_listed_ = false;
  uint8_t connection_count_ = 0;
  std::string_view host_;
  std::array<std::string_view, kMaxConnectionFields> connections_;
};

}  // namespace sluice::l7
