// Runs the cases in tests/frames/*.txt: frames in, frames and events out. README.md there is the notation.
//
// Each case runs twice: with each frame in one piece, and byte by byte. Both must say the same.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <fstream>

#include "tests/frames/play.h"

namespace sluice::l7 {
namespace {

class FrameCase : public testing::Test {
 public:
  FrameCase(const Case& play, bool byte_by_byte) : case_(play), byte_by_byte_(byte_by_byte) {}
  void TestBody() override {
    try {
      run_case(case_, byte_by_byte_);
    } catch (const std::exception& problem) {
      FAIL() << case_.name << "\n" << problem.what();
    }
  }

 private:
  const Case& case_;
  bool byte_by_byte_;
};

std::deque<Case> read_cases(const std::filesystem::path& path) {
  std::deque<Case> cases;
  std::ifstream file(path);
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    const size_t from = text.find_first_not_of(' ');
    if (from == std::string::npos || text[from] == '#') continue;
    if (text.starts_with("case ")) {
      cases.push_back({text.substr(5), path.filename(), number, {}});
    } else if (cases.empty()) {
      throw std::runtime_error(fmt::format("{}:{}: a line before the first case", path.string(), number));
    } else {
      cases.back().lines.push_back({number, words_of(text)});
    }
  }
  return cases;
}

std::string test_name(const std::string& text) {
  std::string name;
  for (const char c : text) name.push_back(std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_');
  return name;
}

}  // namespace
}  // namespace sluice::l7

int main(int argc, char** argv) {
  using namespace sluice::l7;
  testing::InitGoogleTest(&argc, argv);
  static std::deque<Case> cases;
  for (const auto& entry : std::filesystem::directory_iterator(SLUICE_SOURCE_DIR "/tests/frames")) {
    if (entry.path().extension() != ".txt") continue;
    for (Case& read : read_cases(entry.path())) cases.push_back(std::move(read));
  }
  if (cases.empty()) return 1;
  for (const Case& one : cases) {
    const std::string suite = std::filesystem::path(one.file).stem();
    for (const bool byte_by_byte : {false, true}) {
      const std::string name = test_name(one.name) + (byte_by_byte ? "__byte_by_byte" : "");
      testing::RegisterTest(suite.c_str(), name.c_str(), nullptr, nullptr, one.file.c_str(), one.line,
                            [&one, byte_by_byte] { return new FrameCase(one, byte_by_byte); });
    }
  }
  return RUN_ALL_TESTS();
}
