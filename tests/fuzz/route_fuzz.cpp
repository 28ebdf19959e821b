// Any bytes as authority, path, method, header and grpc-timeout of a request: a match is what explain says, a
// rewritten path is a path, a Location is in one line, and a deadline does not grow.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lb/l7/grpc_timeout.h"
#include "lb/l7/route_table.h"

namespace {

using namespace sluice;

Route to(PathMatch path, Rewrite rewrite = {}) {
  Route route;
  route.match.path = std::move(path);
  route.action = ForwardAction{{{"a", 1}, {"b", 3}}};
  route.rewrite = std::move(rewrite);
  return route;
}

RouteTable::Pointer table() {
  std::vector<Route> routes = {
      to({PathMatchKind::kExact, "/a-path-of-more-than-sixteen-bytes"}, {.path = "/short"}),
      to({PathMatchKind::kSegments, "/segments/"}, {.prefix = ""}),
      to({PathMatchKind::kPrefix, "/Any-Case/", true}, {.prefix = "/new"}),
      to({PathMatchKind::kRegex, "/r[a-z]*/([^/]*)(/.*)?"},
         {.regex = "/r([a-z]*)", .substitution = "\\1\\0"}),
  };
  Route grpc = to({});
  grpc.match.grpc = {"shop.v1.Cart", "Add"};
  routes.push_back(grpc);
  Route conditions = to({});
  conditions.match.methods = {"GET"};
  conditions.match.headers = {{"x-a", {TextMatchKind::kContains, "Needle", true}},
                              {":authority", {TextMatchKind::kSuffix, "x", false, true}}};
  conditions.match.query = {{"q", {TextMatchKind::kRegex, "[0-9]+"}}};
  routes.push_back(conditions);
  Route redirect;
  redirect.match.path = {PathMatchKind::kPrefix, "/old"};
  redirect.action = RedirectAction{.scheme = "https", .prefix = "/new/"};
  routes.push_back(redirect);
  const RouteConfig config{
      {{"one", {"example.com", "example.com:8443", "*.example.com"}, routes}, {"rest", {"*"}, routes}}};
  const std::vector<std::string> clusters = {"a", "b"};
  auto built = RouteTable::build(config, clusters);
  if (!built) std::abort();
  return *built;
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Parts of the input are divided by line feeds, which none of them may have.
std::string_view next_part(std::string_view& input) {
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(std::min(end + 1, input.size()));
  return part;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const RouteTable::Pointer routes = table();
  std::string_view input(reinterpret_cast<const char*>(data), size);
  RouteRequest request;
  request.authority = next_part(input);
  request.path = next_part(input);
  request.method = next_part(input);
  const HeaderView headers[] = {{"content-type", next_part(input)}, {"x-a", next_part(input)}};
  request.headers = headers;

  const MatchedRoute* matched = routes->match(request);
  const RouteExplanation explanation = routes->explain(request);
  require(explanation.virtual_host.has_value());
  require(!explanation.routes.empty() && explanation.routes.back().matched == (matched != nullptr));
  if (matched != nullptr) {
    require(matched->virtual_host() == *explanation.virtual_host);
    require(matched->route().name == explanation.routes.back().route);
    std::string out;
    if (matched->forwards()) {
      Random random(size);
      require(matched->draw_cluster(random) < 2);
      if (matched->rewrite_path(request.path, out)) require(out.starts_with('/'));
    } else {
      matched->write_location(request, out);
      require(out.starts_with("https://") && out.find('\n') == std::string::npos);
    }
  }
  if (const auto timeout = parse_grpc_timeout(next_part(input))) {
    const auto again = parse_grpc_timeout(format_grpc_timeout(*timeout).view());
    require(again.has_value() && *again <= *timeout && timeout->count() >= 0);
  }
  return 0;
}
