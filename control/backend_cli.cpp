#include "control/backend_cli.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>

#include <boost/program_options.hpp>
#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "control/local_delivery.h"
#include "dataplane/bpf/decap.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice {
namespace {

namespace options = boost::program_options;
using Json = nlohmann::ordered_json;

enum ExitCode : int { kDone = 0, kFailed = 1, kWrongUsage = 2, kNotAttached = 3 };

constexpr const char* kUsage =
    "sluice-backend takes the GRE header off packets that sluiced sends to this backend.\n"
    "\n"
    "  sluice-backend attach --interface IF --vip ADDRESS [--vip ...] [--source PREFIX ...] [--key N]\n"
    "                        [--mode auto|native|generic|tc]\n"
    "  sluice-backend status [--interface IF] [--json]\n"
    "  sluice-backend detach --interface IF\n"
    "\n"
    "`sluice-backend COMMAND --help` tells of its options.\n"
    "Exit codes: 0 done, 1 failed, 2 wrong command line, 3 status found nothing attached.\n";

int complain(ExitCode code, std::string_view message) {
  fmt::print(stderr, "sluice-backend: {}\n", message);
  return code;
}

void warn(std::string_view message) {
  fmt::print(stderr, "sluice-backend: warning: {}\n", message);
}

/// A command's words, parsed; nothing after `--help`, which it has answered.
Result<std::optional<options::variables_map>> parse(std::span<const std::string> words,
                                                    const options::options_description& known) {
  try {
    options::variables_map values;
    options::store(options::command_line_parser(std::vector<std::string>(words.begin() + 1, words.end()))
                       .options(known)
                       .positional({})
                       .run(),
                   values);
    if (values.count("help") != 0) {
      std::string text = boost::lexical_cast<std::string>(known);
      fmt::print("{}", text);
      return std::nullopt;
    }
    options::notify(values);
    return values;
  } catch (const options::error& error) {
    return fail(fmt::format("{}; see `sluice-backend {} --help`", error.what(), words.front()));
  }
}

Result<std::vector<Prefix>> parse_prefixes(const options::variables_map& values, const std::string& option) {
  std::vector<Prefix> prefixes;
  if (values.count(option) != 0) {
    for (const auto& text : values[option].as<std::vector<std::string>>()) {
      auto prefix = Prefix::parse(text);
      if (!prefix) {
        return fail(fmt::format("--{}: {}", option, prefix.error().message));
      }
      prefixes.push_back(*prefix);
    }
  }
  return prefixes;
}

/// Decimal, or hexadecimal after 0x.
Result<uint32_t> parse_key(std::string_view text) {
  bool hexadecimal = text.starts_with("0x");
  std::string_view digits = hexadecimal ? text.substr(2) : text;
  uint32_t key = 0;
  auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), key, hexadecimal ? 16 : 10);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    return fail(fmt::format("--key: {} is not a number from 0 to 4294967295, or 0x0 to 0xffffffff", text));
  }
  return key;
}

Result<bpf::DecapSettings> decap_settings(const options::variables_map& values) {
  bpf::DecapSettings settings;
  auto vips = parse_prefixes(values, "vip");
  auto sources = parse_prefixes(values, "source");
  auto mode = bpf::decap_mode(values["mode"].as<std::string>());
  if (!vips || !sources) {
    return tl::unexpected(!vips ? vips.error() : sources.error());
  }
  if (!mode) {
    return fail("--mode: " + mode.error().message);
  }
  if (values.count("key") != 0) {
    auto key = parse_key(values["key"].as<std::string>());
    if (!key) {
      return tl::unexpected(key.error());
    }
    settings.key = *key;
  }
  settings.vips = std::move(*vips);
  settings.sources = std::move(*sources);
  settings.mode = *mode;
  return settings;
}

int attach(std::span<const std::string> words) {
  options::options_description known(
      "sluice-backend attach: start decapsulating, or change what is decapsulated");
  auto add = known.add_options();
  add("interface,i", options::value<std::string>()->required()->value_name("IF"),
      "where packets from sluiced arrive");
  add("vip", options::value<std::vector<std::string>>()->required()->value_name("ADDRESS"),
      "a VIP served here, or a prefix of VIPs; once for each. A later attach replaces the whole set");
  add("source", options::value<std::vector<std::string>>()->value_name("PREFIX"),
      "accept packets to VIPs only from these tunnel sources; drop others. Default: from any");
  add("key", options::value<std::string>()->value_name("N"),
      "accept only this GRE key. Default: any, or none");
  add("mode", options::value<std::string>()->default_value("auto")->value_name("MODE"),
      "native (XDP in the driver), generic (XDP), tc, or auto: what runs already, else native if the driver "
      "can, "
      "else tc");
  add("help,h", "print this");
  auto values = parse(words, known);
  if (!values) {
    return complain(kWrongUsage, values.error().message);
  }
  if (!*values) {
    return kDone;
  }
  auto settings = decap_settings(**values);
  if (!settings) {
    return complain(kWrongUsage, settings.error().message);
  }
  const auto& interface = (**values)["interface"].as<std::string>();
  auto attached = bpf::attach_decap(interface, *settings);
  if (!attached) {
    return complain(kFailed, attached.error().message);
  }
  for (const std::string& remark : attached->remarks) {
    warn(remark);
  }
  for (const std::string& warning : local_delivery_warnings(interface, settings->vips)) {
    warn(warning);
  }
  fmt::print("{}: decapsulating for {} VIP{} ({})\n", interface, settings->vips.size(),
             settings->vips.size() == 1 ? "" : "s", bpf::name_of(attached->mode));
  return kDone;
}

