// The services as they are configured, and the one way to change them. File reload, API and CLI all end in
// the same step: a whole new document is read and checked, put in place, made to survive a restart, and only
// then acknowledged. What fails on the way changes nothing.
//
// The document is the tree that the configuration file's reader reads. At start, services that were changed
// by API win over the file's, unless the file's services were edited since those changes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "control/atomic_file.h"
#include "control/config.h"
#include "control/event_log.h"
#include "control/service_diff.h"
#include "control/service_edit.h"
#include "control/state_lock.h"
#include "control/yaml_tree.h"
#include "lb/result.h"

namespace sluice {

struct ChangeRefused {
  enum class Why {
    kInvalid,       ///< the result is no good configuration; or the edit itself, see EditRefused
    kNotFound,      ///< as EditRefused
    kConflict,      ///< as EditRefused
    kStale,         ///< somebody else has changed the services since the expected generation
    kNotApplied,    ///< the node could not put it in place
    kNotPersisted,  ///< it could not be written, and was taken back
  };
  Why why;
  std::string message;
};

struct Change {
  uint64_t generation = 0;  ///< after it
  std::vector<ServiceChange> changes;
};
using Changed = tl::expected<Change, ChangeRefused>;

struct ChangeRequest {
  std::optional<uint64_t> expected_generation;  ///< absent: whatever it is
  bool dry_run = false;                         ///< only says what would change
  std::string who;                              ///< for log and events: "uid 0"
};

class ServiceStore {
 public:
  using Apply = std::function<Result<void>(Config)>;
  using Edit = std::function<Edited(YamlNode)>;

  /// Reads the configuration file and the state file. Errors as load_config() and load_state(); also if the
  /// two do not go together. `events` must outlive the store; `fault` is for tests.
  static Result<std::unique_ptr<ServiceStore>> open(const std::string& config_path, EventLog& events,
                                                    AtomicFileFault fault = {});
  /// The same for a process that others of its kind may run beside: the state file is locked before it is
  /// read, and stays so as long as the store lives. Errors also as StateLock::take().
  static Result<std::unique_ptr<ServiceStore>> open_locked(const std::string& config_path, EventLog& events);

  /// What puts a configuration in place from now on: all of it or, with an Error, nothing.
  void on_apply(Apply apply) { apply_ = std::move(apply); }

  /// Changes the services. `edit` gets the present document and returns the wanted one.
  Changed change(const Edit& edit, const ChangeRequest& request);

  /// Takes the configuration file anew. Its services win if they were edited since it was read last;
  /// otherwise the present ones stay, and only the rest of the file is taken.
  Changed reload();

  /// The whole, as it is in place.
  const Config& config() const { return config_; }
  /// A map of `vips` and `pools`.
  const YamlNode& services() const { return services_; }
  /// Counts changes of the services; never goes back, also not over restarts with changes by API.
  uint64_t generation() const { return generation_; }
  const std::string& state_path() const { return state_path_; }
  /// Of a store that was opened locked.
  const StateLock& lock() const { return *lock_; }

 private:
  struct Wanted {
    YamlNode file;  ///< the configuration file's tree
    uint64_t file_fingerprint;
    YamlNode services;
  };

  ServiceStore(std::string config_path, EventLog& events, AtomicFileFault fault)
      : config_path_(std::move(config_path)), events_(events), fault_(std::move(fault)) {}
  Result<void> load(bool locked);
  Result<void> take_state(const struct ServiceState& state);
  Changed put_in_place(Wanted wanted, Config config, Change change, bool persist);
  Result<void> persist_and_apply(const Wanted& wanted, const Config& config, uint64_t generation,
                                 bool persist, ChangeRefused::Why& why);
  void restore_state_file();
  void report_change(const Change& change, const std::string& how);

  std::string config_path_;
  std::string state_path_;
  std::optional<StateLock> lock_;
  EventLog& events_;
  AtomicFileFault fault_;
  Apply apply_;
  YamlNode file_;
  uint64_t file_fingerprint_ = 0;
  YamlNode services_;
  Config config_;
  uint64_t generation_ = 1;
  bool has_state_file_ = false;
};

}  // namespace sluice
