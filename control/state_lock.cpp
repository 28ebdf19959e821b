#include "control/state_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace sluice {

namespace {

/// The pid that its holder has written; "" if there is none yet.
std::string holder(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t length = pread(descriptor, text.data(), text.size(), 0);
  const std::string_view written(text.data(), length > 0 ? static_cast<size_t>(length) : 0);
  return std::string(written.substr(0, written.find('\n')));
}

}  // namespace

Result<StateLock> StateLock::take(const std::string& state_dir) {
  const std::string path = state_dir + "/lock";
  std::error_code error;
  std::filesystem::create_directories(state_dir, error);
  if (error) return StateLock(-1, fmt::format("{}: cannot be made: {}", state_dir, error.message()));
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (descriptor < 0) return StateLock(-1, fmt::format("{}: {}", path, std::strerror(errno)));
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    const int failure = errno;
    const std::string pid = holder(descriptor);
    ::close(descriptor);
    if (failure != EWOULDBLOCK) return StateLock(-1, fmt::format("{}: {}", path, std::strerror(failure)));
    return fail(fmt::format("{}: in use by another sluiced{}; stop it or set another node.state_dir",
                            state_dir, pid.empty() ? "" : fmt::format(", pid {}", pid)));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  // For people only: without it the lock holds as well.
  if (ftruncate(descriptor, 0) == 0) (void)!pwrite(descriptor, pid.data(), pid.size(), 0);
  return StateLock(descriptor, "");
}

StateLock::~StateLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace sluice
