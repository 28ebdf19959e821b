#include "dataplane/l7/worker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <future>

#include "dataplane/l7/transport.h"

namespace sluice::l7 {
namespace {

// New connections taken in one go; the rest waits in the kernel while requests are served.
constexpr int kAcceptsPerTurn = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};
// At the end: more than the kernel lets wait at a time.
constexpr int kLastTurns = 128;

}  // namespace

class Worker::Listener final : public IoHandler {
 public:
  Listener(Worker& worker, std::shared_ptr<const BoundSocket> socket)
      : worker_(worker), socket_(std::move(socket)) {}
  ~Listener() override { worker_.loop_->remove(socket_->fd(), *this); }
  Result<void> open() { return worker_.loop_->add(socket_->fd(), 0, *this); }
  void accept() { worker_.loop_->change(socket_->fd(), EPOLLIN, *this); }
  const BoundSocket* socket() const { return socket_.get(); }
  /// Its place in the configuration.
  void move_to(size_t place) { place_ = place; }

  void on_ready(uint32_t /*events*/) override { accept_some(); }
  /// Takes all that waits, also what goes on coming while it does so, within reason.
  void empty() {
    for (int turns = 0; turns < kLastTurns && accept_some(); ++turns) {
    }
  }

 private:
  // False: nothing waits any more, or nothing can be taken.
  bool accept_some() {
    for (int taken = 0; taken < kAcceptsPerTurn; ++taken) {
      IpAddress address;
      uint16_t port = 0;
      const int fd = accept_from(socket_->fd(), address, port);
      if (fd < 0) {
        // Without a descriptor the connection goes on waiting, and would wake us for ever.
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) pause();
        return false;
      }
      worker_.adopt(fd, address, port, place_);
    }
    return true;
  }

  void pause() {
    worker_.context_.counters.accept_failures.add(1);
    worker_.loop_->change(socket_->fd(), 0, *this);
    worker_.loop_->timers().start(
        resume_timer_, worker_.loop_->now(), kAcceptPause,
        [](void* self) { static_cast<Listener*>(self)->accept(); }, this);
  }

  Worker& worker_;
  Timer resume_timer_;
  std::shared_ptr<const BoundSocket> socket_;
  size_t place_ = 0;
};

Worker::Worker(std::unique_ptr<EventLoop> loop, uint32_t index, uint64_t seed,
               std::shared_ptr<ProxyShared> shared)
    : loop_(std::move(loop)), context_(*loop_, index, seed, std::move(shared)) {}

Result<std::unique_ptr<Worker>> Worker::make(const ProxySnapshot& snapshot,
                                             const std::vector<BoundSockets>& sockets, uint32_t index,
                                             uint64_t seed, WorkerEvents events) {
  auto loop = EventLoop::make();
  if (!loop) return tl::unexpected(loop.error());
  std::unique_ptr<Worker> worker(new Worker(*std::move(loop), index, seed, snapshot.shared));
  worker->context_.events = std::move(events);
  worker->configure(snapshot);
  if (auto listening = worker->listen(sockets); !listening) return tl::unexpected(listening.error());
  return worker;
}

void Worker::configure(const ProxySnapshot& snapshot) {
  auto config = std::make_unique<ConfigInUse>();
  config->settings = snapshot.settings;
  config->limiters = snapshot.limiters;
  std::unordered_map<std::string, std::shared_ptr<ClusterRuntime>> clusters;
  for (size_t i = 0; i < snapshot.settings->clusters.size(); ++i) {
    const ClusterSettings& settings = snapshot.settings->clusters[i];
    // The settings of all clusters live in one object, which each of them keeps alive.
    const std::shared_ptr<const ClusterSettings> own(snapshot.settings, &settings);
    const ProxySnapshot::Cluster& shared = snapshot.clusters.at(settings.name);
    auto& cluster = clusters_[settings.name];
    if (cluster) {
      cluster->use(shared.endpoints);
    } else {
      cluster = std::make_shared<ClusterRuntime>(context_, own, shared);
    }
    cluster->configure(own, snapshot.tls->clusters[i]);
    cluster->preconnect();
    config->clusters.push_back(cluster);
    clusters[settings.name] = cluster;
  }
  // Clusters that have gone live on in the configurations of requests that run there.
  clusters_.swap(clusters);
  for (size_t i = 0; i < snapshot.routes.size(); ++i) {
    config->listeners.push_back({&snapshot.settings->listeners[i], snapshot.routes[i],
                                 snapshot.tls->listeners[i], snapshot.traffic[i],
                                 snapshot.traffic[i]->routes_of(context_.index), snapshot.clients[i]});
  }
  context_.access_log = snapshot.access_log;
  context_.span_rings = snapshot.spans;
  if (snapshot.settings->tracing) config->spans = &snapshot.spans->of(context_.index);
  configs_.push_back(std::move(config));
  context_.config = configs_.back().get();
}

