#include "control/yaml_tree.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <optional>
#include <streambuf>
#include <utility>

namespace sluice {

namespace {

YamlPlace place_of(const YAML::Mark& mark) {
  return mark.is_null() ? YamlPlace{} : YamlPlace{mark.line + 1, mark.column + 1};
}

/// Leaves the parser from inside an event; never leaves parse_yaml().
struct Refused {
  YamlError error;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) refuse(mark, "a second document begins here; accepted: one document per file");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override { add(node(YamlNode::Kind::kNull, mark)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not accepted; write the value itself");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    check_tag(mark, tag);
    YamlNode scalar = node(YamlNode::Kind::kScalar, mark);
    scalar.text = value;
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kList, mark, tag);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    open(YamlNode::Kind::kMap, mark, tag);
  }
  void OnMapEnd() override { close(); }

  YamlNode take() { return std::move(root_); }

 private:
  struct Open {
    YamlNode node;
    std::optional<YamlNode> key;  ///< of a map: read, and its value not yet
  };

  [[noreturn]] static void refuse(const YAML::Mark& mark, std::string message) {
    throw Refused{{place_of(mark), std::move(message)}};
  }
  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    // yaml-cpp reports "?" for a plain value and "!" for a quoted one.
    if (!tag.empty() && tag != "?" && tag != "!") refuse(mark, "tags (!name) are not accepted");
  }
  YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kMaxYamlNodes) {
      refuse(mark, fmt::format("more than {} values in one file", kMaxYamlNodes));
    }
    YamlNode result;
    result.kind = kind;
    result.place = place_of(mark);
    return result;
  }
  void open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag) {
    check_tag(mark, tag);
    if (open_.size() == kMaxYamlDepth) {
      refuse(mark, fmt::format("lists and maps are nested more than {} deep", kMaxYamlDepth));
    }
    open_.push_back({node(kind, mark), std::nullopt});
  }
  void close() {
    YamlNode closed = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(closed));
  }
  void add(YamlNode value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(value));
    } else if (!parent.key) {
      parent.key = std::move(value);
    } else {
      parent.node.entries.push_back({std::move(*parent.key), std::move(value)});
      parent.key.reset();
    }
  }

  YamlNode root_;
  std::vector<Open> open_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

/// Bytes of the UTF-8 sequence that `text` begins with; 0 if it begins with none (RFC 3629).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto continues = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return continues(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool overlong = lead == 0xe0 && byte(1) < 0xa0;
    const bool surrogate = lead == 0xed && byte(1) >= 0xa0;
    return !overlong && !surrogate && continues(1) && continues(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool overlong = lead == 0xf0 && byte(1) < 0x90;
    const bool beyond = lead == 0xf4 && byte(1) >= 0x90;
    return !overlong && !beyond && continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

/// yaml-cpp takes a control character for the end of the text or worse, so they are found beforehand.
std::optional<YamlError> check_characters(std::string_view text) {
  YamlPlace place;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const bool control = (byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f;
    if (control) return YamlError{place, fmt::format("found control character 0x{:02x}", byte)};
    const size_t length = utf8_length(text.substr(i));
    if (length == 0) return YamlError{place, fmt::format("found byte 0x{:02x}, which is not UTF-8", byte)};
    i += length;
    if (byte == '\n') {
      place = {place.line + 1, 1};
    } else {
      ++place.column;
    }
  }
  return std::nullopt;
}

/// std::istream over a string_view, without a copy of a file of many megabytes.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // streambuf's interface; only read
    setg(begin, begin, begin + text.size());
  }
};

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  for (const YamlEntry& entry : entries) {
    if (entry.key.kind == Kind::kScalar && entry.key.text == key) return &entry.value;
  }
  return nullptr;
}

tl::expected<YamlNode, YamlError> parse_yaml(std::string_view text) {
  if (text.size() > kMaxYamlBytes) {
    return tl::unexpected(
        YamlError{{}, fmt::format("the file is larger than {} MiB", kMaxYamlBytes / (1u << 20))});
  }
  if (auto error = check_characters(text)) return tl::unexpected(std::move(*error));
  try {
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take();
  } catch (const Refused& refused) {
    return tl::unexpected(refused.error);
  } catch (const YAML::Exception& error) {
    return tl::unexpected(YamlError{place_of(error.mark), "YAML syntax: " + error.msg});
  }
}

}  // namespace sluice
