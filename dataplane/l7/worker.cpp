#include "dataplane/l7/worker.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/l7/transport.h"

namespace sluice::l7 {
namespace {

// New connections taken in one go; the rest waits in the kernel while requests are served.
constexpr int kAcceptsPerTurn = 64;

}  // namespace

class Worker::Listener final : public IoHandler {
 public:
  Listener(Worker& worker, const ListenerSettings& settings, int fd)
      : worker_(worker), settings_(settings), fd_(fd) {}
  ~Listener() override {
    worker_.loop_->remove(fd_, *this);
    close(fd_);
  }
  Result<void> open() { return worker_.loop_->add(fd_, EPOLLIN, *this); }

  void on_ready(uint32_t /*events*/) override {
    for (int taken = 0; taken < kAcceptsPerTurn; ++taken) {
      const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      worker_.adopt(fd, settings_);
    }
  }

 private:
  Worker& worker_;
  const ListenerSettings& settings_;
  int fd_;
};

Worker::Worker(std::unique_ptr<EventLoop> loop, uint32_t index, uint64_t seed)
    : loop_(std::move(loop)), context_(*loop_, index, seed) {}

Result<std::unique_ptr<Worker>> Worker::make(const ProxySnapshot& snapshot, uint32_t index, uint64_t seed,
                                             std::function<void(const std::string&)> on_streak) {
  auto loop = EventLoop::make();
  if (!loop) return tl::unexpected(loop.error());
  std::unique_ptr<Worker> worker(new Worker(*std::move(loop), index, seed));
  worker->context_.on_streak = std::move(on_streak);
  if (auto configured = worker->configure(snapshot); !configured) return tl::unexpected(configured.error());
  return worker;
}

Result<void> Worker::configure(const ProxySnapshot& snapshot) {
  const auto& settings = snapshot.settings;
  configs_.push_back(std::make_unique<ConfigInUse>(settings));
  context_.config = configs_.back().get();
  for (const ClusterSettings& cluster : settings->clusters) {
    // The settings of all clusters live in one object, which each of them keeps alive.
    const std::shared_ptr<const ClusterSettings> own(settings, &cluster);
    const ProxySnapshot::Cluster& shared = snapshot.clusters.at(cluster.name);
    clusters_[cluster.name] =
        std::make_unique<ClusterRuntime>(context_, own, shared.breakers, shared.endpoints);
  }
  for (const ListenerSettings& listener : settings->listeners) {
    const auto fd = listen_on(listener.address, listener.port);
    if (!fd) return tl::unexpected(fd.error());
    listeners_.push_back(std::make_unique<Listener>(*this, listener, *fd));
    if (auto opened = listeners_.back()->open(); !opened) return opened;
  }
  return {};
}

void Worker::use_endpoints(const std::string& cluster, EndpointSet::Pointer endpoints) {
  loop_->post([this, cluster, endpoints = std::move(endpoints)]() mutable {
    const auto found = clusters_.find(cluster);
    if (found != clusters_.end()) found->second->use(std::move(endpoints));
  });
}

Worker::~Worker() {
  stop();
  listeners_.clear();
  while (!clients_.empty()) clients_.front().shut("the proxy stops");
  clusters_.clear();
  context_.retired.clear();
  context_.closed.clear();
}

void Worker::adopt(int fd, const ListenerSettings& listener) {
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  auto client = std::make_unique<ClientConnection>(context_, fd, listener, *clusters_.at(listener.cluster));
  if (!client->open()) return;
  clients_.push_back(*client.release());
}

void Worker::start(int cpu, const std::string& name) {
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), name.substr(0, 15).c_str());
  if (cpu < 0) return;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(cpu), &cpus);
  pthread_setaffinity_np(thread_.native_handle(), sizeof(cpus), &cpus);
}

void Worker::run() {
  while (!stopping_.load(std::memory_order_relaxed)) {
    loop_->run_once();
    end_wake_up();
  }
}

void Worker::end_wake_up() {
  // A flush that makes room wakes streams, which write again: those are at the end of the list and come in
  // turn.
  while (!context_.unflushed.empty()) context_.unflushed.front().flush();
  context_.closed.clear();
  if (!context_.retired.empty()) {
    std::erase_if(context_.retired, [](const auto& pool) { return pool->unused(); });
    context_.closed.clear();
  }
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_->post([this] { stopping_.store(true, std::memory_order_relaxed); });
  thread_.join();
}

}  // namespace sluice::l7
