#include "control/listening_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>

namespace sluice {

namespace {

/// Closes a descriptor at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string errno_text() {
  return std::strerror(errno);
}

std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::copy(path.begin(), path.end(), address.sun_path);
  return address;
}

/// An exclusive lock on the directory: between finding a socket file dead and replacing it nobody else may do
/// the same. The kernel gives it up when the process dies, and it leaves no lock file.
Result<void> lock_directory(int directory, const std::string& name) {
  constexpr int kTries = 40;
  for (int i = 0; i < kTries; ++i) {
    if (flock(directory, LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK) return fail(fmt::format("{}: cannot be locked: {}", name, errno_text()));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return fail(fmt::format("{}: locked by another process for 2 s; is another one starting?", name));
}

/// Removes a socket file that nobody listens on.
Result<void> remove_dead_socket(const std::string& path, const sockaddr_un& address, std::string_view field) {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return fail(fmt::format("{}: {}", path, errno_text()));
  }
  if (!S_ISSOCK(status.st_mode)) {
    return fail(fmt::format("{}: exists and is not a socket; move it away or set another {}", path, field));
  }
  const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const bool connected =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  if (connected || errno == EAGAIN) {  // EAGAIN: somebody listens, and has a full queue
    return fail(fmt::format("{}: another process listens there; stop it or set another {}", path, field));
  }
  if (errno != ECONNREFUSED) return fail(fmt::format("{}: {}", path, errno_text()));
  if (unlink(path.c_str()) != 0) {
    return fail(fmt::format("{}: a dead socket that cannot be removed: {}", path, errno_text()));
  }
  return {};
}

}  // namespace

Result<ListeningSocket> ListeningSocket::open(const std::string& path, std::string_view field) {
  const auto address = address_of(path);
  if (!address) {
    return fail(fmt::format("'{}': a socket path has 1 to {} bytes", path, sizeof address->sun_path - 1));
  }
  const std::filesystem::path directory = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  const Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() < 0) {
    return fail(
        fmt::format("{}: cannot be used for the control socket: {}", directory.string(), errno_text()));
  }
  if (auto locked = lock_directory(opened.get(), directory); !locked) return tl::unexpected(locked.error());
  if (auto removed = remove_dead_socket(path, *address, field); !removed)
    return tl::unexpected(removed.error());

  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // The file takes the socket's mode, less the umask: so at no moment it is open to more than 0660.
  constexpr mode_t kMode = S_IRUSR | S_IWUSR | S_IRGRP | S_IWGRP;
  if (listener.get() < 0 || fchmod(listener.get(), kMode) != 0 ||
      bind(listener.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0) {
    return fail(fmt::format("{}: cannot listen: {}", path, errno_text()));
  }
  struct stat status {};
  if (chmod(path.c_str(), kMode) != 0 || lstat(path.c_str(), &status) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    const std::string reason = errno_text();
    unlink(path.c_str());
    return fail(fmt::format("{}: cannot listen: {}", path, reason));
  }
  return ListeningSocket(listener.release(), path, status.st_dev, status.st_ino);
}

ListeningSocket ListeningSocket::adopt(int descriptor, const std::string& path) {
  struct stat status {};
  const bool there = lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode);
  return {descriptor, there ? path : "", status.st_dev, status.st_ino};
}

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

ListeningSocket::~ListeningSocket() {
  if (descriptor_ >= 0) close(descriptor_);
  remove_file();
}

int ListeningSocket::release_descriptor() {
  return std::exchange(descriptor_, -1);
}

void ListeningSocket::remove_file() {
  if (path_.empty()) return;
  struct stat status {};
  const bool ours = lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
  if (ours) unlink(path_.c_str());
  path_.clear();
}

}  // namespace sluice