Result<void> Worker::listen(const std::vector<BoundSockets>& sockets) {
  std::vector<std::unique_ptr<Listener>> listeners;
  Result<void> all;
  for (size_t place = 0; place < sockets.size(); ++place) {
    for (const auto& socket : sockets[place]) {
      const auto same = std::find_if(listeners_.begin(), listeners_.end(), [&](const auto& listener) {
        return listener && listener->socket() == socket.get();
      });
      if (same != listeners_.end()) {
        listeners.push_back(std::move(*same));
      } else {
        listeners.push_back(std::make_unique<Listener>(*this, socket));
        if (auto opened = listeners.back()->open(); !opened) all = opened;
        if (accepting_) listeners.back()->accept();
      }
      listeners.back()->move_to(place);
    }
  }
  listeners_.swap(listeners);
  return all;
}

void Worker::accept() {
  loop_->post([this] {
    accepting_ = true;
    for (auto& listener : listeners_) listener->accept();
  });
}

// Clients stay with their listener, by its name; those whose listener has gone are asked to go.
void Worker::move_clients() {
  std::vector<ClientConnection*> homeless;
  clients_.for_each([&](ClientConnection& client) {
    const auto& listeners = context_.config->listeners;
    const auto same =
        std::find_if(listeners.begin(), listeners.end(), [&](const ConfigInUse::Listener& listener) {
          return listener.settings->name == client.listener_name();
        });
    if (same == listeners.end()) {
      homeless.push_back(&client);
    } else {
      client.move_to(static_cast<size_t>(same - listeners.begin()));
    }
  });
  for (ClientConnection* client : homeless) {
    client->move_to(0);
    client->drain();
  }
}

void Worker::apply(ProxySnapshot snapshot, std::vector<BoundSockets> sockets) {
  loop_->post([this, snapshot = std::move(snapshot), sockets = std::move(sockets)] {
    configure(snapshot);
    if (auto listening = listen(sockets); !listening && context_.events.on_listen_failure)
      context_.events.on_listen_failure(listening.error().message);
    move_clients();
  });
}

void Worker::turn_health(bool draining) {
  loop_->post([this, draining] { context_.health_turned = draining; });
}

void Worker::survey_connections(ConnectionFilter filter, size_t limit,
                                std::function<void(ConnectionsFound)> done) {
  loop_->post([this, filter = std::move(filter), limit, done = std::move(done)]() mutable {
    std::vector<std::shared_ptr<ClusterRuntime>> clusters;
    for (const auto& [name, cluster] : clusters_) {
      if (filter.takes_place(name)) clusters.push_back(cluster);
    }
    surveys_.add({std::move(filter), limit, std::move(done), std::move(clusters)});
  });
}

void Worker::drain(std::chrono::milliseconds notice, std::chrono::milliseconds spread) {
  loop_->post([this, notice, spread] {
    context_.leaving = true;
    // What waits in the listening sockets has been told that it is connected.
    for (auto& listener : listeners_) listener->empty();
    listeners_.clear();
    clients_.for_each([&](ClientConnection& client) {
      client.announce_drain();
      client.drain_after(notice + std::chrono::milliseconds(
                                      context_.random.below(static_cast<uint64_t>(spread.count()) + 1)));
    });
  });
}

