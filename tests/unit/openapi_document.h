// An OpenAPI document, for tests that hold it against a server's routes.
#pragma once

#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <cctype>
#include <set>
#include <string>

namespace sluice::test {

/// What a document of OpenAPI 3 describes: "GET /v1/status" and the like.
inline std::set<std::string> documented_operations(const std::string& path) {
  const YAML::Node document = YAML::LoadFile(path);
  EXPECT_TRUE(document["openapi"].as<std::string>().starts_with("3.")) << path;
  std::set<std::string> operations;
  for (const auto& place : document["paths"]) {
    for (const auto& operation : place.second) {
      auto method = operation.first.as<std::string>();
      if (method == "parameters") continue;
      for (char& c : method) c = static_cast<char>(std::toupper(c));
      operations.insert(method + ' ' + place.first.as<std::string>());
    }
  }
  return operations;
}

}  // namespace sluice::test
