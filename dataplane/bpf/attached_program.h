// Which BPF program the kernel runs on an interface, and its maps: found by interface → program id → map ids.
// Nothing is pinned, so nothing can be left behind in a file system or outlive the interface.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/bpf/file_descriptor.h"
#include "lb/result.h"

namespace sluice::bpf {

enum class XdpMode : uint8_t { kNative, kGeneric };

/// A loaded program, held by a descriptor so that neither it nor its maps go away under the reader.
struct Program {
  uint32_t id = 0;
  std::string name;  ///< as in its source, cut to 15 characters by the kernel
  FileDescriptor fd;
};

struct XdpProgram : Program {
  XdpMode mode = XdpMode::kNative;
};

/// The index of an interface in this process's network namespace; an Error if there is none of that name.
Result<int> interface_index(const std::string& interface);

/// The program with this id, or an Error (it has gone, or no permission).
Result<Program> program_by_id(uint32_t id);

/// The XDP program on the interface, nothing if there is none, or an Error (no permission, offloaded
/// program).
Result<std::optional<XdpProgram>> attached_xdp(int interface_index);

/// A descriptor of the map called `name` (at most 15 characters) that the program uses.
Result<FileDescriptor> map_of(const Program& program, std::string_view name);

/// "what: reason", with what to do where the errno has one usual cause.
std::string explain_errno(std::string_view what, int error);

}  // namespace sluice::bpf