/// Status of one interface, with the warnings that go with it.
struct InterfaceStatus {
  std::string interface;
  bpf::DecapStatus decap;
  std::vector<std::string> warnings;
};

std::vector<std::string> all_interfaces() {
  std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> list(if_nameindex(), if_freenameindex);
  std::vector<std::string> names;
  for (auto* entry = list.get(); entry != nullptr && entry->if_index != 0; entry++) {
    names.emplace_back(entry->if_name);
  }
  return names;
}

std::vector<std::string> to_strings(const std::vector<Prefix>& prefixes) {
  std::vector<std::string> texts;
  for (const Prefix& prefix : prefixes) {
    texts.push_back(prefix.to_string());
  }
  return texts;
}

Json to_json(const InterfaceStatus& status) {
  Json json;
  json["interface"] = status.interface;
  json["mode"] = bpf::name_of(status.decap.mode);
  json["program_id"] = status.decap.program_id;
  json["key"] = status.decap.key ? Json(*status.decap.key) : Json(nullptr);
  json["sources"] = to_strings(status.decap.sources);
  json["vips"] = Json::array();
  for (const bpf::DecapVip& vip : status.decap.vips) {
    json["vips"].push_back({{"vip", vip.vip.to_string()}, {"packets", vip.packets}, {"bytes", vip.bytes}});
  }
  json["counters"] = Json::object();
  for (const bpf::DecapCounter& counter : status.decap.counters) {
    json["counters"][std::string(counter.name)] = counter.frames;
  }
  json["warnings"] = status.warnings;
  return json;
}

void print(const InterfaceStatus& status) {
  const bpf::DecapStatus& decap = status.decap;
  auto sources = to_strings(decap.sources);
  fmt::print("{}: {}, program {}, sources: {}, key: {}\n", status.interface, bpf::name_of(decap.mode),
             decap.program_id, sources.empty() ? "any" : fmt::format("{}", fmt::join(sources, " ")),
             decap.key ? fmt::format("{}", *decap.key) : "any");
  for (const bpf::DecapVip& vip : decap.vips) {
    fmt::print("  vip {:<39} {:>14} packets {:>18} bytes\n", vip.vip.to_string(), vip.packets, vip.bytes);
  }
  for (const bpf::DecapCounter& counter : decap.counters) {
    fmt::print("  {:<14} {:>14}  {}\n", counter.name, counter.frames, counter.meaning);
  }
  for (const std::string& warning : status.warnings) {
    warn(warning);
  }
}

int status(std::span<const std::string> words) {
  options::options_description known("sluice-backend status: what is decapsulated, and its counters");
  auto add = known.add_options();
  add("interface,i", options::value<std::string>()->value_name("IF"),
      "only this one. Default: all interfaces");
  add("json", "print JSON");
  add("help,h", "print this");
  auto values = parse(words, known);
  if (!values) {
    return complain(kWrongUsage, values.error().message);
  }
  if (!*values) {
    return kDone;
  }
  const bool one = (**values).count("interface") != 0;
  auto interfaces = one ? std::vector{(**values)["interface"].as<std::string>()} : all_interfaces();
  std::vector<InterfaceStatus> found;
  for (const std::string& interface : interfaces) {
    auto decap = bpf::decap_status(interface);
    if (!decap) {
      return complain(kFailed, decap.error().message);
    }
    if (*decap) {
      std::vector<Prefix> vips;
      for (const bpf::DecapVip& vip : (*decap)->vips) {
        vips.push_back(vip.vip);
      }
      found.push_back({interface, std::move(**decap), local_delivery_warnings(interface, vips)});
    }
  }
  if ((**values).count("json") != 0) {
    Json json{{"interfaces", Json::array()}};
    for (const InterfaceStatus& one_status : found) {
      json["interfaces"].push_back(to_json(one_status));
    }
    fmt::print("{}\n", json.dump(2));
  } else {
    for (const InterfaceStatus& one_status : found) {
      print(one_status);
    }
  }
  if (found.empty()) {
    return complain(kNotAttached,
                    fmt::format("nothing is attached to {}", one ? interfaces[0] : "any interface"));
  }
  return kDone;
}

int detach(std::span<const std::string> words) {
  options::options_description known("sluice-backend detach: stop decapsulating and leave no trace");
  auto add = known.add_options();
  add("interface,i", options::value<std::string>()->required()->value_name("IF"), "where it was attached");
  add("help,h", "print this");
  auto values = parse(words, known);
  if (!values) {
    return complain(kWrongUsage, values.error().message);
  }
  if (!*values) {
    return kDone;
  }
  const auto& interface = (**values)["interface"].as<std::string>();
  auto detached = bpf::detach_decap(interface);
  if (!detached) {
    return complain(kFailed, detached.error().message);
  }
  fmt::print("{}: {}\n", interface, *detached ? "detached" : "nothing was attached");
  return kDone;
}

}  // namespace

int run_backend_cli(std::span<const std::string> words) {
  if (words.empty()) {
    fmt::print(stderr, "{}", kUsage);
    return kWrongUsage;
  }
  const std::string& command = words.front();
  if (command == "attach") {
    return attach(words);
  }
  if (command == "status") {
    return status(words);
  }
  if (command == "detach") {
    return detach(words);
  }
  if (command == "--help" || command == "-h" || command == "help") {
    fmt::print("{}", kUsage);
    return kDone;
  }
  return complain(kWrongUsage, fmt::format("no command {}; there are attach, status and detach", command));
}

}  // namespace sluice
