#include "control/proxy/successor.h"

#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>

extern char** environ;

namespace sluice {
namespace {

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

Result<pid_t> Successor::start(const std::string& notify_socket) {
  if (pid_ != 0)
    return fail(fmt::format("pid {} has been started for it already; wait for it, or end it", pid_));
  std::vector<std::string> words{program_};
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.emplace_back(*variable);
  if (!notify_socket.empty()) variables.push_back("NOTIFY_SOCKET=" + notify_socket);
  const auto argv = pointers(words);
  const auto envp = pointers(variables);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t ignored_here;
  sigemptyset(&ignored_here);
  sigaddset(&ignored_here, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &ignored_here);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawn(&pid_, program_.c_str(), nullptr, &attributes, argv.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    pid_ = 0;
    return fail(
        fmt::format("{}: {}{}", program_, std::strerror(error),
                    error == EACCES ? "; the user that this process runs as must be able to run it" : ""));
  }
  return pid_;
}

std::optional<std::string> Successor::end() {
  int status = 0;
  if (pid_ == 0 || waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                             : fmt::format("exit status {}", WEXITSTATUS(status));
}

std::string program_path() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  return {path.data(), length > 0 ? static_cast<size_t>(length) : 0};
}

}  // namespace sluice
