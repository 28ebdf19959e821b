// Serves metrics over TCP from a thread of its own, at a lower priority than all others: neither the control
// thread nor a worker waits for a scraper, however slow, and however many there are.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "control/api_server.h"
#include "lb/address.h"
#include "lb/result.h"

namespace sluice {

class MetricsServer {
 public:
  /// Makes the text, on the server's thread. It may wait for another thread, but not once `stopping` is set.
  using Render = std::function<Result<std::string>(const std::atomic<bool>& stopping)>;

  /// Listens; nobody is served before start(). Port 0: one that the kernel chooses. Errors as listen_tcp().
  static Result<std::unique_ptr<MetricsServer>> open(const IpAddress& address, uint16_t port);
  /// Ends the thread and closes all clients.
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  /// Serves GET /metrics. A text is given to all who ask within kFresh, so that whoever asks how often makes
  /// `render` run no more often than that.
  void start(Render render);
  uint16_t port() const { return api_->port(); }

  static constexpr std::chrono::milliseconds kFresh{500};
  static constexpr size_t kClients = 8;

 private:
  MetricsServer() = default;
  ApiResponse answer(const Render& render);

  boost::asio::io_context io_;
  std::unique_ptr<ApiServer> api_;
  std::string text_;
  std::optional<std::chrono::steady_clock::time_point> rendered_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// Runs `task` on the thread of `io` and waits for what it returns. Nothing if it has not run within `limit`,
/// or once `stopping` is set; it may run later then, so it must hold what it uses.
template <typename Task>
auto ask_thread(boost::asio::io_context& io, Task task, const std::atomic<bool>& stopping,
                std::chrono::milliseconds limit) -> std::optional<decltype(task())> {
  auto promise = std::make_shared<std::promise<decltype(task())>>();
  auto answer = promise->get_future();
  boost::asio::post(io, [promise, task = std::move(task)] { promise->set_value(task()); });
  constexpr std::chrono::milliseconds kStep{20};
  for (auto waited = std::chrono::milliseconds(0); waited < limit && !stopping; waited += kStep) {
    if (answer.wait_for(kStep) == std::future_status::ready) return answer.get();
  }
  return std::nullopt;
}

}  // namespace sluice
