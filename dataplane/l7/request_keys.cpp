#include "dataplane/l7/request_keys.h"

#include <fmt/format.h>

#include <array>

#include "lb/l7/request_hash.h"

namespace sluice::l7 {
namespace {

std::optional<std::string_view> find_header(const HeaderList& fields, std::string_view name) {
  for (const HeaderList::Field& field : fields.fields()) {
    if (fields.name(field) == name) return fields.value(field);
  }
  return std::nullopt;
}

std::optional<std::string_view> find_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) != name) continue;
    return equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1);
  }
  return std::nullopt;
}

std::string_view cookie_text(uint64_t value, std::array<char, 16>& digits) {
  return {digits.data(),
          static_cast<size_t>(fmt::format_to_n(digits.data(), digits.size(), "{:016x}", value).size)};
}

std::optional<uint64_t> hash_of_key(const KeyPart& part, const HeaderList& fields, const IpAddress& client,
                                    const SipKey& key) {
  std::optional<std::string_view> text;
  switch (part.key) {
    case RequestKey::kHeader:
      text = find_header(fields, part.name);
      break;
    case RequestKey::kCookie:
      text = find_cookie(fields, part.name);
      break;
    case RequestKey::kSourceAddress:
      return request_hash(key, client);
    case RequestKey::kPath:
      text = split_path(fields.get(HeaderToken::kPath)).path;
      break;
    case RequestKey::kQueryParameter:
      text = find_parameter(split_path(fields.get(HeaderToken::kPath)).query, part.name);
      break;
  }
  if (!text) return std::nullopt;
  return request_hash(key, *text);
}

}  // namespace

RouteRequest route_request(const HeaderList& fields, std::vector<HeaderView>& scratch) {
  RouteRequest request;
  scratch.clear();
  std::string_view host;
  for (const HeaderList::Field& field : fields.fields()) {
    const std::string_view value = fields.value(field);
    switch (field.token) {
      case HeaderToken::kAuthority:
        request.authority = value;
        break;
      case HeaderToken::kMethod:
        request.method = value;
        break;
      case HeaderToken::kPath:
        request.path = value;
        break;
      case HeaderToken::kScheme:
        request.scheme = value;
        break;
      case HeaderToken::kProtocol:
        break;
      case HeaderToken::kHost:
        host = value;
        [[fallthrough]];
      default:
        scratch.push_back({fields.name(field), value});
    }
  }
  if (request.authority.empty()) request.authority = host;
  request.headers = scratch;
  return request;
}

std::optional<std::string_view> find_cookie(const HeaderList& fields, std::string_view name) {
  for (const HeaderList::Field& field : fields.fields()) {
    if (field.token != HeaderToken::kCookie) continue;
    std::string_view rest = fields.value(field);
    while (!rest.empty()) {
      std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
      while (pair.starts_with(' ')) pair.remove_prefix(1);
      const size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> hash_of_keys(std::span<const KeyPart> parts, const HeaderList& fields,
                                     const IpAddress& client, const SipKey& key, Random& random,
                                     NewCookie* cookie) {
  std::optional<uint64_t> hash;
  for (const KeyPart& part : parts) {
    auto one = hash_of_key(part, fields, client, key);
    if (!one && part.key == RequestKey::kCookie && part.cookie_ttl.count() >= 0 && cookie != nullptr) {
      *cookie = {&part, random()};
      std::array<char, 16> digits;
      one = request_hash(key, cookie_text(cookie->value, digits));
    }
    if (!one) continue;
    hash = hash ? chain_hashes(*hash, *one) : *one;
    if (part.terminal) break;
  }
  return hash;
}

void write_set_cookie(const NewCookie& cookie, std::string& out) {
  std::array<char, 16> digits;
  out.clear();
  fmt::format_to(std::back_inserter(out), "{}={}; Path={}; HttpOnly", cookie.part->name,
                 cookie_text(cookie.value, digits), cookie.part->cookie_path);
  if (cookie.part->cookie_ttl.count() > 0)
    fmt::format_to(std::back_inserter(out), "; Max-Age={}", cookie.part->cookie_ttl.count());
}

}  // namespace sluice::l7
