#include "control/config_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>

#include "control/config_reader.h"

namespace sluice {

namespace {

bool is_name(std::string_view text) {
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= 63 && alphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(),
                     [&](char c) { return alphanumeric(c) || c == '.' || c == '_' || c == '-'; });
}

}  // namespace

Result<std::string> read_config_file(const std::string& path) {
  const auto unreadable = [&] {
    return fail(fmt::format("{}: cannot be read: {}; accepted: a readable file", path, std::strerror(errno)));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file) return unreadable();
  std::string text;
  std::array<char, 64 << 10> part;
  // One byte more than the parser takes, so that it is the parser that refuses a longer file.
  while (text.size() <= kMaxYamlBytes) {
    const size_t length = std::fread(part.data(), 1, part.size(), file.get());
    text.append(part.data(), length);
    if (length < part.size()) break;
  }
  if (std::ferror(file.get())) return unreadable();
  return text;
}

Result<YamlNode> parse_config_tree(std::string_view yaml, std::string_view filename) {
  auto tree = parse_yaml(yaml);
  if (tree) return *std::move(tree);
  ConfigProblems problems;
  problems.add(tree.error().place, tree.error().message);
  return fail(problems.render(filename));
}

Result<std::string> parse_name(const std::string& text) {
  if (!is_name(text)) return fail("");
  return text;
}

Result<std::string> parse_run_dir(const std::string& text) {
  constexpr size_t kLongest = 90;  // with the socket's name it must fit into sockaddr_un
  if (text.empty() || text.front() != '/' || text.size() > kLongest) return fail("");
  return text;
}

Result<IpAddress> parse_address(const std::string& text) {
  const auto address = IpAddress::parse(text);
  if (!address) return fail("");
  return *address;
}

Result<double> parse_percent(const std::string& text) {
  double percent = 0;
  const auto parsed =
      std::from_chars(text.data(), text.data() + text.size(), percent, std::chars_format::fixed);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return fail("");
  if (!(percent >= 0 && percent <= 100)) return fail("");
  return percent;
}

Result<void> check_unicast(const IpAddress& address) {
  if (address.is_unspecified()) return fail("the unspecified address");
  if (address.is_multicast()) return fail("a multicast address");
  if (address == IpAddress::v4(255, 255, 255, 255)) return fail("the broadcast address");
  return {};
}

Result<IpAddress> parse_unicast(const std::string& text) {
  const auto address = IpAddress::parse(text);
  if (!address) return fail("");
  if (auto unicast = check_unicast(*address); !unicast) return fail(unicast.error().message);
  return *address;
}

std::string host_name() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return is_name(host.data()) ? host.data() : "localhost";
}

}  // namespace sluice
