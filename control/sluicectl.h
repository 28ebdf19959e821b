// The command line of sluicectl. docs/sluicectl.md describes it.
#pragma once

#include <ostream>
#include <span>
#include <string>

namespace sluice {

enum CtlExit : int {
  kCtlOk = 0,
  kCtlServerError = 1,  ///< sluiced answered with an error
  kCtlUsage = 2,        ///< wrong command line
  kCtlUnreachable = 3,  ///< no answer from sluiced
  kCtlDiffers = 4,      ///< config diff: there are differences
  kCtlStale = 5,        ///< somebody else has changed the services in between
  kCtlFlowsLeft = 6,    ///< backend drain --wait: the time was up, and there were flows left
};

/// Where results and errors go. On a terminal, --watch redraws the screen and states have colours; elsewhere
/// nothing but text is written, unless --color=always.
struct CtlOutput {
  std::ostream& out;
  std::ostream& err;
  bool is_terminal = false;
  bool no_colour = false;  ///< the user wants none, as the environment says: no colour even on a terminal
};

/// Runs one command, `words` being those behind the program's name. Returns a CtlExit. Errors are one line.
int run_sluicectl(std::span<const std::string> words, const CtlOutput& output);

}  // namespace sluice
