#include "dataplane/bpf/reply_filter.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "dataplane/bpf/attached_program.h"
#include "dataplane/bpf/prefix_trie.h"
#include "dataplane/bpf/skeletons.h"

namespace sluice::bpf {

namespace {

FileDescriptor copy_of(int fd) {
  return FileDescriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

}  // namespace

Result<ReplyFilter> ReplyFilter::load() {
  const std::unique_ptr<replies_bpf, void (*)(replies_bpf*)> loaded(replies_bpf__open_and_load(),
                                                                    &replies_bpf__destroy);
  if (!loaded) return fail(explain_errno("cannot load the filter for answers to checks", errno));
  ReplyFilter filter;
  filter.program_ = copy_of(bpf_program__fd(loaded->progs.sluice_replies));
  filter.ipv4_ = copy_of(bpf_map__fd(loaded->maps.vips_ipv4));
  filter.ipv6_ = copy_of(bpf_map__fd(loaded->maps.vips_ipv6));
  if (!filter.program_ || !filter.ipv4_ || !filter.ipv6_) {
    return fail(explain_errno("cannot keep the filter for answers to checks", errno));
  }
  return filter;
}

Result<void> ReplyFilter::attach_to(int socket) const {
  const int program = program_.get();
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)) != 0) {
    return fail(explain_errno("cannot put the filter for answers to checks on a socket", errno));
  }
  return {};
}

Result<void> ReplyFilter::set_sources(std::span<const Prefix> sources) const {
  return PrefixTries{ipv4_.get(), ipv6_.get()}.replace(sources, 1);
}

}  // namespace sluice::bpf
