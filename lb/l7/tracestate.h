// The tracestate header field, which goes with traceparent and is passed on unread: only whether it may be
// (W3C Trace Context level 1, section 3.3).
#pragma once

#include <cstddef>
#include <string_view>

namespace sluice {

/// The fields of one request, one after the other: several are one list (section 3.3.1.1).
class TracestateCheck {
 public:
  /// Takes one field's value.
  void add(std::string_view value);
  /// Whether all were lists of key=value members, of which there are 32 at most; otherwise they are all to be
  /// left out. Whether a key is there twice is not looked at.
  bool good() const { return good_ && members_ <= kMaxMembers; }

 private:
  static constexpr size_t kMaxMembers = 32;
  size_t members_ = 0;
  bool good_ = true;
};

}  // namespace sluice
