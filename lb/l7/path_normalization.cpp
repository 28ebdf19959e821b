#include "lb/l7/path_normalization.h"

#include "lb/l7/route_request.h"

namespace sluice {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The byte that three characters from `at` on encode, or -1.
int encoded_byte(std::string_view text, size_t at) {
  if (text[at] != '%' || text.size() - at < 3) return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool unreserved(int byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
         byte == '-' || byte == '.' || byte == '_' || byte == '~';
}

// Nearly all paths: one look, nothing written.
bool is_plain(std::string_view path, bool merge_slashes) {
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '%') return false;
    if (i == 0 || path[i - 1] != '/') continue;
    if (path[i] == '.' || (merge_slashes && path[i] == '/')) return false;
  }
  return true;
}

void append_decoded(std::string_view path, size_t& at, std::string& out) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  const int byte = encoded_byte(path, at);
  if (byte < 0) {
    out += path[at++];
    return;
  }
  at += 3;
  if (unreserved(byte)) {
    out += static_cast<char>(byte);
  } else {
    out += '%';
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

bool has_escaped_slash(std::string_view path) {
  for (size_t i = path.find('%'); i != std::string_view::npos; i = path.find('%', i + 1)) {
    const int byte = encoded_byte(path, i);
    if (byte == '/' || byte == '\\') return true;
  }
  return false;
}

}  // namespace

PathVerdict normalize_path(std::string_view path, const PathRules& rules, std::string& out) {
  if (!rules.normalize || !path.starts_with('/')) return PathVerdict::kAsItIs;
  const PathParts parts = split_path(path);
  if (is_plain(parts.path, rules.merge_slashes)) return PathVerdict::kAsItIs;
  if (rules.escaped_slashes == EscapedSlashes::kRefuse && has_escaped_slash(parts.path))
    return PathVerdict::kRefused;
  out.clear();
  for (size_t at = 0; at < parts.path.size();) {
    const size_t slash = out.size();
    out += parts.path[at++];
    while (at < parts.path.size() && parts.path[at] != '/') append_decoded(parts.path, at, out);
    const std::string_view segment = std::string_view(out).substr(slash + 1);
    const bool last = at == parts.path.size();
    const bool up = segment == "..";
    if (up || segment == ".") {
      out.resize(slash);
      if (up) out.resize(out.find_last_of('/') == std::string::npos ? 0 : out.find_last_of('/'));
      if (last) out += '/';
    } else if (segment.empty() && rules.merge_slashes && !last) {
      out.resize(slash);
    }
  }
  out += path.substr(parts.path.size());
  return out == path ? PathVerdict::kAsItIs : PathVerdict::kWritten;
}

}  // namespace sluice
