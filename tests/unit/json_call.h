// A request over a control socket whose answer is JSON.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "control/api_client.h"

namespace sluice::test {

struct JsonAnswer {
  unsigned status;
  nlohmann::json body;
};

/// As api_call(). Throws, and so fails the test, if no answer comes.
inline JsonAnswer json_call(const std::string& socket, const std::string& method, const std::string& target,
                            const std::string& body = "", const std::string& if_match = "") {
  const auto answer = api_call(socket, method, target, body, std::chrono::seconds(20), if_match);
  if (!answer) throw std::runtime_error(answer.error().message);
  return {answer->status, nlohmann::json::parse(answer->body, nullptr, false)};
}

}  // namespace sluice::test
