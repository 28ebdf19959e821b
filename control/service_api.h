// /v1/vips, /v1/pools, /v1/pools/{pool}/backends and /v1/config: looking at the services and changing them.
// docs/openapi.yaml describes the interface; all changes go through ServiceStore.
#pragma once

#include "control/api_server.h"
#include "control/service_edit.h"
#include "control/service_store.h"

namespace sluice {

/// Adds the routes. `store` must outlive the server.
void serve_services(ApiServer& api, ServiceStore& store);

/// Answers a request about the list of all things of a kind (GET, POST). For backends the first parameter is
/// the pool.
ApiResponse answer_list(ServiceStore& store, ServiceKind kind, const ApiRequest& request);

/// Answers a request about one thing (GET, PUT, PATCH, DELETE), which the last parameter names.
ApiResponse answer_item(ServiceStore& store, ServiceKind kind, const ApiRequest& request);

/// Answers a request about all services (GET, PUT).
ApiResponse answer_config(ServiceStore& store, const ApiRequest& request);

}  // namespace sluice
