// What of a request hash policies and rate limits go by, and how routing sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l7/header_list.h"
#include "lb/address.h"
#include "lb/l7/random.h"
#include "lb/l7/route_policy.h"
#include "lb/l7/route_request.h"
#include "lb/siphash.h"

namespace sluice::l7 {

/// Views of the request for routing; `scratch` holds the list of its fields.
RouteRequest route_request(const HeaderList& fields, std::vector<HeaderView>& scratch);

/// A cookie that a request did not have, made so that the next one comes to the same endpoint.
struct NewCookie {
  const KeyPart* part = nullptr;  ///< nullptr: none
  uint64_t value = 0;
};

/// The hash of the parts that are there, chained; nothing if none is. A cookie that is not there and is to be
/// set is made up, and told in `cookie` if that is not nullptr.
std::optional<uint64_t> hash_of_keys(std::span<const KeyPart> parts, const HeaderList& fields,
                                     const IpAddress& client, const SipKey& key, Random& random,
                                     NewCookie* cookie);

/// The value of a cookie in the request's Cookie fields (RFC 6265 section 4.2).
std::optional<std::string_view> find_cookie(const HeaderList& fields, std::string_view name);

/// Writes the Set-Cookie that makes `cookie` come back.
void write_set_cookie(const NewCookie& cookie, std::string& out);

}  // namespace sluice::l7
