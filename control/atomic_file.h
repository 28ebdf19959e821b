// Replaces a file's content so that, whatever happens at whatever moment, the file holds either the old
// content or the new one, whole: a temporary file is written and synced, renamed over the old one, and the
// directory is synced.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice {

/// What is about to happen, in this order; kWrite comes once for each part of a long text.
enum class AtomicFileStep { kCreate, kWrite, kSync, kRename, kSyncDirectory };

/// For tests: called before each step. What it returns, if not 0, is taken for the errno of that step.
using AtomicFileFault = std::function<int(AtomicFileStep)>;

/// One replacement. stage() does what can fail for lack of space or permission and changes nothing that a
/// reader sees; commit() makes it so. Between the two the caller can do what must not happen without the
/// file.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path, AtomicFileFault fault = {});
  /// Removes what was staged and not committed.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Writes and syncs `path`.new, readable by its owner and group. Missing directories are made. Errors: the
  /// step, the file and the reason, in one line.
  Result<void> stage(std::string_view text);
  /// Renames the staged file over `path` and syncs the directory. With an Error from the last step the new
  /// content is in place, but a power cut may still bring the old one back.
  Result<void> commit();

 private:
  Result<void> failed(std::string_view what, const std::string& name, int error) const;
  /// The errno that a test wants for `step`, or 0.
  int fault(AtomicFileStep step) const { return fault_ ? fault_(step) : 0; }

  std::string path_;
  std::string temporary_;
  AtomicFileFault fault_;
  bool staged_ = false;
};

}  // namespace sluice
