#include "control/proxy/proxy_service.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <csignal>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <vector>

#include "control/file_limit.h"
#include "control/log_line.h"
#include "control/privileges.h"
#include "control/proxy/proxy_api.h"
#include "control/proxy/user_files.h"
#include "control/syscall_filter.h"
#include "dataplane/l7/kernel_tls.h"

namespace sluice::control {
namespace {

// As many as the kernel lets a process have without asking; each connection takes one.
constexpr uint64_t kFilesWanted = 1u << 20;
// Below, the log warns.
constexpr uint64_t kFewConnections = 10'000;

/// The limit of open files, and how many connections of clients and to endpoints that is.
void log_file_limit(uint64_t limit, const l7::ProxySettings& settings) {
  // Loop, wake-up and listening sockets of each worker; health checks, files, metrics.
  const uint64_t others = 128 + settings.workers * (2 + settings.listeners.size());
  const uint64_t connections = limit > others ? limit - others : 0;
  spdlog::info("event=file_limit files={} connections={}", limit, connections);
  if (connections < kFewConnections) {
    spdlog::warn(
        "event=file_limit_low files={} connections={} error=\"clients above that wait or fail: raise "
        "LimitNOFILE "
        "of the unit or `ulimit -Hn`\"",
        limit, connections);
  }
}

std::vector<std::string> words_of_successor(const ProxyFile& file) {
  std::vector<std::string> words{file.envoy ? "--envoy" : "--config", file.path, "--upgrade"};
  if (file.workers != 0) words.insert(words.end(), {"--workers", std::to_string(file.workers)});
  if (!file.run_dir.empty()) words.insert(words.end(), {"--run-dir", file.run_dir});
  return words;
}

}  // namespace

ProxyService::ProxyService(Given given, ServiceManager& manager)
    : given_(std::move(given)),
      manager_(manager),
      signals_(io_, SIGTERM, SIGINT, SIGHUP),
      upgrades_(io_, SIGUSR2, SIGCHLD),
      rotations_(io_, SIGUSR1),
      successor_(program_path(), words_of_successor(given_.file)),
      api_timer_(io_) {}

Result<void> ProxyService::start(LoadedProxyFile loaded) {
  ProxyConfig wanted = std::move(loaded.config);
  const std::string control_socket = wanted.control_socket();
  const std::string path = wanted.upgrade_socket;
  if (given_.upgrade && path.empty())
    return fail("--upgrade needs proxy.upgrade_socket, as in the file of the running sluice-proxy");
  for (const std::string& warning : loaded.warnings)
    spdlog::warn("event=config_warning text={}", log_quoted(warning));
  log_file_limit(raise_file_limit(kFilesWanted), wanted.settings);
  std::optional<RunAs> who;
  if (!wanted.user.empty()) {
    auto found = find_run_as(wanted.user, wanted.group);
    if (!found) return fail("proxy.user: " + found.error().message);
    if (auto may = may_run_as(*found); !may) return fail("proxy.user: " + may.error().message);
    who = *std::move(found);
  }
  forbid_new_privileges();
  std::optional<Takeover> takeover;
  if (given_.upgrade) {
    auto begun = Takeover::begin(path, who ? std::optional(who->uid) : std::nullopt);
    if (!begun) return tl::unexpected(begun.error());
    takeover = *std::move(begun);
    if (!takeover) spdlog::warn("event=nobody_to_take_over socket={}", path);
  }
  // Before the listening sockets, which a second proxy with the same file might share.
  if (!takeover) {
    if (auto opened = open_api(control_socket, who); !opened)
      return fail(opened.error().message +
                  (path.empty() ? "" : "; --upgrade takes over from a sluice-proxy"));
  }
  wait_for_early_signal();
  auto control = ProxyControl::start(io_, std::move(wanted), takeover ? &takeover->offer() : nullptr,
                                     [this](const auto& clusters) { awaited_ = clusters; });
  if (!control) return tl::unexpected(control.error());
  control_ = *std::move(control);
  signals_.cancel();
  // The port may still be the other one's.
  auto metrics_open = open_metrics();
  if (!metrics_open && !takeover) return metrics_open;
  std::optional<ListeningSocket> socket;
  if (!takeover && !path.empty()) {
    auto opened = ListeningSocket::open(path, "proxy.upgrade_socket");
    if (!opened) return tl::unexpected(opened.error());
    // The next process may be of that user from its start.
    if (who && chown(path.c_str(), who->uid, who->gid) != 0)
      return fail(fmt::format("{}: cannot be given to proxy.user", path));
    socket.emplace(*std::move(opened));
  }
  if (auto restricted = restrict_process(who); !restricted) return restricted;
  if (takeover) {
    if (auto committed = takeover->commit(); !committed) return committed;
    // Not before: the file is the other one's until it has let go.
    socket.emplace(ListeningSocket::adopt(takeover->release_upgrade_socket(), path));
    const HandoverOffer& offer = takeover->offer();
    spdlog::info("event=taken_over from_pid={} from_version={} sockets={}", offer.pid, offer.version,
                 offer.sockets.size());
    takeover.reset();
  }
  // From here on nobody else would go on.
  control_->accept();
  if (!metrics_open) metrics_open = open_metrics();
  if (!metrics_open)
    spdlog::error("event=metrics_not_served error={}", log_quoted(metrics_open.error().message));
  if (socket) wait_for_upgrade(*std::move(socket));
  serve_api(std::move(loaded.text));
  log_started();
  wait_for_signal();
  wait_for_upgrade_signal();
  wait_for_rotation_signal();
  if (reload_due_) reload();
  manager_.ready();
  return {};
}

void ProxyService::run() {
  io_.run();
  upgrade_.reset();
  metrics_.reset();
  api_.reset();
  control_->stop();
  spdlog::info("event=stopped");
}

Result<void> ProxyService::open_api(const std::string& path, const std::optional<RunAs>& who) {
  const std::string directory = std::filesystem::path(path).parent_path();
  std::error_code ignored;
  const bool was_there = std::filesystem::exists(directory, ignored);
  auto opened = ApiServer::open(io_, path, {}, "proxy.run_dir");
  if (!opened) return tl::unexpected(opened.error());
  if (who && chown(path.c_str(), who->uid, who->gid) != 0)
    return fail(fmt::format("{}: cannot be given to proxy.user", path));
  // Whoever goes on as that user removes the socket at its end, and the next process makes its own.
  if (who && !was_there && chown(directory.c_str(), who->uid, who->gid) != 0)
    return fail(fmt::format("{}: cannot be given to proxy.user", directory));
  api_ = *std::move(opened);
  api_->not_yet([this] { return why_not_yet(); });
  return {};
}

// Who asks while the start waits is told for what.
std::string ProxyService::why_not_yet() const {
  if (awaited_.empty()) return "the proxy is starting; try again";
  return fmt::format("discovery of {} {} has not settled; try again",
                     awaited_.size() == 1 ? "cluster" : "clusters", fmt::join(awaited_, ", "));
}

void ProxyService::serve_api(std::string text) {
  in_force_ = std::make_unique<ConfigInForce>(*control_, given_.file, std::move(text),
                                              [this] { return may_change(); });
  constexpr int kTries = 50;
  open_api_late(kTries);
}

// The process that this one took over from gives the socket up in its own time, a moment later.
void ProxyService::open_api_late(int tries) {
  if (!api_) {
    if (auto opened = open_api(config().control_socket(), std::nullopt); !opened && tries > 0) {
      api_timer_.expires_after(std::chrono::milliseconds(100));
      api_timer_.async_wait([this, tries](const auto& cancelled) {
        if (!cancelled) open_api_late(tries - 1);
      });
      return;
    } else if (!opened) {
      spdlog::error("event=api_not_served error={}", log_quoted(opened.error().message));
      return;
    }
  }
  serve_proxy(*api_, {io_,
                      *control_,
                      *in_force_,
                      events_,
                      {SLUICE_VERSION, static_cast<int64_t>(std::time(nullptr))},
                      [this] { return metrics_text(); },
                      [this] { drain("by=api"); }});
  api_->not_yet(nullptr);
}

std::string ProxyService::metrics_text() {
  about_.reload_good = in_force_ == nullptr || in_force_->error().empty();
  about_.draining = control_->draining();
  about_.discoveries = control_->discoveries().status();
  about_.trace = control_->trace_export();
  return render_proxy_metrics(about_, control_->proxy());
}

Result<void> ProxyService::open_metrics() {
  about_.name = config().name;
  about_.version = SLUICE_VERSION;
  if (!config().metrics) return {};
  auto opened = MetricsServer::open(config().metrics->address, config().metrics->port);
  if (!opened) return fail("metrics: " + opened.error().message);
  metrics_ = *std::move(opened);
  metrics_->start([this](const std::atomic<bool>& stopping) -> Result<std::string> {
    constexpr std::chrono::seconds kLimit{4};
    auto text = ask_thread(
        io_, [this] { return metrics_text(); }, stopping, kLimit);
    if (!text) return fail("the control thread is busy; try again");
    return *std::move(text);
  });
  return {};
}

Result<void> ProxyService::restrict_process(const std::optional<RunAs>& who) {
  if (who) {
    if (geteuid() == 0) give_logs(config(), *who);
    if (auto changed = run_as(*who); !changed) return fail("proxy.user: " + changed.error().message);
    warn_of_user_files(given_.file.path, config());
  }
  const auto filtered = deny_syscalls();
  if (!filtered) spdlog::warn("event=syscall_filter_off error={}", log_quoted(filtered.error().message));
  spdlog::info("event=restricted user={} capabilities={} denied_syscalls={}", geteuid(),
               log_quoted(effective_capabilities()), filtered ? denied_syscalls().size() : 0);
  return {};
}

void ProxyService::log_started() {
  const auto& settings = config().settings;
  spdlog::info(
      "event=started version={} pid={} file={} socket={} proxy={} workers={} listeners={} clusters={} "
      "kernel_tls={}",
      SLUICE_VERSION, getpid(), given_.file.path, config().control_socket(), log_quoted(config().name),
      settings.workers, settings.listeners.size(), settings.clusters.size(),
      log_quoted(l7::kernel_tls_state()));
}

void ProxyService::wait_for_upgrade(ListeningSocket socket) {
  upgrade_ = std::make_unique<HandoverServer>(
      io_, std::move(socket),
      HandoverServer::Owner{[this] {
                              auto offer = control_->offer();
                              offer.pid = getpid();
                              offer.version = SLUICE_VERSION;
                              return offer;
                            },
                            [this](pid_t successor) { hand_over(successor); }});
}

void ProxyService::hand_over(pid_t successor) {
  spdlog::info("event=handed_over to_pid={}", successor);
  manager_.main_process(successor);
  metrics_.reset();
  // The other one opens it for itself.
  api_.reset();
  leaving_ = true;
  control_->leave([this](const auto& left) { end(left); });
}

void ProxyService::drain(const std::string& why) {
  if (leaving_) return;
  spdlog::info("event=draining {}", why);
  manager_.stopping();
  // Whoever starts now starts anew.
  upgrade_.reset();
  leaving_ = true;
  control_->drain([this](const auto& left) { end(left); });
}

void ProxyService::end(const ProxyControl::Remains& left) {
  std::string listeners;
  for (const auto& [name, load] : left.listeners) {
    listeners += fmt::format("{}{}: {} clients, {} requests", listeners.empty() ? "" : "; ", name,
                             load.clients, load.streams);
  }
  spdlog::log(left.streams() == 0 ? spdlog::level::info : spdlog::level::warn,
              "event=drained clients_left={} requests_cut={} listeners={}", left.clients(), left.streams(),
              log_quoted(listeners));
  io_.stop();
}

Result<void> ProxyService::may_change() const {
  if (leaving_) return fail("this process drains");
  if (upgrade_ && upgrade_->busy()) return fail("another process is about to take over");
  return {};
}

void ProxyService::reload() {
  const bool good = in_force_->reload().has_value();
  events_.record("reload", good ? fmt::format("generation {}, by SIGHUP", control_->generation())
                                : std::string("refused, by SIGHUP"));
}

void ProxyService::reopen_access_logs() {
  if (auto reopened = control_->reopen_access_logs(); reopened) {
    spdlog::info("event=access_logs_reopened");
  } else {
    spdlog::error("event=access_logs_not_reopened nothing_changed=true error={}",
                  log_quoted(reopened.error().message));
  }
}

void ProxyService::upgrade() {
  const auto started = leaving_   ? Result<pid_t>(fail("this process drains"))
                       : upgrade_ ? successor_.start(manager_.path())
                                  : fail("set proxy.upgrade_socket, and restart once");
  if (started) {
    spdlog::info("event=upgrade_begun pid={} program={}", *started, program_path());
  } else {
    spdlog::error("event=upgrade_failed this_process_goes_on=true error={}",
                  log_quoted(started.error().message));
  }
}

// While clusters wait for their first endpoints. Nobody has been served: there is nothing to drain.
void ProxyService::wait_for_early_signal() {
  signals_.async_wait([this](const auto& cancelled, int signal) {
    if (cancelled) return;
    // It came in the last moment of the wait and could not be cancelled any more.
    if (control_) return on_signal(signal);
    if (signal == SIGHUP) {
      reload_due_ = true;
      wait_for_early_signal();
      return;
    }
    stopped_early_ = true;
    io_.stop();
  });
}

void ProxyService::wait_for_signal() {
  signals_.async_wait([this](const auto& cancelled, int signal) {
    if (cancelled) return;
    on_signal(signal);
    wait_for_signal();
  });
}

void ProxyService::on_signal(int signal) {
  if (signal == SIGHUP) {
    reload();
  } else if (++ends_ > 1) {
    // A second signal does not wait.
    io_.stop();
  } else {
    drain(fmt::format("signal={}", signal));
  }
}

void ProxyService::wait_for_upgrade_signal() {
  upgrades_.async_wait([this](const auto& cancelled, int signal) {
    if (cancelled) return;
    if (signal == SIGUSR2) {
      upgrade();
    } else if (const auto how = successor_.end(); how && !leaving_) {
      spdlog::error("event=upgrade_failed this_process_goes_on=true error=\"the new process ended with {}\"",
                    *how);
    }
    wait_for_upgrade_signal();
  });
}

// Logs are rotated to the end, also while the proxy drains.
void ProxyService::wait_for_rotation_signal() {
  rotations_.async_wait([this](const auto& cancelled, int) {
    if (cancelled) return;
    reopen_access_logs();
    wait_for_rotation_signal();
  });
}

}  // namespace sluice::control
