#include "control/ctl_complete.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options/options_description.hpp>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "control/api_client.h"
#include "control/config_fields.h"
#include "control/log_settings.h"
#include "control/sluicectl_verbs.h"

namespace sluice {

namespace {

using Words = std::vector<std::string>;

/// Somebody waits with a finger on the tab key.
constexpr std::chrono::milliseconds kPatience{1000};

/// The command line without options, and the socket that they name.
struct Line {
  Words words;
  std::string socket;
  bool option_value = false;  ///< the last word is the value of an option
};

bool takes_value(std::string_view word) {
  return word == "--socket" || word == "--timeout" || word == "--color" || word == "--generation" ||
         word == "--count" || word == "--listener" || word == "--cluster" || word == "--peer" ||
         word == "--side" || word == "--limit" || word == "--from" || word == "--header" || word == "-H";
}

Line read_line(std::span<const std::string> words) {
  Line line;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with("--socket=")) line.socket = words[i].substr(9);
    if (takes_value(words[i]) && i + 1 < words.size()) {
      if (words[i] == "--socket") line.socket = words[i + 1];
      ++i;
      line.option_value = i + 1 == words.size();
    } else if (!words[i].starts_with('-')) {
      line.words.push_back(words[i]);
    }
  }
  if (line.socket.empty()) line.socket = ctl_default_socket(line.words.empty() ? "" : line.words[0]);
  return line;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    parts.push_back(text.substr(0, text.find(' ')));
    text.remove_prefix(std::min(text.size(), parts.back().size() + 1));
  }
  return parts;
}

/// The verb that `words` begin with, whole, or nullptr.
const CtlVerb* verb_of(const Words& words) {
  for (const CtlVerb& verb : sluicectl_verbs()) {
    const auto parts = split(verb.name);
    // The last word is still being written: it is behind the verb.
    if (words.size() > parts.size() && std::equal(parts.begin(), parts.end(), words.begin())) return &verb;
  }
  return nullptr;
}

Words names_at(const Line& line, const std::string& target, const char* list) {
  Words names;
  const auto answer = api_call(line.socket, "GET", target, "", kPatience);
  if (!answer || !answer->is_ok()) return names;
  const auto json = nlohmann::json::parse(answer->body, nullptr, false);
  if (!json.is_object() || !json.contains(list)) return names;
  for (const auto& item : json[list]) {
    const char* key = item.contains("name") ? "name" : "address";
    if (item.contains(key) && item[key].is_string()) names.push_back(item[key].get<std::string>());
  }
  return names;
}

Words endpoints_of(const Line& line, const std::string& cluster) {
  Words names;
  const auto answer =
      api_call(line.socket, "GET", fmt::format("/v1/clusters/{}", api_segment(cluster)), "", kPatience);
  const auto json = nlohmann::json::parse(answer ? answer->body : "", nullptr, false);
  if (!json.is_object() || !json.contains("clusters")) return names;
  for (const auto& endpoint : json["clusters"][0]["endpoints"])
    names.push_back(endpoint.value("endpoint", ""));
  return names;
}

/// "weight=", "health.kind=", for what `verb` is about.
Words fields_for(std::string_view verb) {
  const std::string_view prefix = verb.starts_with("vip")    ? "vips[]."
                                  : verb.starts_with("pool") ? "pools[]."
                                                             : "pools[].backends[].";
  Words fields;
  for (const ConfigField& field : config_fields()) {
    if (!field.path.starts_with(prefix)) continue;
    const std::string_view key = field.path.substr(prefix.size());
    const bool inner = key.find("[]") != key.npos || key == "name" || key == "backends";
    if (!inner && !field.accepted.starts_with("a map")) fields.push_back(fmt::format("{}=", key));
  }
  return fields;
}

Words arguments_for(const Line& line, const CtlVerb& verb) {
  const auto arguments = split(verb.arguments);
  const size_t given = line.words.size() - split(verb.name).size() - 1;
  if (arguments.empty() ||
      (given >= arguments.size() && !verb.arguments.ends_with("...") && !verb.arguments.ends_with("...]"))) {
    return {};
  }
  std::string_view wanted = arguments[std::min(given, arguments.size() - 1)];
  if (wanted.starts_with('[')) wanted.remove_prefix(1);
  if (wanted.starts_with("VIP")) return names_at(line, "/v1/vips", "vips");
  if (wanted.starts_with("POOL")) return names_at(line, "/v1/pools", "pools");
  if (wanted.starts_with("BACKEND")) {
    const std::string& pool = line.words[line.words.size() - 2];
    return names_at(line, fmt::format("/v1/pools/{}/backends", api_segment(pool)), "backends");
  }
  if (wanted.starts_with("CLUSTER")) return names_at(line, "/v1/clusters", "clusters");
  if (wanted.starts_with("ENDPOINT")) return endpoints_of(line, line.words[line.words.size() - 2]);
  if (wanted.starts_with("LEVEL")) return {kLogLevelNames.begin(), kLogLevelNames.end()};
  if (wanted.starts_with("FIELD")) return fields_for(verb.name);
  return {};
}

Words option_names(const CtlVerb* verb) {
  Words names{"--socket", "--timeout", "--color", "--help", "--version"};
  if (verb == nullptr) return names;
  boost::program_options::options_description options;
  verb->add_options(options);
  for (const auto& option : options.options()) names.push_back("--" + option->long_name());
  return names;
}

/// The next word of each verb that begins as the line does.
Words next_verb_words(const Words& before) {
  std::set<std::string> next;
  for (const CtlVerb& verb : sluicectl_verbs()) {
    const auto parts = split(verb.name);
    if (parts.size() > before.size() && std::equal(before.begin(), before.end(), parts.begin())) {
      next.emplace(parts[before.size()]);
    }
  }
  return {next.begin(), next.end()};
}

}  // namespace

std::vector<std::string> ctl_completions(std::span<const std::string> words) {
  if (words.empty()) return {};
  const std::string& unfinished = words.back();
  const Line line = read_line(words);
  if (line.option_value) return {};
  Words candidates;
  if (unfinished.starts_with('-')) {
    Words with_end = line.words;
    with_end.emplace_back();
    candidates = option_names(verb_of(with_end));
  } else if (const CtlVerb* verb = verb_of(line.words)) {
    candidates = arguments_for(line, *verb);
  } else {
    candidates = next_verb_words({line.words.begin(), line.words.end() - 1});
  }
  std::erase_if(candidates, [&](const std::string& word) { return !word.starts_with(unfinished); });
  std::sort(candidates.begin(), candidates.end());
  return candidates;
}

}  // namespace sluice
