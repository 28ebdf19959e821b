// The verbs of sluicectl: to add one is to add one entry to the table.
#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>
#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "control/sluicectl.h"

namespace sluice {

/// What each verb needs: whom to ask, and where to write.
struct CtlContext {
  std::string socket;
  std::chrono::milliseconds timeout;
  CtlOutput output;
};

struct CtlVerb {
  std::string_view name;
  std::string_view help;  ///< one line
  void (*add_options)(boost::program_options::options_description& options);
  int (*run)(const CtlContext& context, const boost::program_options::variables_map& options);
};

std::span<const CtlVerb> sluicectl_verbs();

}  // namespace sluice
