#include "control/sluicectl.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <cmath>
#include <regex>
#include <sstream>
#include <utility>
#include <vector>

#include "control/ctl_complete.h"
#include "control/ctl_repeat.h"
#include "control/sluicectl_verbs.h"

namespace sluice {

namespace {

namespace po = boost::program_options;
using Words = std::vector<std::string>;

constexpr double kLongestTimeoutSeconds = 3600;
constexpr unsigned kLineLength = 100;

po::options_description global_options() {
  po::options_description options("Options for all verbs", kLineLength);
  options.add_options()(
      "socket", po::value<std::string>()->value_name("PATH"),
      "control socket: of sluiced, /run/sluice/control.sock; of proxy verbs, /run/sluice-proxy/proxy.sock")(
      "timeout", po::value<double>()->default_value(5, "5")->value_name("SECONDS"),
      "wait so long for an answer")(
      "color", po::value<std::string>()->default_value("auto")->value_name("WHEN"),
      "colours: auto, always or never; auto: on a terminal, unless NO_COLOR is set")(
      "help", "show this text")("version", "show the version");
  return options;
}

std::string usage_of(const CtlVerb& verb) {
  return fmt::format("{}{}{}", verb.name, verb.arguments.empty() ? "" : " ", verb.arguments);
}

std::string help_text() {
  fmt::memory_buffer text;
  const auto out = fmt::appender(text);
  fmt::format_to(out, "Usage: sluicectl [--socket PATH] VERB [OPTIONS]\n\nVerbs:\n");
  for (const CtlVerb& verb : sluicectl_verbs())
    fmt::format_to(out, "  {:<40}{}\n", usage_of(verb), verb.help);
  const auto add = [&](const po::options_description& options) {
    std::ostringstream description;
    description << options;
    fmt::format_to(out, "\n{}", description.str());
  };
  add(global_options());
  // Verbs of one kind share their options, and one listing does for all of them.
  std::vector<std::pair<decltype(CtlVerb::add_options), std::string>> listings;
  for (const CtlVerb& verb : sluicectl_verbs()) {
    const auto same = std::find_if(listings.begin(), listings.end(),
                                   [&](const auto& listing) { return listing.first == verb.add_options; });
    if (same == listings.end()) {
      listings.emplace_back(verb.add_options, verb.name);
    } else {
      same->second += fmt::format(", {}", verb.name);
    }
  }
  for (const auto& [add_options, names] : listings) {
    po::options_description options(fmt::format("Options of {}", names), kLineLength);
    add_options(options);
    add(options);
  }
  fmt::format_to(
      out,
      "\nExit codes: {} done, {} the server answered with an error, {} wrong command line, "
      "{} no answer from the server, {} config diff found differences, {} changed by somebody else in "
      "between, {} drain --wait: flows or requests were left\n",
      int{kCtlOk}, int{kCtlServerError}, int{kCtlUsage}, int{kCtlUnreachable}, int{kCtlDiffers},
      int{kCtlStale}, int{kCtlFlowsLeft});
  return fmt::to_string(text);
}

/// The words that are neither options nor the values of global ones.
Words bare_words(std::span<const std::string> words) {
  Words bare;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--socket" || words[i] == "--timeout" || words[i] == "--color") {
      ++i;
    } else if (!words[i].starts_with('-')) {
      bare.push_back(words[i]);
    }
  }
  return bare;
}

size_t word_count(std::string_view text) {
  return text.empty() ? 0 : static_cast<size_t>(std::count(text.begin(), text.end(), ' ')) + 1;
}

/// The verb of one or two words that the line begins with, or nullptr.
const CtlVerb* find_verb(const Words& bare) {
  for (const CtlVerb& verb : sluicectl_verbs()) {
    const size_t count = word_count(verb.name);
    if (bare.size() >= count &&
        verb.name == fmt::format("{}", fmt::join(bare.begin(), bare.begin() + count, " "))) {
      return &verb;
    }
  }
  return nullptr;
}

std::string no_such_verb(const Words& bare) {
  std::string known;
  for (const CtlVerb& verb : sluicectl_verbs()) {
    if (verb.name.starts_with(bare[0] + ' ')) known += (known.empty() ? "" : ", ") + std::string(verb.name);
  }
  if (known.empty()) return fmt::format("no such verb '{}'", bare[0]);
  if (bare.size() == 1) return fmt::format("'{}' alone is no verb; accepted: {}", bare[0], known);
  return fmt::format("no such verb '{} {}'; accepted: {}", bare[0], bare[1], known);
}

