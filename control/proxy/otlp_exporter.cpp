#include "control/proxy/otlp_exporter.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>

#include "control/log_line.h"
#include "lb/l7/random.h"
#include "lb/l7/retry_backoff.h"

namespace sluice::control {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

using Time = std::chrono::steady_clock::time_point;

// How often the rings are looked into; SpanRings::kBytesOfWorker has room for so long.
constexpr std::chrono::milliseconds kLook{50};
constexpr RetryBackoff kBackoff{std::chrono::milliseconds(500), std::chrono::milliseconds(30'000)};
// Spans that nobody has wanted for so long are of no use to who looks at what happens now.
constexpr std::chrono::minutes kGiveUp{2};

}  // namespace

std::string_view span_loss_name(SpanLoss loss) {
  switch (loss) {
    case SpanLoss::kRingFull:
      return "ring_full";
    case SpanLoss::kQueueFull:
      return "queue_full";
    case SpanLoss::kRefused:
      return "refused";
    case SpanLoss::kGivenUp:
      return "given_up";
  }
  return "";
}

/// What the thread does. All but the counters belongs to it.
class OtlpExporter::Loop {
 public:
  Loop(const std::shared_ptr<asio::io_context>& io, OtlpSettings settings, std::string instance,
       std::string version, l7::SpanRings::Pointer rings)
      : io_(io),
        rings_(std::move(rings)),
        resource_{settings.service_name, std::move(instance), std::move(version)},
        batches_(resource_),
        sender_(io, std::move(settings)),
        look_timer_(*io),
        retry_timer_(*io),
        end_timer_(*io),
        random_(static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count())) {
    look_later();
  }

  void use(OtlpSettings settings) {
    if (settings == sender_.settings()) return;
    resource_.service_name = settings.service_name;
    batches_.use(resource_);
    sender_.use(std::move(settings));
    sending_ = false;
    retry_timer_.cancel();
    waiting_ = false;
    send();
  }

  void finish(std::chrono::milliseconds most) {
    finishing_ = true;
    take_spans();
    batches_.close();
    end_timer_.expires_after(most);
    end_timer_.async_wait([this](error_code cancelled) {
      if (!cancelled) end();
    });
    retry_timer_.cancel();
    waiting_ = false;
    send();
  }

  TraceExportCounts counts() const {
    TraceExportCounts counts;
    counts.exported = exported_.read();
    for (size_t i = 0; i < kSpanLosses; ++i) counts.dropped[i] = dropped_[i].read();
    counts.dropped[static_cast<size_t>(SpanLoss::kRingFull)] = rings_->dropped();
    for (size_t i = 0; i < kOtlpFailures; ++i) counts.failures[i] = failures_[i].read();
    return counts;
  }

 private:
  void look_later() {
    look_timer_.expires_after(kLook);
    look_timer_.async_wait([this](error_code cancelled) {
      if (cancelled || finishing_) return;
      take_spans();
      batches_.close_if_due(std::chrono::steady_clock::now());
      send();
      look_later();
    });
  }

  void take_spans() {
    const Time now = std::chrono::steady_clock::now();
    rings_->for_each([&](l7::ByteRing& ring) {
      while (const auto message = ring.next()) {
        if (!batches_.add(*message, now)) drop(SpanLoss::kQueueFull, 1);
        ring.release();
      }
    });
  }

  void send() {
    if (sending_ || waiting_) return;
    if (batches_.empty()) {
      if (finishing_) end();
      return;
    }
    sending_ = true;
    sender_.send(batches_.front().body, [this](const OtlpAnswer& answer) {
      sending_ = false;
      on_answer(answer);
    });
  }

  void on_answer(const OtlpAnswer& answer) {
    OtlpBatches::Batch& batch = batches_.front();
    if (!answer.failure) {
      const uint64_t rejected = std::min<uint64_t>(answer.rejected, batch.spans);
      exported_.add(batch.spans - rejected);
      drop(SpanLoss::kRefused, rejected);
      batches_.pop();
      if (failing_) spdlog::info("event=trace_export_recovered collector={}", collector());
      failing_ = false;
      return send();
    }
    failures_[static_cast<size_t>(*answer.failure)].add(1);
    // One line until it goes well again: the rest is in the metrics.
    if (!failing_) {
      spdlog::warn("event=trace_export_failed collector={} error={} again={}", collector(),
                   log_quoted(answer.error), answer.again);
    }
    failing_ = true;
    if (!answer.again) {
      drop(SpanLoss::kRefused, batch.spans);
      batches_.pop();
      return send();
    }
    if (finishing_) return end();
    send_again(batch, answer.wait);
  }

  void send_again(OtlpBatches::Batch& batch, std::chrono::nanoseconds asked) {
    ++batch.failures;
    const auto wait = std::max(asked, retry_wait(kBackoff, batch.failures, random_));
    if (std::chrono::steady_clock::now() + wait - batch.begun > kGiveUp) {
      drop(SpanLoss::kGivenUp, batch.spans);
      batches_.pop();
    }
    waiting_ = true;
    retry_timer_.expires_after(wait);
    retry_timer_.async_wait([this](error_code cancelled) {
      if (cancelled) return;
      waiting_ = false;
      send();
    });
  }

  void end() {
    const uint64_t left = batches_.spans();
    drop(SpanLoss::kGivenUp, left);
    if (left != 0) spdlog::warn("event=trace_export_unfinished collector={} spans={}", collector(), left);
    io_->stop();
  }

  void drop(SpanLoss loss, uint64_t spans) { dropped_[static_cast<size_t>(loss)].add(spans); }
  std::string collector() const { return log_quoted(otlp_authority(sender_.settings())); }

  std::shared_ptr<asio::io_context> io_;
  l7::SpanRings::Pointer rings_;
  OtlpResource resource_;
  OtlpBatches batches_;
  OtlpSender sender_;
  asio::steady_timer look_timer_;
  asio::steady_timer retry_timer_;
  asio::steady_timer end_timer_;
  Random random_;
  bool sending_ = false;
  bool waiting_ = false;    // before a body is sent again
  bool failing_ = false;    // the last body did not arrive
  bool finishing_ = false;  // the proxy ends
  Counter exported_;
  std::array<Counter, kSpanLosses> dropped_;
  std::array<Counter, kOtlpFailures> failures_;
};

std::unique_ptr<OtlpExporter> OtlpExporter::start(OtlpSettings settings, std::string instance,
                                                  std::string version, l7::SpanRings::Pointer rings) {
  std::unique_ptr<OtlpExporter> exporter(new OtlpExporter);
  exporter->io_ = std::make_shared<asio::io_context>(1);
  exporter->loop_ = std::make_unique<Loop>(exporter->io_, std::move(settings), std::move(instance),
                                           std::move(version), std::move(rings));
  exporter->thread_ = std::thread([io = exporter->io_] {
    // Signals are the control thread's.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    io->run();
  });
  pthread_setname_np(exporter->thread_.native_handle(), "otlp-exporter");
  return exporter;
}

OtlpExporter::~OtlpExporter() {
  finish(std::chrono::milliseconds(0));
}

void OtlpExporter::use(OtlpSettings settings) {
  asio::post(*io_, [this, settings = std::move(settings)] { loop_->use(settings); });
}

void OtlpExporter::finish(std::chrono::milliseconds most) {
  if (!thread_.joinable()) return;
  asio::post(*io_, [this, most] { loop_->finish(most); });
  thread_.join();
}

TraceExportCounts OtlpExporter::counts() const {
  return loop_->counts();
}

}  // namespace sluice::control