std::map<std::string, ListenerLoad> Worker::load() {
  constexpr std::chrono::seconds kPatience{1};
  const auto promise = std::make_shared<std::promise<std::map<std::string, ListenerLoad>>>();
  auto answer = promise->get_future();
  loop_->post([this, promise] {
    std::map<std::string, ListenerLoad> loads;
    clients_.for_each([&](ClientConnection& client) {
      ListenerLoad& load = loads[client.listener_name()];
      ++load.clients;
      load.streams += client.codec().open_streams();
    });
    promise->set_value(std::move(loads));
  });
  return answer.wait_for(kPatience) == std::future_status::ready ? answer.get()
                                                                 : std::map<std::string, ListenerLoad>{};
}

void Worker::use_endpoints(const std::string& cluster, EndpointSet::Pointer endpoints) {
  loop_->post([this, cluster, endpoints = std::move(endpoints)]() mutable {
    const auto found = clusters_.find(cluster);
    if (found == clusters_.end()) return;
    found->second->use(std::move(endpoints));
    found->second->preconnect();
  });
}

Worker::~Worker() {
  stop();
  surveys_.clear();
  listeners_.clear();
  while (!clients_.empty()) clients_.front().shut("the proxy stops");
  context_.retired.clear();
  clusters_.clear();
  configs_.clear();
  context_.closed.clear();
}

// Why a client that connects now is not taken; it is counted if it is.
Defence Worker::refusal_of(size_t listener) {
  if (context_.memory.level() != MemoryLevel::kCalm) return Defence::kMemoryClients;
  const auto limit = [](uint32_t most) { return most == 0 ? UINT32_MAX : most; };
  LimitedCount& all = context_.shared->clients;
  if (!all.try_take(limit(context_.config->settings->max_clients))) return Defence::kProxyFull;
  const ConfigInUse::Listener& there = context_.config->listeners[listener];
  if (there.clients->try_take(limit(there.settings->max_clients))) return Defence::kNone;
  all.give_back();
  return Defence::kListenerFull;
}

void Worker::adopt(int fd, const IpAddress& address, uint16_t port, size_t listener) {
  const Defence refusal = refusal_of(listener);
  if (refusal != Defence::kNone) {
    context_.counters.client_defences[static_cast<size_t>(refusal)].add(1);
    close(fd);
    return;
  }
  auto client = std::make_unique<ClientConnection>(context_, fd, address, port, listener);
  if (!client->open()) {
    context_.config->listeners[listener].clients->give_back();
    context_.shared->clients.give_back();
    return;
  }
  context_.counters.clients.add(1);
  client_count_.fetch_add(1, std::memory_order_relaxed);
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
  // OpenSSL writes to sockets without MSG_NOSIGNAL. Blocked, the signal is an error like others.
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  while (!stopping_.load(std::memory_order_relaxed)) {
    loop_->run_once();
    end_wake_up();
  }
}

void Worker::end_wake_up() {
  // A flush that makes room wakes streams, which write again: those are at the end of the list and come in
  // turn.
  while (!context_.unflushed.empty()) context_.unflushed.front().flush();
  if (!context_.memory.tight().empty()) weigh_connections();
  context_.memory.settle(context_.kept_bytes());
  if (context_.memory.level() != MemoryLevel::kCalm) shed();
  if (context_.kept_bytes() > kKeptForGood && !trim_timer_.running()) trim_later();
  if (context_.clients_gone != 0)
    client_count_.fetch_sub(std::exchange(context_.clients_gone, 0), std::memory_order_relaxed);
  context_.closed.clear();
  if (!context_.retired.empty()) {
    std::erase_if(context_.retired, [](const auto& pool) { return pool->unused(); });
    context_.closed.clear();
  }
  if (configs_.size() > 1) {
    std::erase_if(configs_, [this](const auto& config) {
      return config.get() != context_.config && config->exchanges == 0;
    });
  }
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  loop_->post([this] { stopping_.store(true, std::memory_order_relaxed); });
  thread_.join();
}

}  // namespace sluice::l7
