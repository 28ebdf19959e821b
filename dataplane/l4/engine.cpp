#include "dataplane/l4/engine.h"

#include <fmt/format.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <algorithm>

#include "dataplane/l4/dpdk_log.h"
#include "dataplane/l4/eal.h"

namespace sluice::l4 {

namespace {

uint32_t worker_count(const WorkerSettings& workers) {
  return workers.cores.empty() ? std::max<uint32_t>(1, workers.count)
                               : static_cast<uint32_t>(workers.cores.size());
}

tl::unexpected<Error> port_error(const PortSettings& port, const Error& error) {
  return fail(fmt::format("port '{}': {}", port.name, error.message));
}

Result<std::vector<PortPlan>> plan_ports(const std::vector<PortSettings>& ports, uint32_t workers) {
  if (ports.empty() || ports.size() > kMaxPorts) {
    return fail(fmt::format("{} ports; there must be 1 to {}", ports.size(), kMaxPorts));
  }
  std::vector<PortPlan> plans;
  for (const PortSettings& port : ports) {
    auto plan = plan_port(port, workers);
    if (!plan) return port_error(port, plan.error());
    plans.push_back(std::move(*plan));
  }
  return plans;
}

struct Buffers {
  uint32_t count = 0;
  uint16_t size = 0;
};

Buffers buffers_for(const std::vector<PortPlan>& plans, uint32_t workers) {
  // The AF_XDP driver hands this many to the kernel before the first packet, whatever the ring size is.
  constexpr uint32_t kAfXdpFill = 2048;
  constexpr uint32_t kHeldByWorker = 1024;  // a burst for each port, and the pool's cache
  Buffers buffers{workers * kHeldByWorker, 0};
  for (const PortPlan& plan : plans) {
    const uint32_t queues = std::max<uint32_t>(plan.receive_queues, workers);
    // Both rings full, and the AF_XDP driver's own rings as long again.
    uint32_t per_queue = 4u * plan.settings.descriptors;
    if (plan.settings.kind == PortKind::kAfXdp) per_queue = std::max(per_queue, 2 * kAfXdpFill);
    buffers.count += queues * per_queue;
    buffers.size = std::max(buffers.size, buffer_size_for(plan.largest_packet));
  }
  return buffers;
}

/// Whether the memory that the operator gives is enough, before it is taken.
Result<void> check_memory(const DpdkSettings& dpdk, const WorkerSettings& workers, const Buffers& buffers,
                          uint32_t count) {
  constexpr uint64_t kOwnBytes = 4 << 20;  // DPDK's and the drivers' rings and tables
  const uint64_t pool = mbuf_pool_bytes(buffers.count, buffers.size);
  const uint64_t flows = sizeof(FlowBucket) * FlowTable::buckets_for(workers.flow_table_flows);
  const uint64_t wanted_mb = ((pool + count * flows + kOwnBytes) >> 20) + 1;
  if (wanted_mb <= dpdk.memory_mb) return {};
  return fail(fmt::format(
      "dpdk.memory_mb: {} MiB are not enough: {} packet buffers take {} MiB and {} flow table(s) {} MiB; "
      "set it to {} or more, or lower workers.flow_table_flows, ports' descriptors or queues",
      dpdk.memory_mb, buffers.count, (pool >> 20) + 1, count, ((count * flows) >> 20) + 1, wanted_mb));
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(const DpdkSettings& dpdk, const std::vector<PortSettings>& ports,
                                             const WorkerSettings& workers) {
  const uint32_t count = worker_count(workers);
  keep_dpdk_log();
  if (auto present = check_cores(workers); !present) return tl::unexpected(present.error());
  const auto plans = plan_ports(ports, count);
  if (!plans) return tl::unexpected(plans.error());
  const Buffers buffers = buffers_for(*plans, count);
  if (auto enough = check_memory(dpdk, workers, buffers, count); !enough)
    return tl::unexpected(enough.error());
  if (auto started = start_eal(eal_arguments(dpdk, ports, workers, count)); !started) {
    return tl::unexpected(started.error());
  }
  std::unique_ptr<Engine> engine(new Engine(count));
  auto pool = make_mbuf_pool("packets", buffers.count, buffers.size);
  if (!pool) return tl::unexpected(pool.error());
  engine->pool_ = std::move(*pool);
  auto done = engine->open_ports(*plans, count);
  if (done) done = engine->make_workers(workers, count);
  if (!done) return tl::unexpected(done.error());
  return engine;
}

Result<void> Engine::open_ports(const std::vector<PortPlan>& plans, uint32_t workers) {
  const bool any_af_xdp = std::any_of(plans.begin(), plans.end(), [](const PortPlan& plan) {
    return plan.settings.kind == PortKind::kAfXdp;
  });
  if (any_af_xdp) {
    auto object = bpf::SteeringObject::create();
    if (!object) return tl::unexpected(object.error());
    steering_ = std::move(*object);
  }
  ports_.reserve(plans.size());
  for (const PortPlan& plan : plans) {
    auto port = Port::open(plan, static_cast<uint16_t>(ports_.size()), workers, pool_.get(),
                           steering_ ? &*steering_ : nullptr);
    if (!port) return port_error(plan.settings, port.error());
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
    for (const Port& port : ports_) {
      setup.transmit.push_back(port.transmit_queue(index));
      setup.traits.push_back(port.traits());
      // Beginning with its own number: an AF_XDP queue that it sends by is then also one it receives from.
      for (uint32_t queue = index; queue < port.receive_queues(); queue += count) {
        setup.queues.push_back(port.receive_queue(static_cast<uint16_t>(queue)));
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
