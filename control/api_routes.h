// Which handler answers a request. No I/O.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/api_server.h"

namespace sluice {

class ApiRoutes {
 public:
  /// See ApiServer::route().
  void add(const std::string& method, const std::string& path, ApiLateHandler handler) {
    routes_[path][method] = std::move(handler);
  }
  void clear() {
    routes_.clear();
    why_not_yet_ = nullptr;
  }
  /// See ApiServer::not_yet().
  void not_yet(std::function<std::string()> why) { why_not_yet_ = std::move(why); }

  /// "GET /v1/stats" and the like, in alphabetical order of the paths.
  std::vector<std::string> names() const;

  /// Calls the handler; fills in the request's parameters. `reply` is called at once, or later if the handler
  /// is a late one.
  void answer(ApiRequest& request, const ApiReply& reply) const;

 private:
  using Methods = std::map<std::string, ApiLateHandler>;
  Result<const Methods*> find(ApiRequest& request) const;
  std::string known_paths() const;

  std::map<std::string, Methods> routes_;  ///< path → method → handler
  std::function<std::string()> why_not_yet_;
};

}  // namespace sluice
