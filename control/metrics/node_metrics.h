// Collects the numbers of a running node for its metrics, and hands them to the thread that serves them.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "control/metrics/node_snapshot.h"
#include "control/node.h"

namespace sluice::control {

/// Of the control thread. Labels are made anew when services change, not at each scrape: with 10 000 backends
/// that is most of the work.
class NodeMetrics {
 public:
  /// `node` must outlive this.
  explicit NodeMetrics(const Node& node) : node_(node) {}

  NodeSnapshot snapshot(bool last_reload_successful);

 private:
  void make_labels();
  void add_backends(NodeSnapshot& snapshot) const;

  const Node& node_;
  uint64_t labelled_ = 0;  ///< Node::applied() that the labels are of
  std::shared_ptr<const ServiceLabels> labels_;
  std::vector<BackendId> backend_ids_;  ///< in the order of the labels
  std::vector<uint16_t> vip_ids_;       ///< in the order of the labels
};

}  // namespace sluice::control
