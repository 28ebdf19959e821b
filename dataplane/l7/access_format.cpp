#include "dataplane/l7/access_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "dataplane/l7/log_escape.h"
#include "dataplane/l7/message_rules.h"

namespace sluice::l7 {
namespace {

constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kLower = "abcdefghijklmnopqrstuvwxyz";

std::string mapped(std::string_view text, std::string_view from, std::string_view to) {
  std::string result(text);
  for (char& letter : result) {
    if (const auto at = from.find(letter); at != std::string_view::npos) letter = to[at];
  }
  return result;
}

std::string all_names() {
  std::string names;
  for (const AccessFieldText& field : kAccessFieldTexts)
    names += fmt::format("{}{}{}", names.empty() ? "" : ", ", field.name, field.argument ? "(header)" : "");
  return names;
}

void add_name(std::vector<AccessHeaderName>& names, const AccessHeaderName& name) {
  const auto same = [&name](const AccessHeaderName& other) { return other.name == name.name; };
  if (!name.name.empty() && std::none_of(names.begin(), names.end(), same)) names.push_back(name);
}

}  // namespace

const std::string_view AccessFormat::kDefaultText =
    "%START_TIME% %DOWNSTREAM_REMOTE_ADDRESS% \"%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%\" "
    "\"%REQ(:AUTHORITY)%\" "
    "%RESPONSE_CODE% %GRPC_STATUS% %OUTCOME% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% "
    "%UPSTREAM_DURATION% %ROUTE_NAME% %UPSTREAM_CLUSTER% %UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT% "
    "\"%REQ(x-request-id)%\" \"%REQ(user-agent)%\"";

std::span<const std::pair<std::string, std::string>> AccessFormat::default_members() {
  static const std::vector<std::pair<std::string, std::string>> members{
      {"time", "%START_TIME%"},
      {"listener", "%LISTENER%"},
      {"client", "%DOWNSTREAM_REMOTE_ADDRESS%"},
      {"protocol", "%PROTOCOL%"},
      {"tls_version", "%DOWNSTREAM_TLS_VERSION%"},
      {"method", "%REQ(:METHOD)%"},
      {"authority", "%REQ(:AUTHORITY)%"},
      {"path", "%REQ(:PATH)%"},
      {"status", "%RESPONSE_CODE%"},
      {"grpc_status", "%GRPC_STATUS%"},
      {"outcome", "%OUTCOME%"},
      {"flags", "%RESPONSE_FLAGS%"},
      {"request_bytes", "%BYTES_RECEIVED%"},
      {"response_bytes", "%BYTES_SENT%"},
      {"duration_ms", "%DURATION%"},
      {"response_ms", "%RESPONSE_DURATION%"},
      {"upstream_ms", "%UPSTREAM_DURATION%"},
      {"virtual_host", "%VIRTUAL_HOST%"},
      {"route", "%ROUTE_NAME%"},
      {"cluster", "%UPSTREAM_CLUSTER%"},
      {"endpoint", "%UPSTREAM_HOST%"},
      {"tries", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"},
      {"request_id", "%REQ(x-request-id)%"},
      {"trace_id", "%TRACE_ID%"},
      {"user_agent", "%REQ(user-agent)%"},
  };
  return members;
}

class AccessFormat::Parser {
 public:
  explicit Parser(std::string_view format) : format_(format) {}

  Result<std::vector<Part>> parse() {
    std::vector<Part> parts(1);
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        parts.back().before += format_[at_++];
      } else if (format_.substr(at_).starts_with("%%")) {
        parts.back().before += '%';
        at_ += 2;
      } else {
        if (auto read = read_field(parts.back()); !read) return tl::unexpected(read.error());
        parts.emplace_back();
      }
    }
    return parts;
  }

 private:
  template <typename... Words>
  tl::unexpected<Error> refuse(size_t at, fmt::format_string<Words...> words, Words&&... values) const {
    return fail(
        fmt::format("at character {}: {}", at + 1, fmt::format(words, std::forward<Words>(values)...)));
  }

  Result<void> read_field(Part& part) {
    const size_t begin = at_++;
    const size_t end = format_.find_first_of("%(:", at_);
    const std::string_view found = format_.substr(at_, end == std::string_view::npos ? end : end - at_);
    const std::string name = mapped(found, kLower, kUpper);
    const auto known = std::find_if(kAccessFieldTexts.begin(), kAccessFieldTexts.end(),
                                    [&name](const AccessFieldText& field) { return field.name == name; });
    if (end == std::string_view::npos)
      return refuse(begin, "found a '%' without a second one; accepted: %FIELD%, or %% for a percent sign");
    if (known == kAccessFieldTexts.end())
      return refuse(begin, "found unknown field '{}'; accepted: {}", found, all_names());
    part.field = static_cast<AccessField>(known - kAccessFieldTexts.begin());
    part.has_field = true;
    at_ = end;
    if (known->argument) {
      if (auto read = read_argument(*known, part); !read) return read;
    } else if (format_[at_] == '(') {
      return refuse(at_, "found '(' behind {}; accepted: a '%', {} takes nothing in parentheses", name, name);
    }
    if (at_ < format_.size() && format_[at_] == ':') {
      if (auto read = read_max(part); !read) return read;
    }
    if (at_ >= format_.size() || format_[at_] != '%')
      return refuse(at_, "found no '%' at the end of field {}; accepted: %{}{}%", name, name,
                    known->argument ? "(header)" : "");
    ++at_;
    return {};
  }

