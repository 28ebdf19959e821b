#include "control/proxy/cluster_discovery.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <iterator>

#include "control/config_text.h"
#include "control/log_line.h"
#include "control/proxy/endpoint_file.h"
#include "lb/l7/dns_records.h"
#include "lb/maglev.h"

namespace sluice::control {
namespace {

// A log line is for people.
constexpr size_t kMostListed = 20;

std::string list_of(const std::vector<EndpointId>& ids) {
  std::string text;
  for (size_t i = 0; i < std::min(ids.size(), kMostListed); ++i)
    text += (i == 0 ? "" : " ") + ids[i].to_string();
  if (ids.size() > kMostListed) text += fmt::format(" and {} more", ids.size() - kMostListed);
  return text;
}

void sort_by_identity(ClusterEndpoints& all) {
  std::vector<std::pair<Endpoint, uint16_t>> pairs;
  for (size_t i = 0; i < all.endpoints.size(); ++i)
    pairs.emplace_back(std::move(all.endpoints[i]), all.check_ports[i]);
  std::ranges::sort(pairs, {}, [](const auto& pair) { return pair.first.id; });
  for (size_t i = 0; i < pairs.size(); ++i) {
    all.endpoints[i] = std::move(pairs[i].first);
    all.check_ports[i] = pairs[i].second;
  }
}

}  // namespace

ClusterDiscovery::ClusterDiscovery(boost::asio::io_context& io, std::string cluster, const ClusterCare& care,
                                   std::vector<Endpoint> begin_with, std::function<void()> on_change)
    : cluster_(std::move(cluster)),
      settings_(*care.discovery),
      health_port_(care.health.port),
      on_change_(std::move(on_change)),
      begun_with_(join_endpoints(std::move(begin_with))) {
  const auto now = Clock::now();
  if (const std::string* file = path()) sources_.push_back({*file, {}, false, false, now, {}});
  const auto* dns = std::get_if<DnsDiscovery>(&settings_);
  for (const DnsName& name : dns != nullptr ? dns->names : std::vector<DnsName>{})
    sources_.push_back({name.name, {}, false, false, now, {}});
  endpoints_ = together();
  for (size_t i = 0; dns != nullptr && i < dns->names.size(); ++i) {
    watches_.push_back(std::make_unique<DnsNameWatch>(
        io, *dns, dns->names[i], [this, i](DnsNameWatch::Report report) { take(i, std::move(report)); }));
  }
}

const std::string* ClusterDiscovery::path() const {
  const auto* file = std::get_if<FileDiscovery>(&settings_);
  return file == nullptr ? nullptr : &file->path;
}

bool ClusterDiscovery::settled() const {
  return std::ranges::all_of(sources_, &Source::has_answered);
}

void ClusterDiscovery::take(size_t source_index, DnsNameWatch::Report report) {
  Source& source = sources_[source_index];
  const bool keeps = std::get<DnsDiscovery>(settings_).keep_when_empty;
  source.endpoints.endpoints = std::move(report.endpoints);
  if (report.kind == DnsAnswerKind::kRecords) {
    ++counts_.good;
    on_good(source);
  } else if (report.kind == DnsAnswerKind::kEmpty) {
    ++counts_.empty;
    if (keeps) {
      on_trouble(source, true, report.error);
    } else {
      on_good(source);
    }
  } else {
    ++counts_.failed;
    on_trouble(source, false, report.error);
  }
  join();
}

void ClusterDiscovery::read_file() {
  Source& source = sources_.front();
  const auto text = read_config_file(*path());
  if (text && file_text_ && *text == *file_text_) return;
  auto found = text ? parse_endpoint_file(*text, *path(), health_port_) : tl::unexpected(text.error());
  file_text_ = text ? std::optional(*text) : std::nullopt;
  if (!found) {
    ++counts_.failed;
    // As long as it is good it is as good as if it had just been read.
    if (source.error.empty() && source.has_been_good) source.good_at = Clock::now();
    on_trouble(source, false, found.error().message);
  } else {
    ++(found->endpoints.empty() ? counts_.empty : counts_.good);
    sort_by_identity(*found);
    source.endpoints = *std::move(found);
    on_good(source);
  }
  join();
}

void ClusterDiscovery::on_good(Source& source) {
  const auto now = Clock::now();
  if (!source.error.empty()) {
    spdlog::info("event=discovery_recovered cluster={} source={} after_s={}", cluster_,
                 log_quoted(source.name),
                 std::chrono::duration_cast<std::chrono::seconds>(now - source.good_at).count());
  }
  source.has_answered = source.has_been_good = true;
  source.good_at = now;
  source.error.clear();
}

// Once for each trouble, not for each time that it is met with.
void ClusterDiscovery::on_trouble(Source& source, bool is_empty, const std::string& error) {
  source.has_answered = true;
  if (source.error == error) return;
  source.error = error.empty() ? "nothing is found" : error;
  const size_t kept = endpoints_.endpoints.size();
  spdlog::warn("event={} cluster={} source={} endpoints_kept={} error={}",
               is_empty ? "discovery_empty" : "discovery_failed", cluster_, log_quoted(source.name), kept,
               log_quoted(source.error));
}

void ClusterDiscovery::join() {
  if (path() != nullptr && sources_.front().has_been_good) {
    begun_with_.clear();
    publish(sources_.front().endpoints);
    return;
  }
  if (std::ranges::all_of(sources_, &Source::has_been_good)) begun_with_.clear();
  publish(together());
}

ClusterEndpoints ClusterDiscovery::together() const {
  ClusterEndpoints all;
  for (const Source& source : sources_)
    std::ranges::copy(source.endpoints.endpoints, std::back_inserter(all.endpoints));
  all.endpoints = join_endpoints(std::move(all.endpoints));
  std::vector<Endpoint> with_those_before;
  std::ranges::set_union(all.endpoints, begun_with_, std::back_inserter(with_those_before), {}, &Endpoint::id,
                         &Endpoint::id);
  all.endpoints = std::move(with_those_before);
  for (const Endpoint& endpoint : all.endpoints)
    all.check_ports.push_back(health_port_.value_or(endpoint.id.port));
  return all;
}

void ClusterDiscovery::publish(ClusterEndpoints endpoints) {
  if (endpoints == endpoints_) return;
  if (endpoints.endpoints.size() > kMaxMaglevEntries) {
    spdlog::error("event=discovery_failed cluster={} source={} endpoints_kept={} error={}", cluster_,
                  log_quoted(sources_.front().name), endpoints_.endpoints.size(),
                  log_quoted(fmt::format("{} endpoints; accepted: at most {}", endpoints.endpoints.size(),
                                         kMaxMaglevEntries)));
    return;
  }
  const EndpointChanges changes = endpoint_changes(endpoints_.endpoints, endpoints.endpoints);
  endpoints_ = std::move(endpoints);
  spdlog::info("event=endpoints_changed cluster={} endpoints={} added={} removed={}", cluster_,
               endpoints_.endpoints.size(), log_quoted(list_of(changes.added)),
               log_quoted(list_of(changes.removed)));
  on_change_();
}

DiscoveryStatus ClusterDiscovery::status() const {
  DiscoveryStatus status = counts_;
  status.cluster = cluster_;
  status.kind = path() != nullptr ? "file" : "dns";
  status.endpoints = endpoints_.endpoints.size();
  const auto now = Clock::now();
  for (const Source& source : sources_) {
    const bool is_good_file = path() != nullptr && source.has_been_good && source.error.empty();
    const auto age = is_good_file ? Clock::duration(0) : now - source.good_at;
    status.age = std::max(status.age, std::chrono::duration_cast<std::chrono::milliseconds>(age));
    if (status.error.empty()) status.error = source.error;
  }
  return status;
}

}  // namespace sluice::control
