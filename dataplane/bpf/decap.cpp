#include "dataplane/bpf/decap.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "dataplane/bpf/attached_program.h"
#include "dataplane/bpf/decap_maps.h"
#include "dataplane/bpf/skeletons.h"
#include "dataplane/bpf/tc_hook.h"

namespace sluice::bpf {
namespace {

constexpr std::string_view kXdpName = "sluice_decap";
constexpr std::string_view kTcName = "sluice_decap_tc";

constexpr std::array<std::pair<DecapMode, std::string_view>, 4> kModeNames = {{
    {DecapMode::kAuto, "auto"},
    {DecapMode::kNative, "native"},
    {DecapMode::kGeneric, "generic"},
    {DecapMode::kTc, "tc"},
}};

/// Our program as found on an interface.
struct Running {
  DecapMode mode = DecapMode::kNative;
  Program program;
};

/// What an interface has: our program, and an XDP program of somebody else.
struct Interface {
  int index = 0;
  std::string name;
  std::optional<Running> running;
  std::optional<XdpProgram> foreign;
};

struct SkeletonCloser {
  void operator()(decap_bpf* skeleton) const { decap_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<decap_bpf, SkeletonCloser>;

/// Keeps the last thing that libbpf had to say, which holds the kernel's own words about a refusal, instead
/// of letting it print a page.
class LibbpfLog {
 public:
  LibbpfLog() : before_(libbpf_set_print(keep)) { last().clear(); }
  ~LibbpfLog() { libbpf_set_print(before_); }
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  /// " (the kernel's words)" if there were any.
  static std::string kernel_words() {
    constexpr std::string_view kMark = "Kernel error message: ";
    auto at = last().find(kMark);
    return at == std::string::npos ? "" : fmt::format(" ({})", last().substr(at + kMark.size()));
  }

 private:
  static std::string& last() {
    static thread_local std::string text;
    return text;
  }
  __attribute__((format(printf, 2, 0))) static int keep(libbpf_print_level level, const char* format,
                                                        va_list arguments) {
    if (level == LIBBPF_WARN) {
      std::array<char, 512> line{};
      std::vsnprintf(line.data(), line.size(), format, arguments);
      last() = line.data();
      while (!last().empty() && last().back() == '\n') {
        last().pop_back();
      }
    }
    return 0;
  }
  libbpf_print_fn_t before_;
};

uint32_t xdp_flags(DecapMode mode) {
  return mode == DecapMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

Result<Interface> look_at(const std::string& name) {
  Interface interface;
  interface.name = name;
  auto index = interface_index(name);
  if (!index) {
    return tl::unexpected(index.error());
  }
  interface.index = *index;
  auto xdp = attached_xdp(*index);
  auto tc = attached_tc(*index);
  if (!xdp || !tc) {
    return fail(fmt::format("{}: {}", name, !xdp ? xdp.error().message : tc.error().message));
  }
  if (*xdp && (*xdp)->name != kXdpName) {
    interface.foreign = std::move(*xdp);
  } else if (*xdp) {
    auto mode = (*xdp)->mode == XdpMode::kNative ? DecapMode::kNative : DecapMode::kGeneric;
    interface.running = Running{mode, std::move(static_cast<Program&>(**xdp))};
    return interface;
  }
  if (*tc && (*tc)->name == kTcName) {
    interface.running = Running{DecapMode::kTc, std::move(**tc)};
  }
  return interface;
}

/// The program reads an Ethernet header first.
Result<void> require_ethernet(const std::string& name) {
  FileDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  if (!socket || ::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) {
    return fail(explain_errno(fmt::format("cannot ask what kind of interface {} is", name), errno));
  }
  unsigned short kind = request.ifr_hwaddr.sa_family;
  if (kind != ARPHRD_ETHER && kind != ARPHRD_LOOPBACK) {
    return fail(fmt::format("{} is not an Ethernet interface; attach to the one below the tunnel", name));
  }
  return {};
}

Result<void> detach_xdp(const Interface& interface, const Running& running) {
  LIBBPF_OPTS(bpf_xdp_attach_opts, options, .old_prog_fd = running.program.fd.get());
  if (int error = bpf_xdp_detach(interface.index, xdp_flags(running.mode) | XDP_FLAGS_REPLACE, &options);
      error != 0) {
    return fail(explain_errno(fmt::format("cannot take the XDP program off {}", interface.name), -error));
  }
  return {};
}

/// Whether the tc filter's qdisc came with it. A program of another version may lack the note; then it did
/// not.
bool made_clsact(const Running& running) {
  return running.mode == DecapMode::kTc &&
         DecapMaps::of(running.program)
             .and_then([](const DecapMaps& maps) { return maps.made_clsact(); })
             .value_or(false);
}

Result<void> detach_running(const Interface& interface, const Running& running) {
  if (running.mode != DecapMode::kTc) {
    return detach_xdp(interface, running);
  }
  bool with_clsact = made_clsact(running);
  auto ok = detach_tc(interface.index);
  return ok && with_clsact ? remove_empty_clsact(interface.index) : ok;
}

/// Lets the new program count on in the maps of the running one, unless their layout has changed.
void share_maps(decap_bpf* skeleton, const Program& running) {
  std::vector<std::pair<bpf_map*, FileDescriptor>> shared;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton->obj) {
    auto fd = map_of(running, bpf_map__name(map));
    bpf_map_info info{};
    uint32_t size = sizeof(info);
    if (!fd || bpf_obj_get_info_by_fd(fd->get(), &info, &size) != 0 || info.type != bpf_map__type(map) ||
        info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map) ||
        info.max_entries != bpf_map__max_entries(map)) {
      return;
    }
    shared.emplace_back(map, std::move(*fd));
  }
  for (auto& [target, fd] : shared) {
    bpf_map__reuse_fd(target, fd.get());
  }
}

/// The program for `mode`, in the kernel and attached to nothing.
Result<Skeleton> load(DecapMode mode, const std::optional<Running>& running) {
  Skeleton skeleton(decap_bpf__open());
  if (!skeleton) {
    return fail(explain_errno("cannot open the decapsulation program", errno));
  }
  bpf_program__set_autoload(skeleton->progs.sluice_decap, mode != DecapMode::kTc);
  bpf_program__set_autoload(skeleton->progs.sluice_decap_tc, mode == DecapMode::kTc);
  if (running) {
    share_maps(skeleton.get(), running->program);
  }
  if (int error = decap_bpf__load(skeleton.get()); error != 0) {
    std::string message = explain_errno("the kernel refused the decapsulation program", -error);
    if (error != -EPERM && error != -EACCES) {
      message += "; Linux 5.8 or later with CONFIG_BPF_SYSCALL is needed";
    }
    return fail(message);
  }
  return skeleton;
}

Result<void> attach_xdp(const Interface& interface, DecapMode mode, int program_fd) {
  if (interface.foreign) {
    return fail(
        fmt::format("{} has an XDP program that is not Sluice's: {} (id {}); use `--mode tc`, or take it off "
                    "with `ip link set dev {} xdp off`",
                    interface.name, interface.foreign->name, interface.foreign->id, interface.name));
  }
  LIBBPF_OPTS(bpf_xdp_attach_opts, options);
  uint32_t flags = xdp_flags(mode);
  const auto& running = interface.running;
  bool replaces = running && running->mode == mode;
  bool swaps = running && running->mode != mode && running->mode != DecapMode::kTc;
  if (replaces) {
    flags |= XDP_FLAGS_REPLACE;
    options.old_prog_fd = running->program.fd.get();
  } else {
    flags |= XDP_FLAGS_UPDATE_IF_NOEXIST;
  }
  if (swaps) {
    if (auto ok = detach_xdp(interface, *running); !ok) {
      return ok;
    }
  }
  int error = bpf_xdp_attach(interface.index, program_fd, flags, &options);
  if (error != 0) {
    std::string words = LibbpfLog::kernel_words();
    if (swaps) {
      bpf_xdp_attach(interface.index, running->program.fd.get(), xdp_flags(running->mode), nullptr);
    }
    return fail(explain_errno(
        fmt::format("{} does not take an XDP program in {} mode{}", interface.name, name_of(mode), words),
        -error));
  }
  return {};
}

Result<void> attach_tc_with_qdisc(const Interface& interface, const DecapMaps& maps, int program_fd) {
  auto made = add_clsact(interface.index);
  if (!made) {
    return fail(fmt::format("{}: {}", interface.name, made.error().message));
  }
  auto ok = maps.set_made_clsact(*made || (interface.running && made_clsact(*interface.running)));
  if (ok) {
    ok = attach_tc(interface.index, program_fd);
  }
  if (!ok && *made) {
    remove_empty_clsact(interface.index);
  }
  return ok;
}

/// Loads, sets up, attaches in this one mode; then takes off what ran in another.
Result<void> attach_in(DecapMode mode, const Interface& interface, const DecapSettings& settings) {
  auto skeleton = load(mode, interface.running);
  if (!skeleton) {
    return tl::unexpected(skeleton.error());
  }
  const bpf_program* loaded =
      mode == DecapMode::kTc ? (*skeleton)->progs.sluice_decap_tc : (*skeleton)->progs.sluice_decap;
  int program_fd = bpf_program__fd(loaded);
  Program program;
  program.fd = FileDescriptor(::dup(program_fd));
  program.name = bpf_program__name(loaded);
  auto maps = DecapMaps::of(program);
  if (!maps) {
    return tl::unexpected(maps.error());
  }
  if (auto ok = maps->apply(settings); !ok) {
    return ok;
  }
  auto ok = mode == DecapMode::kTc ? attach_tc_with_qdisc(interface, *maps, program_fd)
                                   : attach_xdp(interface, mode, program_fd);
  if (!ok) {
    return ok;
  }
  const auto& running = interface.running;
  bool in_other_hook = running && (running->mode == DecapMode::kTc) != (mode == DecapMode::kTc);
  return in_other_hook ? detach_running(interface, *running) : ok;
}

}  // namespace

std::string_view name_of(DecapMode mode) {
  for (const auto& [value, name] : kModeNames) {
    if (value == mode) {
      return name;
    }
  }
  return "?";
}

Result<DecapMode> decap_mode(std::string_view name) {
  for (const auto& [value, known] : kModeNames) {
    if (known == name) {
      return value;
    }
  }
  return fail(fmt::format("no mode {}; there are native, generic, tc and auto", name));
}

Result<DecapAttached> attach_decap(const std::string& name, const DecapSettings& settings) {
  LibbpfLog log;
  auto interface = look_at(name);
  if (!interface) {
    return tl::unexpected(interface.error());
  }
  if (auto ok = require_ethernet(name); !ok) {
    return tl::unexpected(ok.error());
  }
  DecapAttached attached;
  attached.mode = settings.mode;
  if (settings.mode == DecapMode::kAuto) {
    attached.mode = interface->running ? interface->running->mode : DecapMode::kNative;
  }
  auto ok = attach_in(attached.mode, *interface, settings);
  if (!ok && settings.mode == DecapMode::kAuto && attached.mode == DecapMode::kNative &&
      !interface->running) {
    attached.remarks.push_back(fmt::format("using tc: {}", ok.error().message));
    attached.mode = DecapMode::kTc;
    ok = attach_in(attached.mode, *interface, settings);
  }
  if (!ok) {
    return tl::unexpected(ok.error());
  }
  return attached;
}

Result<std::optional<DecapStatus>> decap_status(const std::string& name) {
  LibbpfLog log;
  auto interface = look_at(name);
  if (!interface) {
    return tl::unexpected(interface.error());
  }
  if (!interface->running) {
    return std::nullopt;
  }
  auto maps = DecapMaps::of(interface->running->program);
  if (!maps) {
    return tl::unexpected(maps.error());
  }
  DecapStatus status;
  status.mode = interface->running->mode;
  status.program_id = interface->running->program.id;
  if (auto ok = maps->read(status); !ok) {
    return tl::unexpected(ok.error());
  }
  return status;
}

Result<bool> detach_decap(const std::string& name) {
  LibbpfLog log;
  auto interface = look_at(name);
  if (!interface) {
    return tl::unexpected(interface.error());
  }
  if (!interface->running) {
    return false;
  }
  return detach_running(*interface, *interface->running).map([] { return true; });
}

}  // namespace sluice::bpf
