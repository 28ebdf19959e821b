// sluicectl: asks a running sluiced, from a shell.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "control/sluicectl.h"

namespace {

/// What https://no-color.org and terminals without escape sequences ask for.
bool wants_no_colour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (no_color != nullptr && *no_color != '\0') ||
         (terminal != nullptr && std::string(terminal) == "dumb");
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0), argv + argc);
  return sluice::run_sluicectl(words, {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1, wants_no_colour()});
}
