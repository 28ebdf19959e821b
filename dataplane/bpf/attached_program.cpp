#include "dataplane/bpf/attached_program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace sluice::bpf {

std::string explain_errno(std::string_view what, int error) {
  std::string message = fmt::format("{}: {}", what, std::strerror(error));
  if (error == EPERM || error == EACCES) {
    message += "; run as root, or with the capabilities CAP_BPF and CAP_NET_ADMIN";
  }
  return message;
}

Result<int> interface_index(const std::string& interface) {
  unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) {
    return fail(
        fmt::format("no interface {} in this network namespace; `ip link` lists those there are", interface));
  }
  return static_cast<int>(index);
}

Result<Program> program_by_id(uint32_t id) {
  Program program;
  program.id = id;
  program.fd = FileDescriptor(bpf_prog_get_fd_by_id(id));
  if (!program.fd) {
    return fail(explain_errno(fmt::format("cannot open BPF program {}", id), errno));
  }
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.fd.get(), &info, &size) != 0) {
    return fail(explain_errno(fmt::format("cannot read about BPF program {}", id), errno));
  }
  program.name = info.name;
  return program;
}

Result<std::optional<XdpProgram>> attached_xdp(int interface_index) {
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (int error = bpf_xdp_query(interface_index, 0, &query); error < 0) {
    return fail(explain_errno("cannot ask for the interface's XDP program", -error));
  }
  XdpProgram xdp;
  uint32_t id = query.drv_prog_id;
  if (id == 0) {
    id = query.skb_prog_id;
    xdp.mode = XdpMode::kGeneric;
  }
  if (id == 0) {
    if (query.hw_prog_id != 0) {
      return fail(
          fmt::format("an XDP program (id {}) is offloaded to the NIC; take it off with "
                      "`ip link set dev IF xdpoffload off`",
                      query.hw_prog_id));
    }
    return std::nullopt;
  }
  auto program = program_by_id(id);
  if (!program) {
    return tl::unexpected(program.error());
  }
  static_cast<Program&>(xdp) = std::move(*program);
  return xdp;
}

Result<FileDescriptor> map_of(const Program& program, std::string_view name) {
  std::vector<uint32_t> ids(64);
  bpf_prog_info info{};
  info.nr_map_ids = static_cast<uint32_t>(ids.size());
  info.map_ids = reinterpret_cast<uintptr_t>(ids.data());
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.fd.get(), &info, &size) != 0) {
    return fail(explain_errno(fmt::format("cannot read the maps of BPF program {}", program.id), errno));
  }
  ids.resize(std::min<size_t>(info.nr_map_ids, ids.size()));
  for (uint32_t id : ids) {
    FileDescriptor map(bpf_map_get_fd_by_id(id));
    bpf_map_info map_info{};
    uint32_t map_size = sizeof(map_info);
    if (map && bpf_obj_get_info_by_fd(map.get(), &map_info, &map_size) == 0 && map_info.name == name) {
      return map;
    }
  }
  return fail(fmt::format("BPF program {} (id {}) has no map {}: it is of another version of Sluice",
                          program.name, program.id, name));
}

}  // namespace sluice::bpf
