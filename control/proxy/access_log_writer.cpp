#include "control/proxy/access_log_writer.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "control/proxy/access_log_target.h"

namespace sluice {
namespace {

using Clock = std::chrono::steady_clock;

// While requests come, lines gather for so long; see AccessLogRings::kRingBytes.
constexpr std::chrono::milliseconds kGather{10};
// Drops by full rings are looked at so often, if nothing else happens.
constexpr std::chrono::milliseconds kIdle{1000};
constexpr std::chrono::seconds kTellDropsEvery{10};

}  // namespace

AccessLogWriter::AccessLogWriter() = default;

AccessLogWriter::~AccessLogWriter() {
  stop();
}

uint32_t AccessLogWriter::number_of(const std::string& to) {
  return numbers_.emplace(to, static_cast<uint32_t>(numbers_.size())).first->second;
}

Result<AccessLogWriter::Targets> AccessLogWriter::open(l7::ProxySettings& settings) {
  Targets targets;
  for (l7::ListenerSettings& listener : settings.listeners) {
    if (!listener.access_log) continue;
    const std::string& to = listener.access_log->to;
    listener.access_log_target = number_of(to);
    auto& target = targets[listener.access_log_target];
    if (target) continue;
    auto opened = AccessLogTarget::open(to);
    if (!opened) return tl::unexpected(opened.error());
    target = *std::move(opened);
  }
  return targets;
}

void AccessLogWriter::use(Targets targets, std::shared_ptr<l7::AccessLogRings> rings) {
  if (!rings) return;
  {
    // What has gone from the configuration may still be written to by requests that run: until the next time.
    Targets all = targets;
    all.insert(current_.begin(), current_.end());
    const std::lock_guard lock(mutex_);
    next_ = std::make_unique<Targets>(std::move(all));
  }
  current_ = std::move(targets);
  if (rings_) {
    rings_->bell.ring();
    return;
  }
  rings_ = std::move(rings);
  thread_ = std::thread([this] { run(); });
}

Result<void> AccessLogWriter::reopen() {
  Targets targets;
  for (const auto& [number, target] : current_) {
    auto opened = AccessLogTarget::open(target->name());
    if (!opened) return tl::unexpected(opened.error());
    targets[number] = *std::move(opened);
  }
  use(std::move(targets), rings_);
  return {};
}

void AccessLogWriter::stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  rings_->bell.ring();
  thread_.join();
}

// --- the thread

void AccessLogWriter::run() {
  pthread_setname_np(pthread_self(), "access-log");
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (true) {
    const bool last = stopping_.load(std::memory_order_acquire);
    take_targets();
    const bool found = write_all();
    tell_drops();
    if (last) return;
    if (found) {
      std::this_thread::sleep_for(kGather);
    } else {
      rings_->bell.sleep(kIdle, [this] { return nothing_to_do(); });
    }
  }
}

bool AccessLogWriter::nothing_to_do() const {
  if (stopping_.load(std::memory_order_acquire)) return false;
  {
    const std::lock_guard lock(mutex_);
    if (next_) return false;
  }
  return std::ranges::all_of(rings_->of_workers, [](const auto& ring) { return ring->empty(); });
}

// Lines that were made before go to the new file: whoever has renamed the old one waits for it to be left
// alone.
void AccessLogWriter::take_targets() {
  std::unique_ptr<Targets> next;
  {
    const std::lock_guard lock(mutex_);
    next.swap(next_);
  }
  if (next) targets_ = std::move(*next);
}

bool AccessLogWriter::write_all() {
  bool found = false;
  for (const auto& ring : rings_->of_workers) write_ring(*ring, found);
  return found;
}

void AccessLogWriter::write_ring(l7::ByteRing& ring, bool& found) {
  while (const auto message = ring.next()) {
    found = true;
    uint32_t number;
    std::memcpy(&number, message->data(), sizeof(number));
    const auto target = targets_.find(number);
    if (target == targets_.end()) {
      rings_->unwritten.add(1);
      continue;
    }
    target->second->add(message->subspan(l7::kAccessLineHead));
    if (!target->second->full()) continue;
    flush_all();
    ring.release();
  }
  flush_all();
  ring.release();
}

void AccessLogWriter::flush_all() {
  for (const auto& [number, target] : targets_) target->flush(rings_->written, rings_->unwritten);
}

void AccessLogWriter::tell_drops() {
  const uint64_t dropped = rings_->dropped();
  const auto now = Clock::now();
  if (dropped == told_dropped_ || now < tell_at_) return;
  spdlog::warn("event=access_log_behind lines_dropped={}", dropped - told_dropped_);
  told_dropped_ = dropped;
  tell_at_ = now + kTellDropsEvery;
}

}  // namespace sluice
