// A line of the access log: made from a text with %FIELDS% once, when the configuration is loaded, then
// written for each request without looking at that text again.
//
//   %START_TIME% "%REQ(:METHOD)% %REQ(:PATH)%" %RESPONSE_CODE% %RESP(x-cache?x-served-by):64%
//
// %NAME%, %NAME(header)%, %NAME(header?other)% (the other one if the first is not there), either of them with
// :N behind it (at most N bytes), and %% for a percent sign.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/l7/access_field.h"
#include "lb/result.h"

namespace sluice::l7 {

class AccessFormat {
 public:
  /// Of a value no more than this is written.
  static constexpr uint32_t kMaxValueBytes = 4096;
  /// Used where the configuration says nothing.
  static const std::string_view kDefaultText;

  /// A line of text; what is not there is "-". The error says at which character what is wrong and what is
  /// accepted.
  static Result<AccessFormat> text(std::string_view format);
  /// A JSON object per line: names and formats, in this order. A member whose format is one field alone is a
  /// number where the field is one, and null if it is not there; any other is a string. The error names the
  /// member.
  static Result<AccessFormat> json(std::span<const std::pair<std::string, std::string>> members);
  /// The members used where the configuration names none.
  static std::span<const std::pair<std::string, std::string>> default_members();

  /// Appends the line, with its end. Allocates only if `out` has to grow.
  void write(const RequestRecord& record, std::string& out) const;

  /// The fields of answers' heads that are to be kept for RequestRecord::response.
  std::span<const AccessHeaderName> response_fields() const { return response_fields_; }

 private:
  enum class Style : uint8_t {
    kText,
    kJsonString,  // inside of quotes that the literals have
    kJsonValue,   // with its own quotes
  };
  struct Part {
    std::string before;  // literally
    AccessField field{};
    bool has_field = false;  // only the last one has none
    Style style = Style::kText;
    uint32_t max_bytes = kMaxValueBytes;
    AccessHeaderName name;
    AccessHeaderName other;
  };
  class Parser;

  void append_literal(std::string_view text);
  void append(std::vector<Part> parts, Style style);

  std::vector<Part> parts_;
  std::vector<AccessHeaderName> response_fields_;
};

}  // namespace sluice::l7
