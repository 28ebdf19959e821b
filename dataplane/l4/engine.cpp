#include "dataplane/l4/engine.h"

#include <fmt/format.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <algorithm>

#include "dataplane/l4/eal.h"

namespace sluice::l4 {

namespace {

uint32_t worker_count(const WorkerSettings& workers) {
  return std::max<uint32_t>(1, static_cast<uint32_t>(workers.cores.size()));
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const DpdkSettings& dpdk, const std::vector<PortSettings>& ports,
                                             const WorkerSettings& workers) {
  const uint32_t count = worker_count(workers);
  if (ports.empty() || ports.size() > kMaxPorts) {
    return fail(fmt::format("{} ports; there must be 1 to {}", ports.size(), kMaxPorts));
  }
  if (auto started = start_eal(eal_arguments(dpdk, ports, workers, count)); !started) {
    return tl::unexpected(started.error());
  }
  std::unique_ptr<Engine> engine(new Engine(count));
  auto done = engine->open_ports(ports, count);
  if (done) done = engine->make_workers(workers, count);
  if (!done) return tl::unexpected(done.error());
  return engine;
}

Result<void> Engine::open_ports(const std::vector<PortSettings>& ports, uint32_t workers) {
  // Per queue: both rings full, the AF_XDP driver's own rings as long again, and what workers hold.
  uint32_t buffers = workers * 1024;
  uint16_t buffer_size = 0;
  for (const PortSettings& port : ports) {
    const uint32_t queues = std::max<uint32_t>(port.queues, workers);
    buffers += queues * 4 * port.descriptors;
    buffer_size = std::max(buffer_size, buffer_size_for(port.mtu));
  }
  auto pool = make_mbuf_pool("packets", buffers, buffer_size);
  if (!pool) return tl::unexpected(pool.error());
  pool_ = std::move(*pool);

  const bool any_af_xdp = std::any_of(ports.begin(), ports.end(),
                                      [](const PortSettings& port) { return port.kind == PortKind::kAfXdp; });
  if (any_af_xdp) {
    auto object = bpf::SteeringObject::create();
    if (!object) return tl::unexpected(object.error());
    steering_ = std::move(*object);
  }
  ports_.reserve(ports.size());
  for (const PortSettings& settings : ports) {
    auto port = Port::open(settings, static_cast<uint16_t>(ports_.size()), workers, pool_.get(),
                           steering_ ? &*steering_ : nullptr);
    if (!port) return tl::unexpected(port.error());
    ports_.push_back(std::move(*port));
  }
  return {};
}

Result<void> Engine::make_workers(const WorkerSettings& settings, uint32_t count) {
  const uint32_t buckets = FlowTable::buckets_for(settings.flow_table_flows);
  for (uint32_t index = 0; index < count; ++index) {
    auto* memory =
        static_cast<FlowBucket*>(rte_zmalloc("flows", sizeof(FlowBucket) * buckets, alignof(FlowBucket)));
    if (memory == nullptr) {
      return fail(
          fmt::format("no memory for a flow table of {} MiB; raise dpdk.memory_mb or lower "
                      "workers.flow_table_flows",
                      sizeof(FlowBucket) * buckets >> 20));
    }
    flow_memory_.push_back(memory);

    WorkerSetup setup;
    setup.index = index;
    setup.idle = settings.idle;
    setup.flow_memory = {memory, buckets};
    for (uint16_t p = 0; p < ports_.size(); ++p) {
      const Port& port = ports_[p];
      setup.devices.push_back(port.device());
      setup.traits.push_back(port.traits());
      for (uint16_t queue = 0; queue < port.receive_queues(); ++queue) {
        if (queue % count != index) continue;
        const auto& sockets = port.receive_sockets();
        setup.queues.push_back({p, port.device(), queue, queue < sockets.size() ? sockets[queue] : -1});
      }
    }
    workers_.push_back(std::make_unique<Worker>(std::move(setup), published_));
  }
  return {};
}

void Engine::start_workers() {
  struct Launch {
    Worker* worker;
    const std::atomic<bool>* stop;
  };
  static const auto run = [](void* argument) {
    const std::unique_ptr<Launch> launch(static_cast<Launch*>(argument));
    launch->worker->run(*launch->stop);
    return 0;
  };
  for (uint32_t index = 0; index < workers_.size(); ++index) {
    rte_eal_remote_launch(run, new Launch{workers_[index].get(), &stop_}, index + 1);
  }
  running_ = true;
}

Result<void> Engine::publish(std::unique_ptr<const ForwardingTable> table, const std::vector<Vip>& vips) {
  published_.publish(std::move(table));
  if (!running_) start_workers();
  std::vector<Prefix> prefixes;
  for (const Vip& vip : vips) prefixes.push_back(vip.address);
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  for (const Port& port : ports_) {
    if (auto steered = port.steer(prefixes); !steered) {
      return fail(fmt::format("port '{}': {}", port.settings().name, steered.error().message));
    }
  }
  return {};
}

void Engine::stop() {
  if (!running_) return;
  for (const Port& port : ports_) (void)port.steer({});
  stop_.store(true);
  rte_eal_mp_wait_lcore();
  running_ = false;
}

Engine::~Engine() {
  stop();
  workers_.clear();
  for (FlowBucket* memory : flow_memory_) rte_free(memory);
  ports_.clear();
  pool_.reset();
  stop_eal();
}

}  // namespace sluice::l4
