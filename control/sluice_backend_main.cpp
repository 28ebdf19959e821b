// sluice-backend: decapsulation on a backend, attached, watched and detached.
#include <string>
#include <vector>

#include "control/backend_cli.h"

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + (argc > 0), argv + argc);
  return sluice::run_backend_cli(words);
}
