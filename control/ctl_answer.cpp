#include "control/ctl_answer.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "control/api_client.h"

namespace sluice {

using Json = nlohmann::ordered_json;

int ctl_show(const CtlContext& context, const boost::program_options::variables_map& options,
             const std::string& method, const std::string& target, const std::string& body,
             const std::function<void(const Json&)>& show) {
  const auto answer = api_call(context.socket, method, target, body, context.timeout);
  if (!answer) return ctl_fail(context, kCtlUnreachable, answer.error().message);
  if (!answer->is_ok()) return ctl_fail(context, kCtlServerError, api_error_text(*answer));
  if (options.count("json") > 0) {
    context.output.out << answer->body << '\n';
    return kCtlOk;
  }
  try {
    show(Json::parse(answer->body));
  } catch (const Json::exception&) {
    return ctl_fail(context, kCtlServerError, fmt::format("{}: the answer is not what it should be", target));
  }
  return kCtlOk;
}

void ctl_write_table(const CtlContext& context, const Table& table, std::string_view none) {
  if (table.empty()) {
    context.output.out << none << '\n';
  } else {
    context.output.out << table.render(context.colour);
  }
}

int ctl_log_level(const CtlContext& context, std::string_view who) {
  const bool changes = !context.words.empty();
  const std::string body = changes ? Json{{"level", context.words[0]}}.dump() : "";
  return ctl_show(context, {}, changes ? "PUT" : "GET", "/v1/log", body, [&](const Json& answer) {
    const std::string level = answer.value("level", "?");
    context.output.out << (changes ? fmt::format("{}: log level {} until the restart\n", who, level)
                                   : level + '\n');
  });
}

}  // namespace sluice
