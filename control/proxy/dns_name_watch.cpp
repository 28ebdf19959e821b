#include "control/proxy/dns_name_watch.h"

#include <fmt/format.h>

#include <random>

namespace sluice::control {
namespace {

// Each question takes a socket.
constexpr size_t kHostsAtOnce = 16;
// More than a service has; a server that is hostile could name some thousands.
constexpr size_t kMostTargets = 1000;

}  // namespace

DnsNameWatch::DnsNameWatch(boost::asio::io_context& io, DnsDiscovery settings, DnsName name,
                           std::function<void(Report)> on_report)
    : io_(io),
      settings_(std::move(settings)),
      name_(std::move(name)),
      on_report_(std::move(on_report)),
      timer_(io),
      random_((uint64_t{std::random_device{}()} << 32) | std::random_device{}()) {
  ask();
}

void DnsNameWatch::ask() {
  outcome_ = {DnsAnswerKind::kRecords, {}, std::chrono::seconds::max(), {}};
  if (!name_.is_service) {
    ask_hosts({name_.name});
    return;
  }
  service_ = std::make_unique<DnsLookup>(io_, settings_, name_.name, DnsRecordType::kSrv,
                                         [this](DnsAnswer answer) { on_services(std::move(answer)); });
}

void DnsNameWatch::on_services(DnsAnswer answer) {
  if (answer.services.size() > kMostTargets) {
    answer.kind = DnsAnswerKind::kFailed;
    answer.error = fmt::format("SRV {}: {} targets; at most {} are followed", name_.name,
                               answer.services.size(), kMostTargets);
  }
  outcome_ = {answer.kind, {}, answer.ttl, answer.error};
  if (answer.kind == DnsAnswerKind::kEmpty && !settings_.keep_when_empty) {
    services_.clear();
    known_.clear();
  }
  if (answer.kind != DnsAnswerKind::kRecords) {
    finish();
    return;
  }
  services_ = std::move(answer.services);
  std::set<std::string> targets;
  // A target is a whole name, never to be completed.
  for (SrvRecord& service : services_) {
    if (!service.target.ends_with('.')) service.target += '.';
    targets.insert(service.target);
  }
  ask_hosts(std::move(targets));
}

void DnsNameWatch::ask_hosts(std::set<std::string> names) {
  std::erase_if(known_, [&names](const auto& known) { return !names.contains(known.first); });
  waiting_.assign(names.begin(), names.end());
  ask_more_hosts();
}

void DnsNameWatch::ask_more_hosts() {
  while (!waiting_.empty() && hosts_.size() < kHostsAtOnce) {
    const std::string name = std::move(waiting_.front());
    waiting_.pop_front();
    ask_host(name);
  }
}

void DnsNameWatch::ask_host(const std::string& name) {
  Host& host = hosts_[name];
  const auto look_up = [&](DnsRecordType type, std::optional<DnsAnswer>& into) {
    return std::make_unique<DnsLookup>(io_, settings_, name, type, [this, name, &into](DnsAnswer answer) {
      into = std::move(answer);
      on_host(name);
    });
  };
  if (settings_.families != DnsFamilies::kIpv6) host.v4 = look_up(DnsRecordType::kA, host.v4_answer);
  if (settings_.families != DnsFamilies::kIpv4) host.v6 = look_up(DnsRecordType::kAaaa, host.v6_answer);
}

void DnsNameWatch::on_host(const std::string& name) {
  const auto at = hosts_.find(name);
  const Host& host = at->second;
  if ((host.v4 && !host.v4_answer) || (host.v6 && !host.v6_answer)) return;
  const auto pointer = [](const std::optional<DnsAnswer>& answer) { return answer ? &*answer : nullptr; };
  NameOutcome found = merge_answers(known_[name], pointer(host.v4_answer), pointer(host.v6_answer),
                                    settings_.keep_when_empty);
  hosts_.erase(at);
  known_[name] = std::move(found.addresses);
  outcome_.ttl = std::min(outcome_.ttl, found.ttl);
  // Of several targets the worst counts, and the first error of that kind is told.
  if (found.kind > outcome_.kind) {
    outcome_.kind = found.kind;
    outcome_.error = std::move(found.error);
  }
  ask_more_hosts();
  if (hosts_.empty()) finish();
}

void DnsNameWatch::finish() {
  const bool is_good = outcome_.kind == DnsAnswerKind::kRecords ||
                       (outcome_.kind == DnsAnswerKind::kEmpty && !settings_.keep_when_empty);
  failures_ = is_good ? 0 : std::min(failures_ + 1, 1000u);
  timer_.expires_after(is_good ? refresh_wait(settings_.refresh, outcome_.ttl, random_)
                               : failure_wait(settings_.refresh, failures_, random_));
  timer_.async_wait([this, alive = std::weak_ptr(alive_)](const auto& cancelled) {
    if (!cancelled && !alive.expired()) ask();
  });
  on_report_({outcome_.kind, endpoints(), outcome_.error});
}

std::vector<Endpoint> DnsNameWatch::endpoints() const {
  if (!name_.is_service) {
    const auto found = known_.find(name_.name);
    return found == known_.end() ? std::vector<Endpoint>{} : endpoints_at(name_.like, found->second);
  }
  std::vector<SrvTarget> targets;
  for (const SrvRecord& service : services_) {
    const auto found = known_.find(service.target);
    targets.push_back({service, found == known_.end() ? NameAddresses{} : found->second});
  }
  return endpoints_of_service(name_.like, targets);
}

}  // namespace sluice::control