  Result<void> read_argument(const AccessFieldText& field, Part& part) {
    const size_t begin = at_;
    const size_t end = format_[at_] == '(' ? format_.find(')', at_) : std::string_view::npos;
    if (end == std::string_view::npos)
      return refuse(begin, "found {} without the name of a header field; accepted: %{}(header)%", field.name,
                    field.name);
    const std::string_view argument = format_.substr(begin + 1, end - begin - 1);
    const size_t mark = argument.find('?');
    auto name = header_name(argument.substr(0, mark), begin + 1);
    if (!name) return tl::unexpected(name.error());
    part.name = *std::move(name);
    if (mark != std::string_view::npos) {
      auto other = header_name(argument.substr(mark + 1), begin + mark + 2);
      if (!other) return tl::unexpected(other.error());
      part.other = *std::move(other);
    }
    at_ = end + 1;
    return {};
  }

  Result<AccessHeaderName> header_name(std::string_view text, size_t at) const {
    AccessHeaderName name{mapped(text, kUpper, kLower)};
    name.token = token_of(name.name);
    if (!is_pseudo(name.token) && !is_lower_field_name(name.name))
      return refuse(at, "found '{}'; accepted: the name of a header field", text);
    return name;
  }

  Result<void> read_max(Part& part) {
    const size_t begin = at_ + 1;
    const char* last = format_.data() + format_.size();
    const auto [end, error] = std::from_chars(format_.data() + begin, last, part.max_bytes);
    if (error != std::errc{} || part.max_bytes == 0 || part.max_bytes > kMaxValueBytes)
      return refuse(begin, "found no number of bytes behind ':'; accepted: 1 to {}", kMaxValueBytes);
    at_ = static_cast<size_t>(end - format_.data());
    return {};
  }

  std::string_view format_;
  size_t at_ = 0;
};

void AccessFormat::append_literal(std::string_view text) {
  if (parts_.empty()) parts_.emplace_back();
  parts_.back().before += text;
}

// The last of parts_ has no field: what comes goes on behind it.
void AccessFormat::append(std::vector<Part> parts, Style style) {
  for (Part& part : parts) {
    if (style == Style::kText) {
      append_literal(part.before);
    } else {
      std::string escaped;
      append_json_escaped(escaped, part.before);
      append_literal(escaped);
    }
    if (!part.has_field) continue;
    // The trailers of a gRPC answer may be its head.
    if (part.field == AccessField::kResponseField || part.field == AccessField::kTrailerField) {
      add_name(response_fields_, part.name);
      add_name(response_fields_, part.other);
    }
    part.before = std::move(parts_.back().before);
    part.style = style;
    parts_.back() = std::move(part);
    parts_.emplace_back();
  }
}

Result<AccessFormat> AccessFormat::text(std::string_view format) {
  const auto control = std::find_if(format.begin(), format.end(), [](char byte) {
    return static_cast<unsigned char>(byte) < 0x20 && byte != '\t';
  });
  if (control != format.end())
    return fail(fmt::format("at character {}: found a control character; accepted: one line of text",
                            control - format.begin() + 1));
  if (format.empty()) return fail("found an empty format; accepted: at least one %FIELD%");
  auto parts = Parser(format).parse();
  if (!parts) return tl::unexpected(parts.error());
  AccessFormat made;
  made.append(*std::move(parts), Style::kText);
  made.append_literal("\n");
  return made;
}

Result<AccessFormat> AccessFormat::json(std::span<const std::pair<std::string, std::string>> members) {
  AccessFormat made;
  std::string_view before = "{";
  for (const auto& [name, format] : members) {
    auto parts = Parser(format).parse();
    if (!parts) return fail(fmt::format("'{}': {}", name, parts.error().message));
    std::string key;
    append_json_escaped(key, name);
    const bool alone = parts->size() == 2 && (*parts)[0].before.empty() && (*parts)[1].before.empty();
    made.append_literal(fmt::format("{}\"{}\":{}", before, key, alone ? "" : "\""));
    made.append(*std::move(parts), alone ? Style::kJsonValue : Style::kJsonString);
    if (!alone) made.append_literal("\"");
    before = ",";
  }
  if (members.empty()) return fail("found no member; accepted: at least one name with its format");
  made.append_literal("}\n");
  return made;
}

void AccessFormat::write(const RequestRecord& record, std::string& out) const {
  ValueScratch scratch;
  for (const Part& part : parts_) {
    out.append(part.before);
    if (!part.has_field) continue;
    std::string_view value = value_of(part.field, part.name, record, scratch);
    if (value.empty() && !part.other.name.empty()) value = value_of(part.field, part.other, record, scratch);
    value = value.substr(0, part.max_bytes);
    switch (part.style) {
      case Style::kText:
        if (value.empty()) value = "-";
        append_text_escaped(out, value);
        break;
      case Style::kJsonString:
        if (value.empty()) value = "-";
        append_json_escaped(out, value);
        break;
      case Style::kJsonValue:
        if (value.empty()) {
          out.append("null");
        } else if (text_of(part.field).number) {
          out.append(value);
        } else {
          out += '"';
          append_json_escaped(out, value);
          out += '"';
        }
        break;
    }
  }
}

}  // namespace sluice::l7
