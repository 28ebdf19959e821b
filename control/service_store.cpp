#include "control/service_store.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "control/log_line.h"
#include "control/service_state.h"
#include "control/yaml_writer.h"

namespace sluice {

namespace {

using Why = ChangeRefused::Why;

tl::unexpected<ChangeRefused> refuse(Why why, std::string message) {
  return tl::unexpected(ChangeRefused{why, std::move(message)});
}

Why why_of(EditRefused::Why why) {
  switch (why) {
    case EditRefused::Why::kNotFound:
      return Why::kNotFound;
    case EditRefused::Why::kConflict:
      return Why::kConflict;
    case EditRefused::Why::kInvalid:
      break;
  }
  return Why::kInvalid;
}

}  // namespace

Result<std::unique_ptr<ServiceStore>> ServiceStore::open(const std::string& config_path, EventLog& events,
                                                         AtomicFileFault fault) {
  std::unique_ptr<ServiceStore> store(new ServiceStore(config_path, events, std::move(fault)));
  if (auto loaded = store->load(false); !loaded) return tl::unexpected(loaded.error());
  return store;
}

Result<std::unique_ptr<ServiceStore>> ServiceStore::open_locked(const std::string& config_path,
                                                                EventLog& events) {
  std::unique_ptr<ServiceStore> store(new ServiceStore(config_path, events, {}));
  if (auto loaded = store->load(true); !loaded) return tl::unexpected(loaded.error());
  return store;
}

Result<void> ServiceStore::load(bool locked) {
  auto tree = load_config_tree(config_path_);
  if (!tree) return tl::unexpected(tree.error());
  auto config = config_of(*tree, config_path_);
  if (!config) return tl::unexpected(config.error());
  file_ = *std::move(tree);
  config_ = *std::move(config);
  auto services = replace_services(services_of(file_));
  if (!services) return fail(services.error().message);
  services_ = *std::move(services);
  file_fingerprint_ = fingerprint(services_);
  // The services are kept once: thousands of them take long to copy.
  file_ = with_services(std::move(file_), yaml_map());
  state_path_ = config_.node.state_dir + "/services.yaml";

  if (locked) {
    auto lock = StateLock::take(config_.node.state_dir);
    if (!lock) return tl::unexpected(lock.error());
    lock_.emplace(*std::move(lock));
  }

  const auto state = load_state(state_path_);
  if (!state) return tl::unexpected(state.error());
  return *state ? take_state(**state) : Result<void>{};
}

Result<void> ServiceStore::take_state(const ServiceState& state) {
  has_state_file_ = true;
  if (state.config_fingerprint != file_fingerprint_) {
    generation_ = state.generation + 1;
    const Change dropped{generation_, diff_services(state.services, services_)};
    spdlog::warn(
        "event=services_from_file file={} state={} reason=\"the file's services were edited after the "
        "changes by API, "
        "so those are dropped\"",
        config_path_, state_path_);
    report_change(dropped, "file");
    AtomicFile file(state_path_, fault_);
    auto written = file.stage(render_state({generation_, file_fingerprint_, services_}));
    if (written) written = file.commit();
    // Not a reason to stay down: the next start comes to the same end.
    if (!written) spdlog::error("event=state_not_written error={}", log_quoted(written.error().message));
    return {};
  }
  auto config = config_of(with_services(file_, state.services), config_path_);
  if (!config) {
    return fail(
        fmt::format("{}: does not go with {}: {}; correct that file, or move this one away to start without "
                    "the changes made by API",
                    state_path_, config_path_, config.error().message));
  }
  config_ = *std::move(config);
  services_ = state.services;
  generation_ = state.generation;
  spdlog::info("event=services_restored state={} generation={}", state_path_, generation_);
  return {};
}

Changed ServiceStore::change(const Edit& edit, const ChangeRequest& request) {
  if (request.expected_generation && *request.expected_generation != generation_) {
    return refuse(
        Why::kStale,
        fmt::format("the services were changed since: they are at generation {}, not {}; look at them again",
                    generation_, *request.expected_generation));
  }
  auto edited = edit(services_);
  if (!edited) return refuse(why_of(edited.error().why), edited.error().message);
  auto config = config_of(with_services(file_, *edited), config_path_);
  if (!config) return refuse(Why::kInvalid, config.error().message);
  Change change{generation_, diff_services(services_, *edited)};
  // A default that is written out, for one, changes nothing.
  if (request.dry_run || config->services == config_.services) return change;

  ++change.generation;
  auto changed = put_in_place({file_, file_fingerprint_, *std::move(edited)}, *std::move(config),
                              std::move(change), true);
  if (changed) report_change(*changed, request.who);
  return changed;
}

Changed ServiceStore::reload() {
  const auto refused = [&](Why why, const std::string& message) {
    events_.record("reload",
                   fmt::format("refused, nothing changed: {}", message.substr(0, message.find('\n'))));
    return refuse(why, message);
  };
  auto tree = load_config_tree(config_path_);
  if (!tree) return refused(Why::kInvalid, tree.error().message);
  // The file must be good by itself, also where present services take the place of its own.
  auto config = config_of(*tree, config_path_);
  if (!config) return refused(Why::kInvalid, config.error().message);
  if (config->node.state_dir != config_.node.state_dir) {
    return refused(Why::kNotApplied,
                   "'node.state_dir' cannot change while sluiced runs: restart it to use the new file");
  }
  auto services = replace_services(services_of(*tree));
  if (!services) return refused(Why::kInvalid, services.error().message);
  const uint64_t file_fingerprint = fingerprint(*services);
  const bool edited = file_fingerprint != file_fingerprint_;
  if (!edited) {
    services = services_;
    config = config_of(with_services(*tree, services_), config_path_);
    if (!config) return refused(Why::kInvalid, config.error().message);
  }
  Change change{generation_ + (edited ? 1 : 0), diff_section(file_, *tree, "tunnel")};
  const auto differences = diff_services(services_, *services);
  change.changes.insert(change.changes.end(), differences.begin(), differences.end());
  // Without changes by API there is nothing that must survive: the file itself does.
  auto changed = put_in_place({*std::move(tree), file_fingerprint, *std::move(services)}, *std::move(config),
                              std::move(change), edited && has_state_file_);
  if (!changed) return refused(changed.error().why, changed.error().message);
  report_change(*changed, "file");
  return changed;
}

Changed ServiceStore::put_in_place(Wanted wanted, Config config, Change change, bool persist) {
  Why why = Why::kNotPersisted;
  if (auto done = persist_and_apply(wanted, config, change.generation, persist, why); !done) {
    return refuse(why, done.error().message);
  }
  file_ = with_services(std::move(wanted.file), yaml_map());
  file_fingerprint_ = wanted.file_fingerprint;
  services_ = std::move(wanted.services);
  config_ = std::move(config);
  generation_ = change.generation;
  has_state_file_ = has_state_file_ || persist;
  return change;
}

/// Written and synced first, as this is what fails when a disk is full; renamed last, as this is what a
/// restart goes by: traffic and file agree whatever fails in between.
Result<void> ServiceStore::persist_and_apply(const Wanted& wanted, const Config& config, uint64_t generation,
                                             bool persist, Why& why) {
  AtomicFile file(state_path_, fault_);
  if (persist) {
    auto staged = file.stage(render_state({generation, wanted.file_fingerprint, wanted.services}));
    if (!staged) return staged;
  }
  if (apply_) {
    if (auto applied = apply_(config); !applied) {
      why = Why::kNotApplied;
      return applied;
    }
  }
  if (!persist) return {};
  auto committed = file.commit();
  if (committed) return {};
  restore_state_file();
  if (apply_) {
    if (auto undone = apply_(config_); !undone) {
      return fail(fmt::format("{}; and the former services could not be put back: {}",
                              committed.error().message, undone.error().message));
    }
  }
  return committed;
}

/// After a commit that may or may not have renamed: the file is made to hold what is in place again.
void ServiceStore::restore_state_file() {
  if (!has_state_file_) {
    ::unlink(state_path_.c_str());
    return;
  }
  AtomicFile file(state_path_);
  auto written = file.stage(render_state({generation_, file_fingerprint_, services_}));
  if (written) written = file.commit();
  if (!written) spdlog::error("event=state_not_restored error={}", log_quoted(written.error().message));
}

void ServiceStore::report_change(const Change& change, const std::string& who) {
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(change.changes.size(), kShown); ++i) {
    const std::string text = change.changes[i].text();
    spdlog::info("event=service_changed generation={} by={} change={}", change.generation, log_quoted(who),
                 log_quoted(text));
    events_.record("services", fmt::format("{} (generation {}, by {})", text, change.generation, who));
  }
  if (change.changes.size() > kShown) {
    const std::string text = fmt::format("and {} more changes", change.changes.size() - kShown);
    spdlog::info("event=service_changed generation={} by={} change={}", change.generation, log_quoted(who),
                 log_quoted(text));
    events_.record("services", fmt::format("{} (generation {}, by {})", text, change.generation, who));
  }
}

}  // namespace sluice
