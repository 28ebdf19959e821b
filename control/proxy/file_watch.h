// Says when files may have changed: written in place and closed, replaced by a rename, reached by another
// symbolic link, removed, back again.
//
// Not the files are watched but the directories in which a name could come to mean something else: that of
// the file, and that of each symbolic link on the way to it. So the swap of a link to a whole directory is
// seen, which is how Kubernetes changes the files of a ConfigMap. inotify(7) sees what this machine does: not
// what another one does to a file on a network file system.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lb/result.h"

namespace sluice::control {

/// The names that lead to `path`, by the directory in which they stand: each symbolic link, and the last name
/// that is there or the first one that is not. Directories are real paths.
std::map<std::string, std::set<std::string>> names_on_the_way(const std::string& path);

/// Lives on the thread that runs `io`.
class FileWatch {
 public:
  /// `on_change` is called from the io_context, a moment after something has happened to any of the files;
  /// what happens within that moment is one call.
  FileWatch(boost::asio::io_context& io, std::function<void()> on_change);
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  /// Watches exactly these from now on, absolute paths. Errors: inotify's limits, which sysctl
  /// fs.inotify.max_user_instances and max_user_watches give; files that could be watched are.
  Result<void> watch(std::vector<std::string> paths);

 private:
  Result<void> open();
  Result<void> follow();
  void read_events();
  bool take_events();
  void schedule();

  const std::function<void()> on_change_;
  boost::asio::posix::stream_descriptor inotify_;
  boost::asio::steady_timer settle_;
  bool is_scheduled_ = false;
  std::vector<std::string> paths_;
  struct Directory {
    std::string path;
    std::set<std::string> names;
  };
  std::map<int, Directory> directories_;                              // by watch descriptor
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  // handlers may outlive us
};

}  // namespace sluice::control
