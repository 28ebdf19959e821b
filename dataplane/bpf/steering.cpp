#include "dataplane/bpf/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dataplane/bpf/per_cpu.h"
#include "dataplane/bpf/prefix_trie.h"
#include "dataplane/bpf/skeletons.h"
#include "dataplane/bpf/steer_counters.h"

namespace sluice::bpf {
namespace {

constexpr std::string_view kProgramName = "sluice_steer";

std::string foreign(const std::string& interface, const XdpProgram& program) {
  return fmt::format(
      "{} has an XDP program that is not Sluice's: {} (id {}); take it off with `ip link set dev {} xdp "
      "off`, "
      "or choose another interface",
      interface, program.name, program.id, interface);
}

/// Our program on the interface; nothing if there is no program; an Error if it is another's.
Result<std::optional<XdpProgram>> attached_steering(const std::string& interface, int index) {
  auto program = attached_xdp(index);
  if (!program) {
    return fail(fmt::format("{}: {}", interface, program.error().message));
  }
  if (*program && (*program)->name != kProgramName) {
    return fail(foreign(interface, **program));
  }
  return program;
}

/// Whether a socket of a living process is in the map. The kernel does not say, but refuses to put a second
/// one in its place: so try with a socket of our own, which leaves the map when it is closed.
Result<bool> has_sockets(const XdpProgram& program) {
  auto map = map_of(program, "xsks_map");
  if (!map) {
    return tl::unexpected(map.error());
  }
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(map->get(), &info, &size) != 0) {
    return fail(explain_errno("cannot read the size of xsks_map", errno));
  }
  FileDescriptor probe(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  int ring_entries = 1;
  if (!probe || ::setsockopt(probe.get(), SOL_XDP, XDP_RX_RING, &ring_entries, sizeof(ring_entries)) != 0) {
    return fail(explain_errno("cannot make an AF_XDP socket", errno));
  }
  for (uint32_t queue = 0; queue < info.max_entries; queue++) {
    int fd = probe.get();
    if (bpf_map_update_elem(map->get(), &queue, &fd, BPF_NOEXIST) == 0) {
      bpf_map_delete_elem(map->get(), &queue);
    } else if (errno == EEXIST) {
      return true;
    } else {
      return fail(explain_errno("cannot probe xsks_map", errno));
    }
  }
  return false;
}

/// Detaches exactly this program: if another has taken its place meanwhile, that one stays.
Result<void> detach_program(const std::string& interface, int index, const XdpProgram& program) {
  LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = program.fd.get());
  uint32_t mode = program.mode == XdpMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  if (int error = bpf_xdp_detach(index, mode | XDP_FLAGS_REPLACE, &options); error != 0) {
    return fail(explain_errno(fmt::format("cannot take the XDP program off {}", interface), -error));
  }
  return {};
}

}  // namespace

SteeringObject::SteeringObject(FileDescriptor file)
    : file_(std::move(file)), path_(fmt::format("/proc/self/fd/{}", file_.get())) {}

Result<SteeringObject> SteeringObject::create() {
  FileDescriptor file(::memfd_create("steer.bpf.o", MFD_CLOEXEC));
  if (!file) {
    return fail(explain_errno("cannot make a file in memory for the steering program", errno));
  }
  size_t size = 0;
  const char* bytes = static_cast<const char*>(steer_bpf__elf_bytes(&size));
  while (size > 0) {
    ssize_t written = ::write(file.get(), bytes, size);
    if (written < 0) {
      return fail(explain_errno("cannot write the steering program to memory", errno));
    }
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return SteeringObject(std::move(file));
}

Result<Steering> Steering::attach_to(const std::string& interface) {
  auto index = interface_index(interface);
  if (!index) {
    return tl::unexpected(index.error());
  }
  auto program = attached_steering(interface, *index);
  if (!program) {
    return tl::unexpected(program.error());
  }
  if (!*program) {
    return fail(fmt::format("{} has no XDP program: the AF_XDP port on it is not started", interface));
  }
  Steering steering;
  const std::pair<FileDescriptor*, std::string_view> places[] = {{&steering.sockets_, "xsks_map"},
                                                                 {&steering.vips_ipv4_, "vips_ipv4"},
                                                                 {&steering.vips_ipv6_, "vips_ipv6"},
                                                                 {&steering.counters_, "steer_counters"}};
  for (const auto& [fd, name] : places) {
    auto map = map_of(**program, name);
    if (!map) {
      return tl::unexpected(map.error());
    }
    *fd = std::move(*map);
  }
  return steering;
}

Result<void> Steering::add_socket(uint32_t queue, int xdp_socket) const {
  if (bpf_map_update_elem(sockets_.get(), &queue, &xdp_socket, BPF_ANY) != 0) {
    return fail(explain_errno(fmt::format("cannot give queue {} to its AF_XDP socket", queue), errno));
  }
  return {};
}

Result<void> Steering::set_vips(std::span<const Prefix> vips) const {
  return PrefixTries{vips_ipv4_.get(), vips_ipv6_.get()}.replace(vips, 1);
}

Result<std::vector<Prefix>> Steering::vips() const {
  return PrefixTries{vips_ipv4_.get(), vips_ipv6_.get()}.read();
}

Result<SteeringCounters> Steering::counters() const {
  std::array<uint64_t, kSteerCounters> values{};
  for (uint32_t key = 0; key < values.size(); key++) {
    auto value = sum_per_cpu<uint64_t>(counters_.get(), key);
    if (!value) {
      return tl::unexpected(value.error());
    }
    values[key] = *value;
  }
  return SteeringCounters{values[kSteerSteered], values[kSteerPassed], values[kSteerNoSocket]};
}

Result<bool> Steering::detach_stale(const std::string& interface) {
  auto index = interface_index(interface);
  if (!index) {
    return tl::unexpected(index.error());
  }
  auto program = attached_steering(interface, *index);
  if (!program) {
    return tl::unexpected(program.error());
  }
  if (!*program) {
    return false;
  }
  auto in_use = has_sockets(**program);
  if (!in_use) {
    return tl::unexpected(in_use.error());
  }
  if (*in_use) {
    return fail(
        fmt::format("{} is served by another sluiced that is still running; stop it first", interface));
  }
  if (auto ok = detach_program(interface, *index, **program); !ok) {
    return tl::unexpected(ok.error());
  }
  return true;
}

Result<void> Steering::detach(const std::string& interface) {
  auto index = interface_index(interface);
  if (!index) {
    return tl::unexpected(index.error());
  }
  auto program = attached_steering(interface, *index);
  if (!program) {
    return tl::unexpected(program.error());
  }
  return *program ? detach_program(interface, *index, **program) : Result<void>{};
}

}  // namespace sluice::bpf
