#include "control/proxy/fixed_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <string_view>

namespace sluice::control {
namespace {

constexpr std::string_view kUpgrade =
    "a reload does not change it; an upgrade does (SIGUSR2, or sluice-proxy --upgrade: docs/upgrade.md), or "
    "a "
    "restart";
constexpr std::string_view kRestart = "a change takes a restart";

Result<void> refuse(std::string_view field, const std::string& found, const std::string& in_force,
                    std::string_view advice) {
  const auto shown = [](const std::string& value) { return value.empty() ? std::string("nothing") : value; };
  return fail(
      fmt::format("{}: found {} where {} is in use; {}", field, shown(found), shown(in_force), advice));
}

std::string cores_text(const ProxyConfig& config) {
  return config.settings.cpus.empty() ? "" : fmt::format("[{}]", fmt::join(config.settings.cpus, ", "));
}

std::string metrics_text(const ProxyConfig& config) {
  if (!config.metrics) return "";
  const auto& [address, port] = *config.metrics;
  return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), port)
                         : fmt::format("{}:{}", address.to_string(), port);
}

}  // namespace

Result<void> check_fixed_fields(const ProxyConfig& in_force, const ProxyConfig& wanted) {
  if (wanted.settings.workers != in_force.settings.workers) {
    return fail(fmt::format("proxy.workers: found {} where {} run; {}", wanted.settings.workers,
                            in_force.settings.workers, kUpgrade));
  }
  struct Field {
    std::string_view name;
    std::string wanted;
    std::string in_force;
    std::string_view advice;
  };
  const Field fields[] = {
      {"proxy.cores", cores_text(wanted), cores_text(in_force), kUpgrade},
      {"metrics.listen", metrics_text(wanted), metrics_text(in_force), kUpgrade},
      {"log.to", std::string(log_target_name(wanted.log.to)), std::string(log_target_name(in_force.log.to)),
       kUpgrade},
      {"proxy.run_dir", wanted.run_dir, in_force.run_dir, kRestart},
      {"proxy.upgrade_socket", wanted.upgrade_socket, in_force.upgrade_socket, kRestart},
      {"proxy.user", wanted.user, in_force.user, kRestart},
      {"proxy.group", wanted.group, in_force.group, kRestart},
  };
  for (const Field& field : fields) {
    if (field.wanted != field.in_force) return refuse(field.name, field.wanted, field.in_force, field.advice);
  }
  return {};
}

}  // namespace sluice::control
