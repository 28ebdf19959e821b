#include "control/proxy/file_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>

namespace sluice::control {
namespace {

namespace fs = std::filesystem;

// Writers do several things in a row: what they leave behind is what counts.
constexpr std::chrono::milliseconds kSettle{30};
constexpr int kMostLinks = 40;  // as path_resolution(7)
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                             IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
constexpr uint32_t kOfDirectory = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED;

}  // namespace

std::map<std::string, std::set<std::string>> names_on_the_way(const std::string& path) {
  std::map<std::string, std::set<std::string>> names;
  std::deque<fs::path> rest;
  for (const fs::path& part : fs::path(path).relative_path()) rest.push_back(part);
  fs::path directory = "/";
  int links = 0;
  while (!rest.empty()) {
    const fs::path name = rest.front();
    rest.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      directory = directory.parent_path();
      continue;
    }
    std::error_code error;
    const fs::file_status status = fs::symlink_status(directory / name, error);
    const bool is_link = status.type() == fs::file_type::symlink;
    const bool is_directory = status.type() == fs::file_type::directory;
    if (!is_directory || rest.empty()) names[directory.string()].insert(name.string());
    if (is_link) {
      const fs::path target = fs::read_symlink(directory / name, error);
      if (error || ++links > kMostLinks) break;
      if (target.is_absolute()) directory = "/";
      const fs::path parts = target.relative_path();
      rest.insert(rest.begin(), parts.begin(), parts.end());
    } else if (is_directory) {
      directory /= name;
    } else {
      break;
    }
  }
  return names;
}

FileWatch::FileWatch(boost::asio::io_context& io, std::function<void()> on_change)
    : on_change_(std::move(on_change)), inotify_(io), settle_(io) {}

Result<void> FileWatch::open() {
  if (inotify_.is_open()) return {};
  const int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) {
    return fail(
        fmt::format("files cannot be watched: inotify_init1: {}; raise sysctl "
                    "fs.inotify.max_user_instances",
                    std::strerror(errno)));
  }
  inotify_.assign(fd);
  read_events();
  return {};
}

Result<void> FileWatch::watch(std::vector<std::string> paths) {
  paths_ = std::move(paths);
  if (paths_.empty() && !inotify_.is_open()) return {};
  if (auto opened = open(); !opened) return opened;
  return follow();
}

// What a name leads to may change while the way is looked at. So it is looked at once more when the watches
// are there: then an event tells of whatever comes later.
Result<void> FileWatch::follow() {
  Result<void> result;
  const auto ways = [this] {
    std::map<std::string, std::set<std::string>> all;
    for (const std::string& path : paths_) {
      for (auto& [directory, names] : names_on_the_way(path)) all[directory].merge(names);
    }
    return all;
  };
  constexpr int kRounds = 5;
  auto wanted = ways();
  for (int round = 0; round < kRounds; ++round) {
    std::map<int, Directory> now;
    for (const auto& [directory, names] : wanted) {
      const int watch = inotify_add_watch(inotify_.native_handle(), directory.c_str(), kEvents);
      if (watch >= 0) {
        now[watch] = {directory, names};
      } else if (errno != ENOENT && errno != ENOTDIR) {
        result = fail(fmt::format("{} cannot be watched: {}{}", directory, std::strerror(errno),
                                  errno == ENOSPC ? "; raise sysctl fs.inotify.max_user_watches" : ""));
      }
    }
    for (const auto& [watch, unused] : directories_) {
      if (!now.contains(watch)) inotify_rm_watch(inotify_.native_handle(), watch);
    }
    directories_ = std::move(now);
    auto again = ways();
    if (again == wanted) break;
    wanted = std::move(again);
  }
  return result;
}

void FileWatch::read_events() {
  inotify_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this, alive = std::weak_ptr(alive_)](const auto& error) {
                        if (error || alive.expired()) return;
                        if (take_events()) schedule();
                        read_events();
                      });
}

/// Whether any of them is about one of the names.
bool FileWatch::take_events() {
  alignas(inotify_event) std::array<char, 16 << 10> buffer;
  bool concerns_us = false;
  while (true) {
    const ssize_t length = ::read(inotify_.native_handle(), buffer.data(), buffer.size());
    if (length <= 0) return concerns_us;
    for (size_t at = 0; at < static_cast<size_t>(length);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof(event));
      const char* name = buffer.data() + at + sizeof(event);
      at += sizeof(event) + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        concerns_us = true;
        continue;
      }
      const auto directory = directories_.find(event.wd);
      if (directory == directories_.end()) continue;  // watched no longer
      concerns_us = concerns_us || (event.mask & kOfDirectory) != 0 ||
                    (event.len > 0 && directory->second.names.contains(name));
      if ((event.mask & IN_IGNORED) != 0) directories_.erase(directory);
    }
  }
}

void FileWatch::schedule() {
  if (is_scheduled_) return;
  is_scheduled_ = true;
  settle_.expires_after(kSettle);
  settle_.async_wait([this, alive = std::weak_ptr(alive_)](const auto& cancelled) {
    if (cancelled || alive.expired()) return;
    is_scheduled_ = false;
    // An error has been told by watch(); what cannot be watched is read now at least.
    (void)follow();
    on_change_();
  });
}

}  // namespace sluice::control
