#include "dataplane/l7/connection_survey.h"

#include <algorithm>
#include <utility>

#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/worker_context.h"

namespace sluice::l7 {
namespace {

// Counts one more. True: as many as are wanted have been described already.
bool counts_only(ConnectionSurveys::Survey& survey) {
  ++survey.found.matched;
  return survey.found.views.size() >= survey.limit;
}

}  // namespace

void ConnectionSurveys::add(Survey survey) {
  queue_.push_back(std::move(survey));
  if (queue_.size() == 1) worker_.loop.post([this] { turn(); });
}

void ConnectionSurveys::turn() {
  if (queue_.empty()) return;
  Survey& survey = queue_.front();
  size_t left = kPerTurn;
  if (look_at_clients(survey, left) && look_at_upstreams(survey, left)) {
    look_at_retired(survey);
    Survey over = std::move(survey);
    queue_.pop_front();
    ++number_;
    over.done(std::move(over.found));
  }
  if (!queue_.empty()) worker_.loop.post([this] { turn(); });
}

// Whoever has been looked at goes to the end of the list: so there is no place in it to be remembered from
// one turn to the next, which a connection that closes could take away.
bool ConnectionSurveys::look_at_clients(Survey& survey, size_t& left) {
  if (survey.clients_seen || !survey.filter.clients) return true;
  for (; left > 0 && !clients_.empty(); --left) {
    ClientConnection& client = clients_.front();
    if (client.surveyed == number_) break;
    client.surveyed = number_;
    static_cast<ListLink<ClientsTag>&>(client).unlink();
    clients_.push_back(client);
    const ConnectionFilter& filter = survey.filter;
    if (!filter.takes_place(client.listener_name()) || !filter.takes_peer(client.address())) continue;
    if (counts_only(survey)) continue;
    take(survey, client.view());
  }
  survey.clients_seen = clients_.empty() || clients_.front().surveyed == number_;
  return survey.clients_seen;
}

bool ConnectionSurveys::look_at_upstreams(Survey& survey, size_t& left) {
  if (!survey.filter.upstreams) return true;
  for (; survey.cluster < survey.clusters.size(); ++survey.cluster, survey.slot = 0) {
    const ClusterRuntime& cluster = *survey.clusters[survey.cluster];
    for (; survey.slot < cluster.slots(); ++survey.slot) {
      if (left == 0) return false;
      --left;
      UpstreamPool* pool = cluster.pool_at(survey.slot);
      if (pool == nullptr) continue;
      left -= std::min(left, pool->connections());
      look_at_pool(survey, *pool);
    }
  }
  return true;
}

// Of endpoints that have gone, until their last request has ended: few.
void ConnectionSurveys::look_at_retired(Survey& survey) {
  if (!survey.filter.upstreams) return;
  for (const auto& pool : worker_.retired) {
    if (survey.filter.takes_place(pool->cluster().settings().name)) look_at_pool(survey, *pool);
  }
}

void ConnectionSurveys::look_at_pool(Survey& survey, UpstreamPool& pool) {
  if (!survey.filter.takes_peer(pool.id().address)) return;
  pool.for_each_connection([&](UpstreamConnection& connection) {
    if (counts_only(survey)) return;
    ConnectionView view = connection.view();
    view.place = pool.cluster().settings().name;
    take(survey, std::move(view));
  });
}

void ConnectionSurveys::take(Survey& survey, ConnectionView view) const {
  view.worker = worker_.index;
  survey.found.views.push_back(std::move(view));
}

}  // namespace sluice::l7
