// sluicectl's verbs for sluice-proxy: proxy status, clusters, routes, connections, stats, explain.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "control/sluicectl_verbs.h"
#include "control/table.h"

namespace sluice {

std::span<const CtlVerb> ctl_proxy_verbs();
/// proxy log-level, drain, undrain, endpoint ..., reload, config ...
std::span<const CtlVerb> ctl_proxy_change_verbs();

/// "proxy explain": what would become of a request.
int ctl_proxy_explain(const CtlContext& context, const boost::program_options::variables_map& options);
void add_explain_options(boost::program_options::options_description& options);

/// A field of an answer as a cell; "" if it is null.
std::string ctl_text(const nlohmann::ordered_json& value);
/// 0.25: "25 %".
std::string ctl_percent(double share);

}  // namespace sluice
