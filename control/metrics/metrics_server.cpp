#include "control/metrics/metrics_server.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <utility>

namespace sluice {

namespace {

/// Signals are the control thread's, and others go first for a CPU.
void become_background_thread() {
  pthread_setname_np(pthread_self(), "metrics");
  constexpr int kNice = 10;
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kNice);
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> MetricsServer::open(const IpAddress& address, uint16_t port) {
  ApiLimits limits;
  limits.body_bytes = 0;
  limits.header_bytes = 8u << 10;
  limits.clients = kClients;
  limits.request_time = std::chrono::seconds(5);
  // A text of 15 MB has this long to get through: 1.5 MB/s.
  limits.answer_time = std::chrono::seconds(10);
  std::unique_ptr<MetricsServer> server(new MetricsServer);
  auto api = ApiServer::open_tcp(server->io_, address, port, limits);
  if (!api) return fail(api.error().message + "; see metrics.listen");
  server->api_ = *std::move(api);
  return server;
}

void MetricsServer::start(Render render) {
  api_->route("GET", "/metrics",
              [this, render = std::move(render)](const ApiRequest&) { return answer(render); });
  // The control thread alone takes signals: a new thread begins with the mask of the one that makes it.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] {
    become_background_thread();
    io_.run();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

ApiResponse MetricsServer::answer(const Render& render) {
  const auto now = std::chrono::steady_clock::now();
  if (!rendered_ || now - *rendered_ >= kFresh) {
    auto text = render(stopping_);
    if (!text) return api_error(503, text.error().message);
    text_ = *std::move(text);
    rendered_ = std::chrono::steady_clock::now();
  }
  ApiResponse response{200, text_};
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  return response;
}

MetricsServer::~MetricsServer() {
  stopping_ = true;
  if (thread_.joinable()) {
    boost::asio::post(io_, [this] {
      api_->stop();
      io_.stop();
    });
    thread_.join();
  } else if (api_ != nullptr) {
    api_->stop();
  }
}

}  // namespace sluice
