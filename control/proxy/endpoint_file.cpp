#include "control/proxy/endpoint_file.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "control/config_text.h"
#include "control/proxy/proxy_fields.h"

namespace sluice {
namespace {

/// What clusters[].endpoints is in the configuration file.
class Rows {
 public:
  Rows() {
    constexpr std::string_view kFrom = "clusters[].";
    constexpr std::string_view kList = "clusters[].endpoints";
    for (const ConfigField& field : proxy_config_table().fields()) {
      if (!field.path.starts_with(kList)) continue;
      rows_.push_back(field);
      rows_.back().path = field.path.substr(kFrom.size());
      if (field.path == kList) rows_.back().otherwise = ConfigField::kRequired;
    }
  }
  std::span<const ConfigField> all() const { return rows_; }

 private:
  std::vector<ConfigField> rows_;
};

void read_endpoint(const ConfigSection& section, std::optional<uint16_t> health_port,
                   std::set<EndpointId>& seen, ClusterEndpoints& into) {
  Endpoint endpoint;
  const bool has_address = section.value("address", endpoint.id.address, parse_unicast) != nullptr;
  const bool has_port = section.number("port", endpoint.id.port) != nullptr;
  section.number("weight", endpoint.weight);
  section.value("zone", endpoint.zone, parse_name);
  section.number("priority", endpoint.priority);
  uint16_t check_port = health_port.value_or(endpoint.id.port);
  section.number("health_port", check_port);
  if (has_address && has_port && !seen.insert(endpoint.id).second) {
    section.report(
        *section.node(), {},
        fmt::format("found {} a second time; accepted: each endpoint once", endpoint.id.to_string()));
    return;
  }
  into.endpoints.push_back(std::move(endpoint));
  into.check_ports.push_back(check_port);
}

Result<ClusterEndpoints> read_tree(const YamlNode& tree, std::string_view filename,
                                   std::optional<uint16_t> health_port) {
  ConfigProblems problems;
  if (tree.kind == YamlNode::Kind::kNull) {
    problems.add(
        {}, fmt::format("{}: the file holds nothing; accepted: a list endpoints, which may be []", filename));
    return fail(problems.render(filename));
  }
  const ConfigSection root(problems, &tree, "", "", endpoint_file_table());
  ClusterEndpoints found = read_endpoints(root, health_port);
  if (const YamlNode* list = root.find("endpoints"); list != nullptr && list->kind == YamlNode::Kind::kNull)
    root.refuse(*list, "endpoints");
  if (!problems.empty()) return fail(problems.render(filename));
  return found;
}

}  // namespace

ClusterEndpoints read_endpoints(const ConfigSection& parent, std::optional<uint16_t> health_port) {
  ClusterEndpoints found;
  std::set<EndpointId> seen;
  for (const ConfigSection& section : parent.sections("endpoints"))
    read_endpoint(section, health_port, seen, found);
  return found;
}

const ConfigTable& endpoint_file_table() {
  static const Rows rows;
  static const ConfigTable table(rows.all());
  return table;
}

Result<ClusterEndpoints> parse_endpoint_file(std::string_view yaml, std::string_view filename,
                                             std::optional<uint16_t> health_port) {
  try {
    const auto tree = parse_config_tree(yaml, filename);
    return tree ? read_tree(*tree, filename, health_port) : tl::unexpected(tree.error());
  } catch (const std::exception& error) {
    return fail(fmt::format("{}: cannot be read: {}", filename, error.what()));
  }
}

}  // namespace sluice
