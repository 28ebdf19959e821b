// The path of a request as routing and endpoints are to see it: two spellings of one path must not reach two
// routes, or a rule on "/admin" is no rule for "/x/../admin" and "/%61dmin".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice {

/// A slash or backslash that came percent-encoded: some servers decode it into a separator, others do not.
enum class EscapedSlashes : uint8_t {
  kKeep,    ///< it is a part of its segment
  kRefuse,  ///< the request is answered with 400
};

struct PathRules {
  bool normalize = true;       ///< false: the path stays as it is, whatever the others say
  bool merge_slashes = false;  ///< several slashes in a row are one
  EscapedSlashes escaped_slashes = EscapedSlashes::kKeep;
  friend bool operator==(const PathRules&, const PathRules&) = default;
};

enum class PathVerdict : uint8_t {
  kAsItIs,   ///< it is normal already
  kWritten,  ///< its normal form stands in `out`
  kRefused,
};

/// RFC 3986 section 6.2.2: percent-encoded unreserved characters are decoded, other encodings get upper-case
/// digits, then "." and ".." segments are taken out (section 5.2.4; ".." at the root goes nowhere). Of `path`
/// with its query, which stays as it is. What does not begin with a slash, "*" of OPTIONS, stays, too, and so
/// does a percent sign without two digits. `out` is written only if the answer is kWritten.
PathVerdict normalize_path(std::string_view path, const PathRules& rules, std::string& out);

}  // namespace sluice
