// Any fields as a message: what passes the rules can be written as an HTTP/1.1 message in which every line is
// what it was meant to be, and no server behind reads another one in it.
//
// Input: lines that end in 0x1e, `name` TAB `value` each; a byte of options first.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "dataplane/l7/message_rules.h"

namespace {

using namespace sluice::l7;

constexpr char kLineEnd = '\x1e';

void require(bool holds) {
  if (!holds) __builtin_trap();
}

HeaderList list_of(std::string_view text) {
  HeaderList list;
  while (!text.empty() && list.size() < 100) {
    const std::string_view line = text.substr(0, text.find(kLineEnd));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t tab = std::min(line.find('\t'), line.size());
    list.add(line.substr(0, tab), line.substr(std::min(tab + 1, line.size())));
  }
  return list;
}

size_t count(std::string_view text, std::string_view what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

void check_fields(const HeaderList& list) {
  for (const HeaderList::Field& field : list.fields()) {
    const std::string_view name = list.name(field);
    const std::string_view value = list.value(field);
    require(!name.empty());
    require(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos);
    require(name.find_first_of(std::string_view(" \t\r\n\0ABCDEFGHIJKLMNOPQRSTUVWXYZ", 31)) ==
            std::string_view::npos);
    require(name.find(':', 1) == std::string_view::npos);
    require(name != "transfer-encoding" && name != "connection" && name != "upgrade" &&
            name != "keep-alive" && name != "proxy-connection");
    require(value.empty() ||
            (value.front() != ' ' && value.back() != ' ' && value.front() != '\t' && value.back() != '\t'));
  }
}

void check_as_http1(const HeaderList& list, const MessageHead& head) {
  const std::string method(list.get(HeaderToken::kMethod));
  std::string target(list.get(HeaderToken::kPath));
  const std::string_view authority = list.find(HeaderToken::kAuthority) != nullptr
                                         ? list.get(HeaderToken::kAuthority)
                                         : list.get(HeaderToken::kHost);
  require(!authority.empty());
  if (target.empty()) target = authority;
  std::string text = method + " " + target + " HTTP/1.1\r\nhost: " + std::string(authority) + "\r\n";
  require(count(text, " ") == 3 && count(text, "\n") == 2 && count(text, "\r") == 2);
  const std::string in_full =
      std::string(list.get(HeaderToken::kScheme)) + "://" + std::string(authority) + "/";
  require(head.connect ||
          (count(in_full, "://") == 1 && count(in_full, "/") == 3 && count(in_full, "@") == 0));
  size_t lengths = 0;
  size_t pseudo = 0;
  for (const HeaderList::Field& field : list.fields()) {
    lengths += field.token == HeaderToken::kContentLength ? 1 : 0;
    pseudo += list.name(field).starts_with(':') ? 1 : 0;
  }
  require(lengths <= 1);
  require((head.content_length >= 0) == (lengths == 1));
  require(pseudo == 4 || pseudo == 3 || (head.connect && (pseudo == 2 || pseudo == 5)));
  require(head.head_method == (method == "HEAD") && head.connect == (method == "CONNECT"));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return -1;
  HeaderList list;
  // Most inputs begin as a request that is well formed, so that what follows is looked at; or with the first
  // line as one of its parts.
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  const auto part = [&](unsigned option, std::string_view usual) {
    if ((data[0] & 0xe0) != option) return usual;
    const std::string_view line = text.substr(0, text.find(kLineEnd));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    return line;
  };
  if ((data[0] & 1) != 0) list.add(":method", part(0x20, (data[0] & 2) != 0 ? "GET" : "CONNECT"));
  if ((data[0] & 4) != 0) list.add(":scheme", part(0x40, "http"));
  if ((data[0] & 8) != 0) list.add(":path", part(0x80, "/"));
  if ((data[0] & 16) != 0) list.add(":authority", part(0xa0, "a"));
  const HeaderList more = list_of(text);
  for (const HeaderList::Field& field : more.fields()) list.add(more.name(field), more.value(field));

  const MessageHead request = check_request(list);
  if (request.error == nullptr) {
    check_fields(list);
    check_as_http1(list, request);
  }
  const MessageHead response = check_response(more);
  if (response.error == nullptr) {
    check_fields(more);
    require(response.status >= 100 && response.status <= 999 && response.status != 101);
  }
  if (check_trailers(more) == nullptr) {
    check_fields(more);
    for (const HeaderList::Field& field : more.fields()) require(!more.name(field).starts_with(':'));
  }
  return 0;
}
