// A listening unix stream socket with a file of its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "lb/result.h"

namespace sluice {

/// Owns the descriptor and the file: both go when it does.
class ListeningSocket {
 public:
  /// See ApiServer::open. Two processes that start at the same moment cannot both succeed. Errors name
  /// `field`, where the path is configured.
  static Result<ListeningSocket> open(const std::string& path, std::string_view field = "node.run_dir");
  /// One that another process has opened at `path` and handed over.
  static ListeningSocket adopt(int descriptor, const std::string& path);
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;
  ~ListeningSocket();

  /// The descriptor, non-blocking, which the caller then owns.
  int release_descriptor();
  /// Removes the file, if it is still this socket's.
  void remove_file();
  /// Lets the file be: another process goes on with the socket.
  void leave_file() { path_.clear(); }

 private:
  ListeningSocket(int descriptor, std::string path, dev_t device, ino_t inode)
      : descriptor_(descriptor), path_(std::move(path)), device_(device), inode_(inode) {}

  int descriptor_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace sluice
