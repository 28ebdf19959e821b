// What a session under test has written and told since it was last asked, in the notation of README.md, and
// the comparison with what a case expects.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "tests/frames/frame_text.h"

namespace sluice::l7 {

class Happenings {
 public:
  /// What the session has written at once. Pieces of a body that follow each other become one: where it was
  /// cut is nobody's business.
  void add_frames(std::vector<Frame> frames);
  /// An event `brief`, also known as `full`; `reason` is what its report gives as such.
  void add_event(std::string brief, std::string full = {}, std::string reason = {});
  /// The same for a piece of a body, which goes on where an earlier piece ended.
  void add_data(uint32_t stream, std::span<const uint8_t> data, bool end_stream);
  void clear();

  /// Each takes the next one, and throws std::runtime_error unless it is `expected` in the brief or the full
  /// form, with a reason that contains `reason`.
  void expect_frame(const std::string& expected, const std::string& reason = {});
  void expect_event(const std::string& expected, const std::string& reason = {});
  /// The event that words from `from` on describe; a quoted word is the reason of one that has a reason.
  void expect_event(const std::vector<Word>& words, size_t from);
  /// The next frame in full; throws std::runtime_error if there is none.
  const std::string& next_frame() const;
  /// Throws std::runtime_error if something has happened that nobody expected.
  void nothing_left() const;

 private:
  struct Seen {
    std::string brief;
    std::string full;
    std::string reason;
  };

  static void match(std::deque<Seen>& seen, const char* what, const std::string& expected,
                    const std::string& reason);

  std::deque<Seen> frames_;
  std::deque<Seen> events_;
  std::string data_text_;  ///< of the last event, while it is a body that may go on
};

}  // namespace sluice::l7
