// sluicectl: asks a running sluiced, from a shell.
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "control/sluicectl.h"

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + (argc > 0), argv + argc);
  return sluice::run_sluicectl(words, {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1});
}
