// Transcripts of sluicectl: command lines, and below each what the operator sees.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "control/sluicectl.h"
#include "tests/unit/file_text.h"

namespace sluice::test {

inline std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

/// Output, errors and, if it is not 0, the exit code of the command line "sluicectl --socket `socket`
/// `line`". FILES stands for `folder` in all of it.
inline std::string sluicectl_says(const std::string& line, const std::string& socket,
                                  const std::filesystem::path& folder) {
  std::vector<std::string> words{"--socket", socket};
  std::istringstream split(line);
  for (std::string word; split >> word;) words.push_back(replaced(word, "FILES", folder.string()));
  std::ostringstream out;
  std::ostringstream err;
  const int code = run_sluicectl(words, {out, err, false});
  const std::string text = replaced(out.str() + err.str(), folder.string(), "FILES");
  return code == 0 ? text : fmt::format("{}[exit {}]\n", text, code);
}

/// Whether the lines "$ ..." of a transcript, given to `run` one after the other, come out as it stands
/// there. With SLUICE_UPDATE_GOLDEN set it is written anew.
inline void expect_transcript(const std::string& path,
                              const std::function<std::string(const std::string&)>& run) {
  const std::string expected = text_of(path);
  std::istringstream lines(expected);
  std::string found;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("$ ")) found += line + '\n' + run(line.substr(2));
  }
  if (std::getenv("SLUICE_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << found;
    GTEST_SKIP() << "written anew";
  }
  EXPECT_EQ(found, expected);
}

}  // namespace sluice::test