/// Whether so many words are what the verb's `arguments` ask for.
bool takes(const CtlVerb& verb, size_t count) {
  const size_t most = word_count(verb.arguments);
  const bool any_more = verb.arguments.find("...") != std::string_view::npos;
  const auto optional = static_cast<size_t>(std::count(verb.arguments.begin(), verb.arguments.end(), '['));
  return count >= most - optional && (any_more || count <= most);
}

/// program_options takes an optional value only as "--watch=5": makes that of "--watch 5", and of "--wait
/// 5m".
Words with_optional_values(std::span<const std::string> words) {
  Words joined;
  for (const std::string& word : words) {
    const bool number = !word.empty() && word.find_first_not_of("0123456789.") == std::string::npos;
    static const std::regex duration("[0-9]+(ms|s|m|h)?");
    const std::string before = joined.empty() ? "" : joined.back();
    if ((number && before == "--watch") || (before == "--wait" && std::regex_match(word, duration))) {
      joined.back() += '=' + word;
    } else {
      joined.push_back(word);
    }
  }
  return joined;
}

/// Parses with the options of `verb`, or with the global ones alone. Throws po::error.
po::variables_map parse(std::span<const std::string> words, const CtlVerb* verb) {
  po::options_description options = global_options();
  po::options_description hidden;
  hidden.add_options()("words", po::value<Words>());
  options.add(hidden);
  if (verb) verb->add_options(options);
  po::positional_options_description positional;
  positional.add("words", -1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map parsed;
  po::store(po::command_line_parser(with_optional_values(words))
                .options(options)
                .positional(positional)
                .style(style)
                .run(),
            parsed);
  po::notify(parsed);
  return parsed;
}

int usage_error(const CtlOutput& output, std::string_view message) {
  output.err << "sluicectl: " << message << "; see sluicectl --help\n";
  return kCtlUsage;
}

}  // namespace

int run_sluicectl(std::span<const std::string> words, const CtlOutput& output) {
  if (!words.empty() && words[0] == "__complete") {
    for (const std::string& word : ctl_completions(words.subspan(1))) output.out << word << '\n';
    return kCtlOk;
  }
  const Words bare = bare_words(words);
  const CtlVerb* verb = find_verb(bare);
  if (!bare.empty() && verb == nullptr) return usage_error(output, no_such_verb(bare));

  po::variables_map options;
  try {
    options = parse(words, verb);
  } catch (const po::error& error) {
    return usage_error(output, error.what());
  }
  if (options.count("help")) {
    output.out << help_text();
    return kCtlOk;
  }
  if (options.count("version")) {
    output.out << "sluicectl " SLUICE_VERSION "\n";
    return kCtlOk;
  }
  if (verb == nullptr) return usage_error(output, "which verb?");
  const double timeout = options["timeout"].as<double>();
  if (!(timeout > 0 && timeout <= kLongestTimeoutSeconds)) {
    return usage_error(output, fmt::format("--timeout: found {:g}; accepted: up to {:g} seconds", timeout,
                                           kLongestTimeoutSeconds));
  }
  auto arguments = options["words"].as<Words>();
  arguments.erase(arguments.begin(), arguments.begin() + static_cast<ptrdiff_t>(word_count(verb->name)));
  if (!takes(*verb, arguments.size()))
    return usage_error(output, fmt::format("usage: sluicectl {}", usage_of(*verb)));
  const std::string& when = options["color"].as<std::string>();
  if (when != "auto" && when != "always" && when != "never") {
    return usage_error(output, fmt::format("--color: found '{}'; accepted: auto, always, never", when));
  }
  const std::string socket = options.count("socket") > 0
                                 ? options["socket"].as<std::string>()
                                 : ctl_default_socket(verb->name.substr(0, verb->name.find(' ')));
  const CtlContext context{socket, std::chrono::milliseconds(std::max(1L, std::lround(timeout * 1000))),
                           output, std::move(arguments),
                           when == "always" || (when == "auto" && output.is_terminal && !output.no_colour)};
  if (verb->add_options != add_view_options) return verb->run(context, options);
  return ctl_repeat(context, options, [&](const CtlContext& turn) { return verb->run(turn, options); });
}

}  // namespace sluice
