// The pages of docs/, for tests that hold them against the code.
#pragma once

#include <map>
#include <sstream>
#include <string>

#include "tests/unit/file_text.h"

namespace sluice::test {

inline const std::string kDocs = SLUICE_SOURCE_DIR "/docs/";

/// The rows of the tables of a page, by what stands in `backquotes` at the beginning of their first cell.
inline std::map<std::string, std::string> documented_rows(const std::string& page) {
  std::map<std::string, std::string> rows;
  std::istringstream lines(text_of(kDocs + page));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `")) rows[line.substr(3, line.find('`', 3) - 3)] = line;
  }
  return rows;
}

}  // namespace sluice::test
