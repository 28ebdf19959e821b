// The verbs of sluicectl: to add one is to add one entry to the table.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/sluicectl.h"

namespace sluice {

/// What each verb needs: whom to ask, and where to write.
struct CtlContext {
  std::string socket;
  std::chrono::milliseconds timeout;
  CtlOutput output;
  std::vector<std::string> words;  ///< behind the verb: as many as its `arguments` ask for
  bool colour = false;             ///< states are shown in colours
};

struct CtlVerb {
  std::string_view name;  ///< one word, or two: "backend drain"
  std::string_view help;  ///< one line
  void (*add_options)(boost::program_options::options_description& options);
  int (*run)(const CtlContext& context, const boost::program_options::variables_map& options);
  /// The words it takes, in capitals: "POOL BACKEND", "[FILE]" if it may be absent, "FIELD=VALUE..." for one
  /// or more. Completion knows VIP, POOL, BACKEND, LEVEL and FIELD=VALUE.
  std::string_view arguments = {};
};

std::span<const CtlVerb> sluicectl_verbs();

/// The control socket of the program that a line with that first word is for.
std::string ctl_default_socket(std::string_view first_word);

/// Writes one line of error; returns `code`.
int ctl_fail(const CtlContext& context, CtlExit code, std::string_view message);

}  // namespace sluice
