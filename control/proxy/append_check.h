// Whether a log file could be opened, told without opening it: --check makes no file and wakes no reader.
#pragma once

#include <string>

namespace sluice {

/// The errno with which opening `path` for appending, and making it if it is not there, would fail for this
/// process; 0: it would not. Of a FIFO it is not told whether somebody reads it.
int append_error(const std::string& path);

}  // namespace sluice
