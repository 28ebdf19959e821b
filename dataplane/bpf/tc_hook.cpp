#include "dataplane/bpf/tc_hook.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <memory>

namespace sluice::bpf {
namespace {

// Unlikely to be anybody's by chance: the place is how we know our filter.
constexpr uint32_t kHandle = 0x51;
constexpr uint32_t kPriority = 0x51C;

bpf_tc_hook hook_on(int interface_index, bpf_tc_attach_point point) {
  bpf_tc_hook hook{};
  hook.sz = sizeof(hook);
  hook.ifindex = interface_index;
  hook.attach_point = point;
  return hook;
}

bpf_tc_opts our_place() {
  bpf_tc_opts options{};
  options.sz = sizeof(options);
  options.handle = kHandle;
  options.priority = kPriority;
  return options;
}

int note_filter(const nlmsghdr* message, void* count) {
  // One message per filter, and one for the classifier that holds them, without a handle.
  auto* filter = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
  if (message->nlmsg_type == RTM_NEWTFILTER && filter->tcm_handle != 0) {
    ++*static_cast<int*>(count);
  }
  return MNL_CB_OK;
}

/// Filters under one half (TC_H_MIN_INGRESS or TC_H_MIN_EGRESS) of the clsact qdisc.
Result<int> count_filters(int interface_index, uint32_t half) {
  std::array<char, 16384> buffer{};
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETTFILTER;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = static_cast<uint32_t>(std::time(nullptr));
  auto* filter = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(tcmsg)));
  filter->tcm_family = AF_UNSPEC;
  filter->tcm_ifindex = interface_index;
  filter->tcm_parent = TC_H_MAKE(TC_H_CLSACT, half);

  std::unique_ptr<mnl_socket, decltype(&mnl_socket_close)> socket(
      mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC), mnl_socket_close);
  if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
      mnl_socket_sendto(socket.get(), request, request->nlmsg_len) < 0) {
    return fail(explain_errno("cannot ask for tc filters", errno));
  }
  const unsigned sequence = request->nlmsg_seq;
  int count = 0;
  int more = MNL_CB_OK;
  while (more > MNL_CB_STOP) {
    ssize_t size = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (size < 0) {
      return fail(explain_errno("cannot read tc filters", errno));
    }
    more = mnl_cb_run(buffer.data(), static_cast<size_t>(size), sequence, mnl_socket_get_portid(socket.get()),
                      note_filter, &count);
  }
  if (more < 0) {
    return fail(explain_errno("cannot list tc filters", errno));
  }
  return count;
}

}  // namespace

Result<std::optional<Program>> attached_tc(int interface_index) {
  bpf_tc_hook hook = hook_on(interface_index, BPF_TC_INGRESS);
  bpf_tc_opts options = our_place();
  if (int error = bpf_tc_query(&hook, &options); error != 0) {
    // Without the qdisc the kernel says EINVAL, without the filter ENOENT.
    if (error == -ENOENT || error == -EINVAL) {
      return std::nullopt;
    }
    return fail(explain_errno("cannot ask for the interface's tc filter", -error));
  }
  auto program = program_by_id(options.prog_id);
  if (!program) {
    return tl::unexpected(program.error());
  }
  return std::optional<Program>(std::move(*program));
}

Result<bool> add_clsact(int interface_index) {
  bpf_tc_hook hook = hook_on(interface_index, BPF_TC_INGRESS);
  int error = bpf_tc_hook_create(&hook);
  if (error == -EEXIST) {
    return false;
  }
  if (error != 0) {
    return fail(explain_errno("cannot add a clsact qdisc", -error));
  }
  return true;
}

Result<void> attach_tc(int interface_index, int program_fd) {
  bpf_tc_hook hook = hook_on(interface_index, BPF_TC_INGRESS);
  bpf_tc_opts options = our_place();
  options.prog_fd = program_fd;
  options.flags = BPF_TC_F_REPLACE;
  if (int error = bpf_tc_attach(&hook, &options); error != 0) {
    return fail(explain_errno("cannot add a tc filter", -error));
  }
  return {};
}

Result<void> detach_tc(int interface_index) {
  bpf_tc_hook hook = hook_on(interface_index, BPF_TC_INGRESS);
  bpf_tc_opts options = our_place();
  int error = bpf_tc_detach(&hook, &options);
  if (error != 0 && error != -ENOENT) {
    return fail(explain_errno("cannot remove the tc filter", -error));
  }
  return {};
}

Result<void> remove_empty_clsact(int interface_index) {
  for (uint32_t half : {TC_H_MIN_INGRESS, TC_H_MIN_EGRESS}) {
    auto filters = count_filters(interface_index, half);
    if (!filters) {
      return tl::unexpected(filters.error());
    }
    if (*filters > 0) {
      return {};
    }
  }
  bpf_tc_hook hook =
      hook_on(interface_index, static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  int error = bpf_tc_hook_destroy(&hook);
  if (error != 0 && error != -ENOENT) {
    return fail(explain_errno("cannot remove the clsact qdisc", -error));
  }
  return {};
}

}  // namespace sluice::bpf
