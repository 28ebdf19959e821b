// One case of tests/frames/*.txt played against one session: it is the session's owner and its peer.
#pragma once

#include <string>
#include <vector>

#include "tests/frames/frame_text.h"

namespace sluice::l7 {

struct Line {
  int number;
  std::vector<Word> words;
};
struct Case {
  std::string name;  ///< section and behaviour
  std::string file;
  int line;
  std::vector<Line> lines;
};

/// Plays `play`, handing over each frame in one piece or `byte_by_byte`. Throws std::runtime_error with the
/// place and what is wrong there.
void run_case(const Case& play, bool byte_by_byte);

}  // namespace sluice::l7
