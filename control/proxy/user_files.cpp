#include "control/proxy/user_files.h"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <string>

#include "control/log_line.h"

namespace sluice::control {
namespace {

/// Access logs, and what checks and ejections are written to.
std::set<std::string> log_files(const ProxyConfig& config) {
  std::set<std::string> files;
  for (const auto& listener : config.settings.listeners) {
    if (listener.access_log && listener.access_log->to.starts_with('/'))
      files.insert(listener.access_log->to);
  }
  for (const ClusterCare& care : config.care) {
    for (const std::string& file : {care.event_log, care.outlier_event_log}) {
      if (!file.empty()) files.insert(file);
    }
  }
  return files;
}

void warn_if_unreadable(const std::string& file) {
  if (file.empty() || euidaccess(file.c_str(), R_OK) == 0) return;
  spdlog::warn("event=file_not_readable file={} error=\"a reload will fail: let proxy.user read it\"",
               log_quoted(file));
}

}  // namespace

void give_logs(const ProxyConfig& config, const RunAs& who) {
  for (const std::string& file : log_files(config)) {
    struct stat status {};
    const bool of_root = lstat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == 0;
    if (of_root) (void)!lchown(file.c_str(), who.uid, who.gid);
  }
}

void warn_of_user_files(const std::string& path, const ProxyConfig& config) {
  warn_if_unreadable(path);
  for (const auto& listener : config.settings.listeners) {
    if (!listener.tls) continue;
    for (const auto& certificate : listener.tls->certificates) {
      warn_if_unreadable(certificate.certificate);
      warn_if_unreadable(certificate.key);
    }
  }
  for (const std::string& file : log_files(config)) {
    if (euidaccess(file.c_str(), W_OK) == 0) continue;
    spdlog::warn("event=log_not_writable file={} error=\"a reload will fail: let proxy.user write to it\"",
                 log_quoted(file));
  }
  if (euidaccess(config.run_dir.c_str(), W_OK | X_OK) != 0) {
    spdlog::warn(
        "event=run_dir_not_writable directory={} error=\"after an upgrade nobody listens at the control "
        "socket: let proxy.user write there\"",
        log_quoted(config.run_dir));
  }
}

}  // namespace sluice::control
