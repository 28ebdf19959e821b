// Which handler answers a request. No I/O.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "control/api_server.h"

namespace sluice {

class ApiRoutes {
 public:
  /// See ApiServer::route().
  void add(const std::string& method, const std::string& path, ApiHandler handler) {
    routes_[path][method] = std::move(handler);
  }
  void clear() { routes_.clear(); }

  /// "GET /v1/stats" and the like, in alphabetical order of the paths.
  std::vector<std::string> names() const;

  /// Calls the handler; fills in the request's parameters. `allowed` gets the methods that would do, if it is
  /// the method that is wrong.
  ApiResponse answer(ApiRequest& request, std::string& allowed) const;

 private:
  std::string known_paths() const;

  std::map<std::string, std::map<std::string, ApiHandler>> routes_;  ///< path → method → handler
};

}  // namespace sluice
