#include "control/service_state.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "control/config_reader.h"
#include "control/service_edit.h"
#include "control/yaml_writer.h"

namespace sluice {

namespace {

constexpr std::string_view kFormat = "1";

std::string hexadecimal(uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::optional<uint64_t> parse_hexadecimal(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value, 16);
  if (text.size() != 16 || parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

/// Over the header too: a generation that jumps back would let an old If-Match pass.
uint64_t checksum(const ServiceState& state) {
  return fingerprint_with(state.services,
                          {{yaml_scalar("generation"), yaml_scalar(std::to_string(state.generation))},
                           {yaml_scalar("config"), yaml_scalar(hexadecimal(state.config_fingerprint))}});
}

}  // namespace

std::string render_state(ServiceState state) {
  YamlNode header = yaml_map();
  yaml_set(header, "format", yaml_scalar(std::string(kFormat)));
  yaml_set(header, "generation", yaml_scalar(std::to_string(state.generation)));
  yaml_set(header, "config_fingerprint", yaml_scalar(hexadecimal(state.config_fingerprint)));
  yaml_set(header, "checksum", yaml_scalar(hexadecimal(checksum(state))));
  YamlNode document = yaml_map();
  yaml_set(document, "state", std::move(header));
  for (YamlEntry& entry : state.services.entries) yaml_set(document, entry.key.text, std::move(entry.value));
  return "# Written by sluiced after each change by API or CLI. Do not edit: use sluicectl, or the "
         "configuration\n"
         "# file, whose services win over these as soon as they are edited.\n" +
         to_yaml(document);
}

Result<ServiceState> parse_state(std::string_view text) {
  const auto tree = parse_yaml(text);
  if (!tree) return fail(fmt::format("line {}: {}", tree.error().place.line, tree.error().message));
  const YamlNode* header = tree->find("state");
  if (header == nullptr) return fail("it has no header");
  if (const auto format = yaml_text(*header, "format"); format != kFormat) {
    return fail(fmt::format("it has format '{}', and this sluiced reads format {}", format, kFormat));
  }
  const auto generation = parse_decimal<uint64_t>(yaml_text(*header, "generation"));
  const auto config_fingerprint = parse_hexadecimal(yaml_text(*header, "config_fingerprint"));
  const auto expected = parse_hexadecimal(yaml_text(*header, "checksum"));
  if (!generation || !config_fingerprint || !expected) return fail("its header is not whole");
  ServiceState state{*generation, *config_fingerprint, services_of(*tree)};
  if (checksum(state) != *expected) return fail("its content does not match its checksum");
  auto services = replace_services(state.services);
  if (!services) return fail(services.error().message);
  state.services = *std::move(services);
  return state;
}

Result<std::optional<ServiceState>> load_state(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file && errno == ENOENT) return std::nullopt;
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || file.bad()) return fail(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  auto state = parse_state(text.str());
  if (!state) {
    return fail(fmt::format(
        "{}: damaged: {}; it holds the changes made by API and CLI: put a good copy in its place, "
        "or move it away to start with the services of the configuration file",
        path, state.error().message));
  }
  return std::optional(*std::move(state));
}

}  // namespace sluice
