// /v1/status, /v1/stats and /v1/events: what a node says about itself. Read only.
#pragma once

#include <functional>

#include "control/api_server.h"
#include "control/event_log.h"
#include "control/report.h"

namespace sluice {

/// Adds the routes of reports. `report` is called for each request, and must go on working as long as the
/// server.
void serve_reports(ApiServer& api, std::function<Report()> report);

/// Adds /v1/events. `events` must outlive the server.
void serve_events(ApiServer& api, const EventLog& events);

/// Answers GET /v1/events: those with numbers above ?after, or the newest; ?limit of them, 100 if not given.
ApiResponse answer_events(const EventLog& events, const ApiRequest& request);

}  // namespace sluice
