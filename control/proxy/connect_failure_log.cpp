#include "control/proxy/connect_failure_log.h"

namespace sluice::control {

std::vector<ConnectFailureLine> ConnectFailureLog::look(const l7::ProxySnapshot& snapshot,
                                                        std::chrono::system_clock::time_point now) {
  std::vector<ConnectFailureLine> lines;
  std::map<std::pair<std::string, EndpointId>, Said> known;
  for (const auto& [name, cluster] : snapshot.clusters) {
    const EndpointSet& set = *cluster.endpoints;
    for (uint32_t i = 0; i < set.endpoints().size(); ++i) {
      const EndpointTraffic& traffic = *set.state(i)->traffic;
      const auto last = traffic.last_connect_failure();
      if (!last) continue;
      const EndpointId& id = set.endpoints()[i].id;
      const uint64_t failures =
          traffic.sum([](const EndpointCounters& counters) { return counters.connect_failures.read(); });
      const auto before = said_.find({name, id});
      Said said = before == said_.end() ? Said{} : before->second;
      if (failures < said.failures) said = {};  // one that has gone and come again
      const bool news = failures > said.failures && (last->why != said.why || now - said.at >= kAgain);
      if (news) {
        lines.push_back({name, id, last->why, failures - said.failures});
        said = {now, last->why, failures};
      }
      known.emplace(std::pair(name, id), std::move(said));
    }
  }
  said_.swap(known);
  return lines;
}

}  // namespace sluice::control
