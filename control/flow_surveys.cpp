#include "control/flow_surveys.h"

#include <algorithm>
#include <utility>

namespace sluice::control {

namespace {

/// How often to look whether the workers are done: 4 Mi flows take 20 ms at best.
constexpr std::chrono::milliseconds kLook{5};

}  // namespace

FlowSurveys::FlowSurveys(boost::asio::io_context& io, const l4::Engine& engine,
                         std::function<std::vector<FlowTick>()> timeouts)
    : engine_(engine), timeouts_(std::move(timeouts)), timer_(io) {}

uint64_t FlowSurveys::ask() {
  if (running_) {
    again_ = true;
    return counted_ + 2;
  }
  begin();
  return counted_ + 1;
}

std::chrono::milliseconds FlowSurveys::age() const {
  if (counted_ == 0) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               counted_at_);
}

void FlowSurveys::begin() {
  running_ = true;
  again_ = false;
  const std::vector<FlowTick> timeouts = timeouts_();
  for (const auto& worker : engine_.workers()) worker->survey().start(timeouts);
  look();
}

void FlowSurveys::look() {
  timer_.expires_after(kLook);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    const auto& workers = engine_.workers();
    const bool done = std::all_of(workers.begin(), workers.end(),
                                  [](const auto& worker) { return worker->survey().done(); });
    if (!done) return look();
    take();
    if (again_) begin();
  });
}

void FlowSurveys::take() {
  flows_.clear();
  for (const auto& worker : engine_.workers()) {
    const std::vector<uint32_t>& flows = worker->survey().flows();
    flows_.resize(std::max(flows_.size(), flows.size()));
    for (size_t id = 0; id < flows.size(); ++id) flows_[id] += flows[id];
  }
  running_ = false;
  ++counted_;
  counted_at_ = std::chrono::steady_clock::now();
}

}  // namespace sluice::control
