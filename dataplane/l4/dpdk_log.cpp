#include "dataplane/l4/dpdk_log.h"

#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_log.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <mutex>
#include <string_view>
#include <utility>

namespace sluice::l4 {

namespace {

/// The last lines. Drivers log from workers too.
class KeptLines {
 public:
  void add(std::string_view text) {
    const std::lock_guard lock(mutex_);
    while (!text.empty()) {
      const size_t end = std::min(text.find('\n'), text.size());
      add_line(text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  void pass_to(std::function<void(std::string_view)> take) {
    const std::lock_guard lock(mutex_);
    pass_ = std::move(take);
  }

  std::deque<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  static constexpr size_t kKept = 3;

  void add_line(std::string_view line) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r')) line.remove_suffix(1);
    if (line.empty()) return;
    if (line.starts_with("PANIC")) fmt::print(stderr, "{}\n", line);  // the process ends here
    if (pass_) return pass_(line);
    if (lines_.size() == kKept) lines_.pop_front();
    lines_.emplace_back(line);
  }

  std::mutex mutex_;
  std::deque<std::string> lines_;
  std::function<void(std::string_view)> pass_;
};

/// Never destroyed: DPDK's own threads may log until the process ends.
KeptLines& kept() {
  static auto* lines = new KeptLines;
  return *lines;
}

ssize_t keep_dpdk(void* /*cookie*/, const char* text, size_t size) {
  kept().add({text, size});
  return static_cast<ssize_t>(size);
}

int keep_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
  if (level != LIBBPF_WARN) return 0;
  std::array<char, 512> text;
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (length > 0) kept().add({text.data(), std::min(static_cast<size_t>(length), text.size() - 1)});
  return 0;
}

}  // namespace

void keep_dpdk_log() {
  static FILE* const stream = [] {
    cookie_io_functions_t functions{};
    functions.write = keep_dpdk;
    FILE* made = fopencookie(nullptr, "w", functions);
    if (made != nullptr) setvbuf(made, nullptr, _IOLBF, BUFSIZ);
    return made;
  }();
  if (stream != nullptr) rte_openlog_stream(stream);
  libbpf_set_print(keep_libbpf);
}

void pass_dpdk_log(std::function<void(std::string_view)> take) {
  kept().pass_to(std::move(take));
}

std::string dpdk_said() {
  const auto lines = kept().take();
  return lines.empty() ? "" : fmt::format(": {}", fmt::join(lines, "; "));
}

}  // namespace sluice::l4
