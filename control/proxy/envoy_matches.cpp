#include "control/proxy/envoy_matches.h"

namespace sluice {
namespace {

/// Reads a StringMatcher.
TextMatch read_string_match(const EnvoyMessage& message) {
  TextMatch match;
  const std::string_view found = message.one_of({"exact", "prefix", "suffix", "contains", "safe_regex"});
  if (found == "safe_regex") {
    match.kind = TextMatchKind::kRegex;
    match.value = read_envoy_regex(message, found);
  } else if (!found.empty()) {
    match.kind = found == "exact"    ? TextMatchKind::kExact
                 : found == "prefix" ? TextMatchKind::kPrefix
                 : found == "suffix" ? TextMatchKind::kSuffix
                                     : TextMatchKind::kContains;
    message.text(found, match.value);
  } else if (message.present()) {
    message.report(*message.node(), {},
                   "found no condition; accepted: exact, prefix, suffix, contains or safe_regex");
  }
  const YamlNode* ignore = message.flag("ignore_case", match.ignore_case);
  if (ignore != nullptr && match.kind == TextMatchKind::kRegex && match.ignore_case)
    message.refuse(*ignore, "ignore_case", "accepted: not beside safe_regex; write (?i) there");
  return match;
}

/// A present_match of false is "it must not be there".
void read_present(const EnvoyMessage& message, std::string_view field, TextMatch& match) {
  bool present = true;
  message.flag(field, present);
  match.kind = TextMatchKind::kPresent;
  match.invert = !present;
}

NamedMatch read_header_match(const EnvoyMessage& message) {
  NamedMatch match;
  if (message.require("name") != nullptr) message.text("name", match.name);
  const std::string_view found =
      message.one_of({"string_match", "exact_match", "prefix_match", "suffix_match", "contains_match",
                      "safe_regex_match", "present_match"});
  if (found == "string_match") {
    match.match = read_string_match(message.message(found, "StringMatcher"));
  } else if (found == "safe_regex_match") {
    match.match = {TextMatchKind::kRegex, read_envoy_regex(message, found), false, false};
  } else if (found == "present_match") {
    read_present(message, found, match.match);
  } else if (!found.empty()) {
    match.match.kind = found == "exact_match"    ? TextMatchKind::kExact
                       : found == "prefix_match" ? TextMatchKind::kPrefix
                       : found == "suffix_match" ? TextMatchKind::kSuffix
                                                 : TextMatchKind::kContains;
    message.text(found, match.match.value);
  }
  bool invert = false;
  message.flag("invert_match", invert);
  match.match.invert ^= invert;
  return match;
}

NamedMatch read_query_match(const EnvoyMessage& message) {
  NamedMatch match;
  if (message.require("name") != nullptr) message.text("name", match.name);
  const std::string_view found = message.one_of({"string_match", "present_match"});
  if (found == "string_match") {
    match.match = read_string_match(message.message(found, "StringMatcher"));
  } else if (found == "present_match") {
    read_present(message, found, match.match);
  }
  return match;
}

}  // namespace

std::string read_envoy_regex(const EnvoyMessage& parent, std::string_view field) {
  std::string regex;
  const EnvoyMessage message = parent.message(field, "RegexMatcher");
  if (message.require("regex") != nullptr) message.text("regex", regex);
  return regex;
}

std::vector<NamedMatch> read_envoy_header_matches(const EnvoyMessage& parent, std::string_view field) {
  std::vector<NamedMatch> matches;
  for (const EnvoyMessage& item : parent.messages(field, "HeaderMatcher"))
    matches.push_back(read_header_match(item));
  return matches;
}

RouteMatch read_envoy_match(const EnvoyMessage& message) {
  RouteMatch match;
  const std::string_view found = message.one_of({"prefix", "path", "safe_regex", "path_separated_prefix"});
  if (found == "safe_regex") {
    match.path = {PathMatchKind::kRegex, read_envoy_regex(message, found), false};
  } else if (!found.empty()) {
    match.path.kind = found == "prefix" ? PathMatchKind::kPrefix
                      : found == "path" ? PathMatchKind::kExact
                                        : PathMatchKind::kSegments;
    message.text(found, match.path.value);
    if (found == "prefix" && match.path.value.empty()) match.path.value = "/";
  } else if (message.present()) {
    message.report(*message.node(), {},
                   "found no path; accepted: prefix, path, safe_regex or path_separated_prefix");
  }
  bool case_sensitive = true;
  message.flag("case_sensitive", case_sensitive);
  if (match.path.kind != PathMatchKind::kRegex) match.path.ignore_case = !case_sensitive;
  match.headers = read_envoy_header_matches(message, "headers");
  for (const EnvoyMessage& item : message.messages("query_parameters", "QueryParameterMatcher"))
    match.query.push_back(read_query_match(item));
  if (message.message("grpc", "GrpcRouteMatchOptions").present()) match.grpc.emplace();
  return match;
}

}  // namespace sluice
