#include "control/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace sluice {

namespace {

constexpr size_t kPartBytes = 64u << 10;

/// A descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

AtomicFile::AtomicFile(std::string path, AtomicFileFault fault)
    : path_(std::move(path)), temporary_(path_ + ".new"), fault_(std::move(fault)) {}

AtomicFile::~AtomicFile() {
  if (staged_) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::failed(std::string_view what, const std::string& name, int error) const {
  return fail(fmt::format("{}: cannot be {}: {}", name, what, std::strerror(error)));
}

Result<void> AtomicFile::stage(std::string_view text) {
  const std::string directory = std::filesystem::path(path_).parent_path();
  std::error_code made;
  std::filesystem::create_directories(directory, made);
  if (made) return failed("made", directory, made.value());

  int error = fault(AtomicFileStep::kCreate);
  // What a process left that died in the middle is nobody's: it is written anew. Links are not followed.
  ::unlink(temporary_.c_str());
  const Descriptor file(
      error != 0 ? -1
                 : ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
  if (file.number() < 0) return failed("made", temporary_, error != 0 ? error : errno);
  staged_ = true;
  while (!text.empty()) {
    error = fault(AtomicFileStep::kWrite);
    const ssize_t written =
        error != 0 ? -1 : ::write(file.number(), text.data(), std::min(text.size(), kPartBytes));
    if (written < 0 && error == 0 && errno == EINTR) continue;
    if (written < 0) return failed("written", temporary_, error != 0 ? error : errno);
    text.remove_prefix(static_cast<size_t>(written));
  }
  error = fault(AtomicFileStep::kSync);
  if (error == 0 && ::fsync(file.number()) != 0) error = errno;
  if (error != 0) return failed("synced", temporary_, error);
  return {};
}

Result<void> AtomicFile::commit() {
  int error = fault(AtomicFileStep::kRename);
  if (error == 0 && ::rename(temporary_.c_str(), path_.c_str()) != 0) error = errno;
  if (error != 0) return failed("renamed", temporary_, error);
  staged_ = false;

  const std::string directory = std::filesystem::path(path_).parent_path();
  const Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  error = fault(AtomicFileStep::kSyncDirectory);
  if (error == 0 && (opened.number() < 0 || ::fsync(opened.number()) != 0)) error = errno;
  if (error != 0) return failed("synced", directory, error);
  return {};
}

}  // namespace sluice
