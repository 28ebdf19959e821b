#include "control/sluicectl.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>
#include <cmath>
#include <optional>
#include <sstream>
#include <vector>

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
      "socket", po::value<std::string>()->default_value("/run/sluice/control.sock")->value_name("PATH"),
      "control socket of sluiced")(
      "timeout", po::value<double>()->default_value(5, "5")->value_name("SECONDS"),
      "wait so long for an answer")("help", "show this text")("version", "show the version");
  return options;
}

std::string help_text() {
  fmt::memory_buffer text;
  const auto out = fmt::appender(text);
  fmt::format_to(out, "Usage: sluicectl [--socket PATH] VERB [OPTIONS]\n\nVerbs:\n");
  for (const CtlVerb& verb : sluicectl_verbs()) fmt::format_to(out, "  {:<10}{}\n", verb.name, verb.help);
  const auto add = [&](const po::options_description& options) {
    std::ostringstream description;
    description << options;
    fmt::format_to(out, "\n{}", description.str());
  };
  add(global_options());
  for (const CtlVerb& verb : sluicectl_verbs()) {
    po::options_description options(fmt::format("Options of {}", verb.name), kLineLength);
    verb.add_options(options);
    add(options);
  }
  fmt::format_to(out,
                 "\nExit codes: {} done, {} sluiced answered with an error, {} wrong command line, "
                 "{} no answer from sluiced\n",
                 int{kCtlOk}, int{kCtlServerError}, int{kCtlUsage}, int{kCtlUnreachable});
  return fmt::to_string(text);
}

/// The first word that is neither an option nor the value of a global one.
std::optional<std::string> find_verb(std::span<const std::string> words) {
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--socket" || words[i] == "--timeout") {
      ++i;
    } else if (!words[i].starts_with('-')) {
      return words[i];
    }
  }
  return std::nullopt;
}

/// program_options takes an optional value only as "--watch=5": makes that of "--watch 5".
Words with_optional_values(std::span<const std::string> words) {
  Words joined;
  for (const std::string& word : words) {
    const bool number = !word.empty() && word.find_first_not_of("0123456789.") == std::string::npos;
    if (number && !joined.empty() && joined.back() == "--watch") {
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
  hidden.add_options()("verb", po::value<std::string>());
  options.add(hidden);
  if (verb) verb->add_options(options);
  po::positional_options_description positional;
  positional.add("verb", 1);
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
  const auto name = find_verb(words);
  const auto verbs = sluicectl_verbs();
  const auto verb = std::find_if(verbs.begin(), verbs.end(),
                                 [&](const CtlVerb& candidate) { return name == candidate.name; });
  if (name && verb == verbs.end()) return usage_error(output, fmt::format("no such verb '{}'", *name));

  po::variables_map options;
  try {
    options = parse(words, name ? &*verb : nullptr);
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
  if (!name) return usage_error(output, "which verb?");
  const double timeout = options["timeout"].as<double>();
  if (!(timeout > 0 && timeout <= kLongestTimeoutSeconds)) {
    return usage_error(output, fmt::format("--timeout: found {:g}; accepted: up to {:g} seconds", timeout,
                                           kLongestTimeoutSeconds));
  }
  const CtlContext context{options["socket"].as<std::string>(),
                           std::chrono::milliseconds(std::max(1L, std::lround(timeout * 1000))), output};
  return verb->run(context, options);
}

}  // namespace sluice
