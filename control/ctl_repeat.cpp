#include "control/ctl_repeat.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <sstream>
#include <thread>

namespace sluice {

namespace {

namespace po = boost::program_options;

constexpr double kShortestWatchSeconds = 0.1;
constexpr double kLongestWatchSeconds = 86400;

/// One turn of many. In one piece, so that a terminal does not flicker.
int show_turn(const CtlContext& context, bool json, const std::function<int(const CtlContext&)>& show) {
  std::ostringstream text;
  const CtlOutput output{text, context.output.err, context.output.is_terminal};
  const int code = show({context.socket, context.timeout, output, context.words, context.colour});
  if (code != kCtlOk) return code;
  std::ostream& out = context.output.out;
  if (json) {
    out << text.str();
  } else {
    // Home and clear: the terminal's scroll-back stays as it is.
    const bool redraw = context.output.is_terminal;
    out << (redraw ? "\033[H\033[J" : "")
        << fmt::format("{:%Y-%m-%d %H:%M:%S}\n\n", fmt::localtime(std::time(nullptr))) << text.str()
        << (redraw ? "" : "\n");
  }
  out.flush();
  return kCtlOk;
}

}  // namespace

void add_repeat_options(po::options_description& options, const char* watch_help) {
  options.add_options()("watch", po::value<double>()->implicit_value(1)->value_name("SECONDS"), watch_help)(
      "count", po::value<unsigned>()->value_name("N"), "with --watch: stop after N times");
}

void add_view_options(po::options_description& options) {
  options.add_options()("json", "the server's answer as one line of JSON");
  add_repeat_options(options, "repeat, every second or as told");
}

int ctl_repeat(const CtlContext& context, const po::variables_map& options,
               const std::function<int(const CtlContext&)>& show) {
  if (options.count("watch") == 0) {
    if (options.count("count") > 0)
      return ctl_fail(context, kCtlUsage, "--count is accepted with --watch only");
    return show(context);
  }
  const double seconds = options["watch"].as<double>();
  if (!(seconds >= kShortestWatchSeconds && seconds <= kLongestWatchSeconds)) {
    return ctl_fail(context, kCtlUsage,
                    fmt::format("--watch: found {:g}; accepted: {:g} to {:g} seconds", seconds,
                                kShortestWatchSeconds, kLongestWatchSeconds));
  }
  const uint64_t times = options.count("count") > 0 ? options["count"].as<unsigned>() : UINT64_MAX;
  auto next = std::chrono::steady_clock::now();
  for (uint64_t shown = 0; shown < times && context.output.out; ++shown) {
    std::this_thread::sleep_until(next);
    next = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::lround(seconds * 1000));
    if (const int code = show_turn(context, options.count("json") > 0, show); code != kCtlOk) return code;
  }
  return kCtlOk;
}

}  // namespace sluice
