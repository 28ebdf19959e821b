// GET and PUT /v1/log: which log lines are written, and changing it while the program runs.
#pragma once

#include "control/api_server.h"
#include "control/event_log.h"

namespace sluice {

/// Adds the routes. `events` must outlive the server.
void serve_log(ApiServer& api, EventLog& events);

/// Answers GET, or PUT of {"level": "debug"}.
ApiResponse answer_log(EventLog& events, const ApiRequest& request);

}  // namespace sluice
