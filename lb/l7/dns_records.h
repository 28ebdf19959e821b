// What name servers say of a cluster's names, and which endpoints that makes. Pure: answers in, endpoints
// out; who asks is control/proxy/dns_lookup.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lb/address.h"
#include "lb/l7/endpoint.h"

namespace sluice {

enum class DnsAnswerKind : uint8_t {
  kRecords,
  kEmpty,   ///< the name is not there, or has no such records (RFC 2308: NXDOMAIN, NODATA)
  kFailed,  ///< nobody knows: no answer, an error of the server's, an answer that makes no sense
};

/// RFC 2782.
struct SrvRecord {
  uint16_t priority = 0;
  uint16_t weight = 0;
  uint16_t port = 0;
  std::string target;
  friend bool operator==(const SrvRecord&, const SrvRecord&) = default;
};

/// The answer to one question.
struct DnsAnswer {
  DnsAnswerKind kind = DnsAnswerKind::kFailed;
  std::vector<IpAddress> addresses;  ///< asked for A or AAAA
  std::vector<SrvRecord> services;   ///< asked for SRV
  std::chrono::seconds ttl{0};       ///< the shortest of all records that led there, CNAMEs included
  std::string error;                 ///< unless kRecords: one line
};

/// The addresses of one name. Each family is kept by itself, so that one that cannot be asked for keeps what
/// is known of it.
struct NameAddresses {
  std::vector<IpAddress> v4;
  std::vector<IpAddress> v6;
  bool empty() const { return v4.empty() && v6.empty(); }
  size_t size() const { return v4.size() + v6.size(); }
  friend bool operator==(const NameAddresses&, const NameAddresses&) = default;
};

struct NameOutcome {
  DnsAnswerKind kind = DnsAnswerKind::kFailed;
  NameAddresses addresses;  ///< what is to be believed now
  std::chrono::seconds ttl{0};
  std::string error;
};

/// What is to be believed of a name after it was asked for. `last` is what was before; an answer is nullptr
/// if its family was not asked for. A family whose question failed keeps its addresses, and the outcome is
/// kFailed. One that is empty has none from then on, unless all are empty and `keep_when_empty`. Addresses
/// that no server can have (unspecified, multicast, broadcast) are left out.
NameOutcome merge_answers(const NameAddresses& last, const DnsAnswer* v4, const DnsAnswer* v6,
                          bool keep_when_empty);

/// One endpoint for each address, otherwise like `like`.
std::vector<Endpoint> endpoints_at(const Endpoint& like, const NameAddresses& addresses);

struct SrvTarget {
  SrvRecord record;
  NameAddresses addresses;
};

/// The endpoints of a service, otherwise like `like`. The lowest priority of the records becomes
/// like.priority, the next one that plus 1, and so on. A record's weight is shared by its target's addresses;
/// where records of one priority have weight 0 beside others that have not, theirs is a hundredth (RFC 2782:
/// "a very small chance of being selected"); where all have 0 they are equal.
std::vector<Endpoint> endpoints_of_service(const Endpoint& like, std::span<const SrvTarget> targets);

/// Each endpoint once, in the order of their identities: of two the one of lower priority; of the same
/// priority, weights are added up.
std::vector<Endpoint> join_endpoints(std::vector<Endpoint> endpoints);

struct EndpointChanges {
  std::vector<EndpointId> added;
  std::vector<EndpointId> removed;
};

/// Between two results of join_endpoints().
EndpointChanges endpoint_changes(std::span<const Endpoint> before, std::span<const Endpoint> after);

}  // namespace sluice
