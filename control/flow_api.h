// GET /v1/flows.
#pragma once

#include <functional>

#include "control/api_server.h"
#include "control/flow_report.h"

namespace sluice {

/// Reads the flows; with `ask`, begins a survey, or has one begin after that which is under way.
using ReadFlows = std::function<FlowReport(bool ask)>;

/// ?pool= and ?backend= (a name) leave the others out; 404 if there is none such. ?survey=N asks for no
/// survey: for who waits for number N, which an earlier answer called wanted.
ApiResponse answer_flows(const ReadFlows& read, const ApiRequest& request);

/// `read` runs on the API's thread and does not wait.
void serve_flows(ApiServer& api, ReadFlows read);

}  // namespace sluice
