// The maps of a decapsulation program: settings in, counters out.
#pragma once

#include "dataplane/bpf/attached_program.h"
#include "dataplane/bpf/decap.h"
#include "dataplane/bpf/decap_layout.h"
#include "dataplane/bpf/file_descriptor.h"
#include "lb/result.h"

namespace sluice::bpf {

class DecapMaps {
 public:
  /// Of a program that is loaded. An Error if a map is missing: the program is another version's.
  static Result<DecapMaps> of(const Program& program);

  /// Sets VIPs, sources and key while packets run: what is allowed before and after is allowed throughout,
  /// and counters of VIPs that stay go on. A VIP that is new, or comes again, starts from zero.
  Result<void> apply(const DecapSettings& settings) const;

  /// Fills in sources, key, vips and counters.
  Result<void> read(DecapStatus& status) const;

  /// Whether the clsact qdisc came with the program: a note kept for the detach, by another process.
  Result<bool> made_clsact() const;
  Result<void> set_made_clsact(bool made) const;

 private:
  DecapMaps() = default;
  Result<decap_config> config() const;
  Result<void> set_config(const decap_config& config) const;
  Result<void> apply_vips(const std::vector<Prefix>& wanted) const;

  FileDescriptor config_, vips4_, vips6_, sources4_, sources6_, vip_count_, outcomes_;
};

}  // namespace sluice::bpf
