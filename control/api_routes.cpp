#include "control/api_routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <optional>
#include <string_view>

namespace sluice {

namespace {

int hexadecimal_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3986, section 2.1; nullopt if a '%' is not followed by two digits.
std::optional<std::string> percent_decoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 2 <= text.size() - 1 ? hexadecimal_digit(text[i + 1]) : -1;
    const int low = i + 2 <= text.size() - 1 ? hexadecimal_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

/// The parts between slashes; "/a/b" has "", "a" and "b".
std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (true) {
    const auto slash = path.find('/');
    segments.push_back(path.substr(0, slash));
    if (slash == path.npos) return segments;
    path.remove_prefix(slash + 1);
  }
}

/// What stands in the place of the {names}, still encoded; nullopt if the path is another one.
std::optional<std::vector<std::string_view>> match(std::string_view pattern, std::string_view path) {
  const auto wanted = segments_of(pattern);
  const auto found = segments_of(path);
  if (wanted.size() != found.size()) return std::nullopt;
  std::vector<std::string_view> parameters;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i].starts_with('{')) {
      if (found[i].empty()) return std::nullopt;
      parameters.push_back(found[i]);
    } else if (wanted[i] != found[i]) {
      return std::nullopt;
    }
  }
  return parameters;
}

}  // namespace

std::optional<std::string> ApiRequest::query_value(std::string_view key) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const auto equals = pair.find('=');
    if (pair.substr(0, equals) != key) continue;
    return percent_decoded(equals == pair.npos ? "" : pair.substr(equals + 1)).value_or("");
  }
  return std::nullopt;
}

std::vector<std::string> ApiRoutes::names() const {
  std::vector<std::string> all;
  for (const auto& [path, methods] : routes_) {
    for (const auto& [method, handler] : methods) all.push_back(method + ' ' + path);
  }
  return all;
}

std::string ApiRoutes::known_paths() const {
  std::string text;
  for (const auto& [path, methods] : routes_) text += (text.empty() ? "" : ", ") + path;
  return text;
}

/// The handlers of its path; nullptr if there is none. The error is of a malformed path.
Result<const ApiRoutes::Methods*> ApiRoutes::find(ApiRequest& request) const {
  const auto exact = routes_.find(request.path);
  if (exact != routes_.end()) return &exact->second;
  for (const auto& [pattern, methods] : routes_) {
    const auto parameters = match(pattern, request.path);
    if (!parameters) continue;
    for (const std::string_view encoded : *parameters) {
      auto decoded = percent_decoded(encoded);
      if (!decoded)
        return fail(fmt::format("path: found '{}'; accepted: % with two hexadecimal digits", encoded));
      request.parameters.push_back(*std::move(decoded));
    }
    return &methods;
  }
  return nullptr;
}

void ApiRoutes::answer(ApiRequest& request, const ApiReply& reply) const {
  if (why_not_yet_) return reply(api_error(503, why_not_yet_()));
  const auto methods = find(request);
  if (!methods) return reply(api_error(400, methods.error().message));
  if (*methods == nullptr) {
    return reply(api_error(404, fmt::format("no such path '{}'; known: {}", request.path, known_paths())));
  }
  const auto handler = (*methods)->find(request.method);
  if (handler == (*methods)->end()) {
    std::string allowed;
    for (const auto& [method, unused] : **methods) allowed += (allowed.empty() ? "" : ", ") + method;
    ApiResponse refusal = api_error(
        405, fmt::format("'{}' is not for {}; accepted: {}", request.method, request.path, allowed));
    refusal.allow = allowed;
    return reply(std::move(refusal));
  }
  try {
    handler->second(request, reply);
  } catch (const std::exception& error) {
    reply(api_error(500, fmt::format("internal error: {}", error.what())));
  } catch (...) {
    reply(api_error(500, "internal error"));
  }
}

}  // namespace sluice
