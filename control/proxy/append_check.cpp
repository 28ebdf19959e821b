#include "control/proxy/append_check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace sluice {

int append_error(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (S_ISSOCK(status.st_mode)) return ENXIO;
    return euidaccess(path.c_str(), W_OK) == 0 ? 0 : errno;
  }
  if (errno != ENOENT) return errno;
  if (path.ends_with('/')) return EISDIR;
  const std::string directory = std::filesystem::path(path).parent_path();
  if (stat(directory.c_str(), &status) != 0) return errno;
  if (!S_ISDIR(status.st_mode)) return ENOTDIR;
  return euidaccess(directory.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
}

}  // namespace sluice
