#include "control/health/external_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

namespace sluice::control {

namespace {

constexpr size_t kMaxOutput = 4096;  ///< more is read and forgotten

/// The environment of the program: ours without what we set, and what we set.
std::vector<std::string> environment_for(const HealthTarget& target) {
  std::vector<std::string> environment = {fmt::format("SLUICE_POOL={}", target.pool),
                                          fmt::format("SLUICE_BACKEND={}", target.backend),
                                          fmt::format("SLUICE_ADDRESS={}", target.address.to_string()),
                                          fmt::format("SLUICE_PORT={}", target.port)};
  const size_t ours = environment.size();
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('='));
    bool replaced = false;
    for (size_t i = 0; i < ours; ++i) {
      replaced = replaced || std::string_view(environment[i]).starts_with(fmt::format("{}=", name));
    }
    if (!replaced) environment.emplace_back(text);
  }
  return environment;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

std::string first_line(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return "";
  text.remove_prefix(begin);
  return printable(text.substr(0, text.find_first_of("\r\n")));
}

}  // namespace

ExternalCheck::ExternalCheck(boost::asio::io_context& io, const HealthTarget& target)
    : output_(io), process_(io), target_(target) {}

ExternalCheck::~ExternalCheck() {
  // Only when the io_context ends with the program still running: normally wait() has reaped it.
  if (pid_ > 0) {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, WNOHANG);
  }
}

void ExternalCheck::begin() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    finish(CheckResult::not_run(fmt::format("check not run: {}", std::strerror(errno))));
    return;
  }
  const int failure = spawn(ends[1]);
  ::close(ends[1]);
  output_.assign(ends[0]);
  if (failure == EAGAIN || failure == ENOMEM) {
    finish(CheckResult::not_run(fmt::format("check not run: {}", std::strerror(failure))));
    return;
  }
  if (failure != 0) {
    finish(CheckResult::bad(
        fmt::format("cannot start '{}': {}", printable(target_.check.command[0]), std::strerror(failure))));
    return;
  }
  // By number: the header of glibc 2.36 is not for C++.
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd < 0) {
    const int error = errno;
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    finish(CheckResult::not_run(fmt::format("check not run: {}", std::strerror(error))));
    return;
  }
  process_.assign(pidfd);
  read();
  wait();
}

int ExternalCheck::spawn(int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<std::string> arguments = target_.check.command;
  std::vector<std::string> environment = environment_for(target_);
  const int failure = posix_spawn(&pid_, arguments[0].c_str(), &actions, &attributes,
                                  pointers(arguments).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) pid_ = -1;
  return failure;
}

void ExternalCheck::close() {
  // process_ stays open: wait() reaps what is killed here.
  if (pid_ > 0) kill(-pid_, SIGKILL);
  boost::system::error_code ignored;
  output_.close(ignored);
}

void ExternalCheck::read() {
  output_.async_read_some(
      boost::asio::buffer(chunk_),
      [this, self = shared_from_this()](const boost::system::error_code& error, size_t bytes) {
        if (ended() || error) return;
        text_.append(chunk_.data(), std::min(bytes, kMaxOutput - std::min(text_.size(), kMaxOutput)));
        read();
      });
}

void ExternalCheck::wait() {
  process_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                      [this, self = shared_from_this()](const boost::system::error_code& error) {
                        if (!error) on_exit();
                      });
}

void ExternalCheck::on_exit() {
  const auto pidfd = static_cast<id_t>(process_.native_handle());
  siginfo_t info{};
  if (waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return;
  if (info.si_pid == 0) {
    wait();
    return;
  }
  if (!ended()) drain();
  // What the program left running in its group goes too; before it is reaped, since then the number is free.
  kill(-pid_, SIGKILL);
  waitid(P_PIDFD, pidfd, nullptr, WEXITED | WNOHANG);
  pid_ = -1;
  boost::system::error_code ignored;
  process_.close(ignored);
  finish(judge(info.si_code, info.si_status));
}

void ExternalCheck::drain() {
  while (text_.size() < kMaxOutput) {
    const ssize_t bytes = ::read(output_.native_handle(), chunk_.data(), chunk_.size());
    if (bytes <= 0) return;
    text_.append(chunk_.data(), static_cast<size_t>(bytes));
  }
}

CheckResult ExternalCheck::judge(int code, int status) const {
  if (code == CLD_EXITED && status == 0) return CheckResult::good();
  const std::string line = first_line(text_);
  const std::string ending = code == CLD_EXITED
                                 ? fmt::format("exit status {}", status)
                                 : fmt::format("ended by signal {} ({})", status, strsignal(status));
  return CheckResult::bad(line.empty() ? ending : fmt::format("{}: {}", ending, line));
}

}  // namespace sluice::control
