#include "control/service_api.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <thread>

#include "control/api_client.h"
#include "control/flow_api.h"
#include "control/log_api.h"
#include "control/report_api.h"
#include "tests/unit/api_site.h"
#include "tests/unit/json_call.h"
#include "tests/unit/openapi_document.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using test::JsonAnswer;
using testing::HasSubstr;

constexpr std::string_view kConfig = R"(
ports: [{name: wan, af_xdp: eth0}]
tunnel: {source_ipv4: 192.0.2.1}
vips:
  - {name: web, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}
pools:
  - name: web
    backends:
      - {name: b1, address: 10.0.0.1, weight: 0}
      - {address: 10.0.0.2}
)";

/// A store and a server on a thread of their own, with a node that takes everything.
class ServiceApi : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("sluiced.yaml", fmt::format("node: {{name: lb1, cluster_seed: s, state_dir: {}}}{}",
                                              folder_.path().string(), kConfig));
    auto store = ServiceStore::open(folder_.path("sluiced.yaml"), events_);
    ASSERT_TRUE(store) << store.error().message;
    store_ = *std::move(store);
    store_->on_apply([this](const Config& config) -> Result<void> {
      ++applications_;
      weight_ = config.services.pools.empty() ? 0 : config.services.pools[0].backends[0].weight;
      return {};
    });
    ASSERT_EQ(site_.error(), "");
    ApiServer& server = site_.server();
    serve_services(server, *store_);
    serve_events(server, events_);
    serve_log(server, events_);
    serve_reports(server, [] { return Report{}; });
    serve_flows(server, [](bool) { return FlowReport{}; });
    site_.start();
  }
  void TearDown() override { site_.stop(); }

  static ApiLimits limits() {
    ApiLimits limits;
    limits.request_time = 3s;
    return limits;
  }
  JsonAnswer call(const std::string& method, const std::string& target, const std::string& body = "",
                  const std::string& if_match = "") {
    return test::json_call(site_.socket(), method, target, body, if_match);
  }
  std::string error(const std::string& method, const std::string& target, const std::string& body,
                    unsigned status) {
    const JsonAnswer answer = call(method, target, body);
    EXPECT_EQ(answer.status, status) << answer.body;
    return answer.body.value("error", "no error");
  }

  test::TestFolder folder_;
  EventLog events_;
  std::unique_ptr<ServiceStore> store_;
  std::atomic<uint32_t> weight_{0};
  std::atomic<int> applications_{0};
  test::ApiSite site_{folder_.path("control.sock"), limits()};
};

TEST_F(ServiceApi, ListsAndShowsWhatIsConfigured) {
  EXPECT_EQ(call("GET", "/v1/vips").body,
            json::parse(
                R"({"generation":1,"vips":[{"name":"web","address":"203.0.113.1","protocol":"tcp","port":"80",
                          "pool":"web"}]})"));
  EXPECT_EQ(call("GET", "/v1/pools/web/backends/b1").body,
            json::parse(R"({"generation":1,"backend":{"name":"b1","address":"10.0.0.1","weight":0}})"));
  EXPECT_EQ(call("GET", "/v1/pools/web/backends/10.0.0.2").body["backend"]["address"], "10.0.0.2");
  EXPECT_EQ(call("GET", "/v1/pools/web").body["pool"]["backends"].size(), 2u);
  EXPECT_EQ(call("GET", "/v1/config").body["pools"].size(), 1u);
  EXPECT_EQ(error("GET", "/v1/pools/none", "", 404), "there is no pool 'none'");
  EXPECT_EQ(error("GET", "/v1/pools/none/backends", "", 404), "there is no pool 'none'");
}

TEST_F(ServiceApi, AddsChangesAndRemoves) {
  const JsonAnswer added =
      call("POST", "/v1/pools", R"({"name":"mail","backends":[{"name":"m1","address":"10.0.1.1"}]})");
  EXPECT_EQ(added.status, 201u);
  EXPECT_EQ(added.body["generation"], 2);
  EXPECT_EQ(added.body["changes"][0]["text"], "pool mail: added with 1 backend");
  EXPECT_EQ(call("PATCH", "/v1/pools/web/backends/b1", R"({"weight":50,"state":"drain"})").body["changes"][0],
            json::parse(R"({"action":"changed","kind":"backend","pool":"web","name":"b1",
                          "fields":[{"field":"weight","from":"0","to":"50"},
                                    {"field":"state","from":"active","to":"drain"}],
                          "text":"pool web: backend b1: weight 0 -> 50, state active -> drain"})"));
  EXPECT_EQ(weight_, 50u);
  EXPECT_EQ(call("PUT", "/v1/pools/mail/backends/m2", R"({"address":"10.0.1.2"})").status, 200u);
  EXPECT_EQ(call("DELETE", "/v1/pools/mail/backends/m1").status, 200u);
  EXPECT_EQ(call("GET", "/v1/pools/mail").body["pool"]["backends"],
            json::parse(R"([{"name":"m2","address":"10.0.1.2"}])"));
  EXPECT_THAT(error("DELETE", "/v1/pools/web", "", 409), HasSubstr("is used by vip web"));
  EXPECT_EQ(call("DELETE", "/v1/vips/web").status, 200u);
  EXPECT_EQ(call("GET", "/v1/vips").body["vips"].size(), 0u);
}

TEST_F(ServiceApi, NamesInPathsAreDecoded) {
  EXPECT_EQ(call("GET", "/v1/pools/w%65b").status, 200u);
  EXPECT_THAT(error("GET", "/v1/pools/a%2Fb%20c", "", 404), HasSubstr("'a/b c'"));
  for (const char* bad : {"/v1/pools/%", "/v1/pools/%4", "/v1/pools/%zz"})
    EXPECT_EQ(call("GET", bad).status, 400u);
  EXPECT_EQ(call("GET", "/v1/pools/").status, 404u);
  EXPECT_EQ(call("GET", "/v1/pools/" + api_segment("no such/pool%")).body["error"],
            "there is no pool 'no such/pool%'");
}

TEST_F(ServiceApi, MalformedAndWrongBodiesAreRefusedAndChangeNothing) {
  const auto before = call("GET", "/v1/config").body;
  struct Wrong {
    const char* body;
    unsigned status;
    const char* part;
  };
  for (const Wrong& wrong :
       {Wrong{R"({"weight":)", 400, "body: line 1, column"}, Wrong{R"({"weight": 5)", 400, "body: line 1"},
        Wrong{R"({"weight": 5}})", 400, "body: line 1"}, Wrong{"\x01", 400, "control character"},
        Wrong{"\xff", 400, "not UTF-8"}, Wrong{"{a: &x 1, b: *x}", 400, "aliases"},
        Wrong{"", 422, "accepted: an object"}, Wrong{"[]", 422, "accepted: an object"},
        Wrong{"5", 422, "accepted: an object"}, Wrong{R"({"weight": 5, "weight": 6})", 422, "twice"},
        Wrong{R"({"wieght": 5})", 422, "did you mean 'weight'?"},
        Wrong{R"({"weight": -1})", 422, "backends[b1].weight: found '-1'"},
        Wrong{R"({"weight": {"a": 1}})", 422, "weight: found a map"},
        Wrong{R"({"address": "10.0.0.2"})", 422, "the address of another backend"},
        Wrong{R"({"address": null})", 422, "address: found nothing"}}) {
    EXPECT_THAT(error("PATCH", "/v1/pools/web/backends/b1", wrong.body, wrong.status), HasSubstr(wrong.part));
  }
  EXPECT_EQ(call("PATCH", "/v1/pools/web/backends/b1", std::string(100'000, '[')).status, 400u);
  EXPECT_EQ(call("GET", "/v1/config").body, before);
  EXPECT_EQ(applications_, 0);
}

TEST_F(ServiceApi, SeveralErrorsAreOneLineAndAList) {
  const JsonAnswer answer = call("PATCH", "/v1/pools/web/backends/b1", R"({"weight":-1,"state":"off"})");
  EXPECT_EQ(answer.body["errors"].size(), 2u);
  EXPECT_EQ(answer.body["generation"], 1);
  EXPECT_EQ(answer.body["error"].get<std::string>(),
            answer.body["errors"][0].get<std::string>() + "; " + answer.body["errors"][1].get<std::string>());
}

TEST_F(ServiceApi, HugeBodiesAreRefused) {
  EXPECT_EQ(call("PUT", "/v1/config", std::string((4u << 20) + 1, ' ')).status, 413u);
  EXPECT_EQ(call("GET", "/v1/config").status, 200u);
}

TEST_F(ServiceApi, TheWholeIsComparedAndReplaced) {
  const std::string wanted = "pools: [{name: web, backends: [{name: b1, address: 10.0.0.1, weight: 9}]}]\n";
  const JsonAnswer dry = call("PUT", "/v1/config?dry_run=1", wanted);
  EXPECT_EQ(dry.status, 200u);
  EXPECT_EQ(dry.body["dry_run"], true);
  EXPECT_EQ(dry.body["changes"].size(), 3u) << dry.body;
  EXPECT_EQ(applications_, 0);
  EXPECT_EQ(call("PUT", "/v1/config", wanted, "1").body["generation"], 2);
  EXPECT_EQ(weight_, 9u);
  const auto yaml = api_call(site_.socket(), "GET", "/v1/config?format=yaml", "", 20s);
  ASSERT_TRUE(yaml);
  EXPECT_EQ(call("PUT", "/v1/config", yaml->body).body["changes"].size(), 0u);
  EXPECT_THAT(error("PUT", "/v1/config", "node: {}", 422),
              HasSubstr("found 'node'; accepted: vips and pools only"));
}

TEST_F(ServiceApi, AStaleGenerationIsRefusedWithThePresentOne) {
  EXPECT_EQ(call("PATCH", "/v1/pools/web/backends/b1", "{weight: 5}", "1").status, 200u);
  const JsonAnswer stale = call("PATCH", "/v1/pools/web/backends/b1", "{weight: 6}", "1");
  EXPECT_EQ(stale.status, 412u);
  EXPECT_EQ(stale.body["generation"], 2);
  EXPECT_EQ(weight_, 5u);
  EXPECT_EQ(call("PATCH", "/v1/pools/web/backends/b1", "{weight: 6}", "two").status, 400u);
}

TEST_F(ServiceApi, ConcurrentEditsWithGenerationsLoseNoUpdate) {
  constexpr int kThreads = 4;
  constexpr int kEach = 10;
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int done = 0; done < kEach;) {
        const JsonAnswer seen = call("GET", "/v1/pools/web/backends/b1");
        const int weight = seen.body["backend"]["weight"].get<int>() + 1;
        const JsonAnswer changed =
            call("PATCH", "/v1/pools/web/backends/b1", fmt::format("{{\"weight\":{}}}", weight),
                 seen.body["generation"].dump());
        if (changed.status == 200) {
          ++done;
        } else {
          ASSERT_EQ(changed.status, 412u) << changed.body;
          ++refused;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(weight_, kThreads * kEach);
  EXPECT_EQ(call("GET", "/v1/config").body["generation"], 1 + kThreads * kEach);
  EXPECT_GT(refused, 0);
}

TEST_F(ServiceApi, AThousandSlowClientsDoNotKeepAnHonestOneAway) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  std::vector<int> slow;
  for (int i = 0; i < 1000; ++i) {
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::ranges::copy(site_.socket(), address.sun_path);
    ASSERT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    (void)send(fd, "PATCH /v1/", 10, MSG_NOSIGNAL);
    slow.push_back(fd);
  }
  // Full: told so at once, not kept waiting. The places come back when the slow ones' time is over.
  const auto until = std::chrono::steady_clock::now() + 20s;
  unsigned status = 503;
  while (status == 503 && std::chrono::steady_clock::now() < until) {
    const auto asked = std::chrono::steady_clock::now();
    const auto answer = api_call(site_.socket(), "PATCH", "/v1/pools/web/backends/b1", "{weight: 5}", 20s);
    ASSERT_TRUE(answer) << answer.error().message;
    status = answer->status;
    EXPECT_LT(std::chrono::steady_clock::now() - asked, 10s);
  }
  EXPECT_EQ(status, 200u);
  EXPECT_EQ(weight_, 5u);
  for (const int fd : slow) close(fd);
}

TEST_F(ServiceApi, EventsAreNumberedAndFollowed) {
  call("PATCH", "/v1/pools/web/backends/b1", "{weight: 5}");
  call("PATCH", "/v1/pools/web/backends/b1", "{weight: 6}");
  const json all = call("GET", "/v1/events").body;
  EXPECT_EQ(all["last"], 2);
  ASSERT_EQ(all["events"].size(), 2u);
  EXPECT_EQ(all["events"][0]["text"],
            fmt::format("pool web: backend b1: weight 0 -> 5 (generation 2, by api, uid {})", getuid()));
  const json rest = call("GET", "/v1/events?after=1").body;
  ASSERT_EQ(rest["events"].size(), 1u);
  EXPECT_EQ(rest["events"][0]["sequence"], 2);
  EXPECT_EQ(call("GET", "/v1/events?limit=1").body["events"][0]["sequence"], 2);
  EXPECT_EQ(call("GET", "/v1/events?after=7").body["events"].size(), 0u);
  EXPECT_EQ(call("GET", "/v1/events?after=x").status, 400u);
}

TEST(EventLogTest, KeepsTheNewestAndCountsOn) {
  EventLog log(3);
  EXPECT_EQ(log.first(), 1u);
  EXPECT_TRUE(log.after(0, 10).empty());
  for (int i = 1; i <= 5; ++i) log.record("k", std::to_string(i));
  EXPECT_EQ(log.first(), 3u);
  EXPECT_EQ(log.last(), 5u);
  const auto numbers = [&](uint64_t after, size_t most) {
    std::string text;
    for (const Event& event : log.after(after, most)) text += event.text;
    return text;
  };
  EXPECT_EQ(numbers(0, 10), "345");
  EXPECT_EQ(numbers(3, 10), "45");
  EXPECT_EQ(numbers(3, 1), "4");
  EXPECT_EQ(numbers(5, 10), "");
  EXPECT_EQ(numbers(99, 10), "");
}

FlowReport flow_report() {
  FlowReport report;
  report.workers.resize(2);
  report.workers[0].flows = 10;
  report.workers[0].flow_capacity = 100;
  report.workers[1].flows = 40;
  report.workers[1].flow_capacity = 100;
  report.survey = 3;
  report.wanted = 4;
  report.pools = {{"web", {"www"}, {{"b1", "10.0.0.1", "active", 30}, {"b 2", "10.0.0.2", "drain", 5}}},
                  {"mail", {}, {}}};
  return report;
}

TEST(FlowsJson, SumsWorkersAndBackends) {
  const json flows = json::parse(to_json(flow_report()));
  EXPECT_EQ(flows["flows"], 50);
  EXPECT_EQ(flows["occupancy"], 0.25);
  EXPECT_EQ(flows["workers"].size(), 2u);
  EXPECT_EQ(flows["pools"][0]["flows"], 35);
  EXPECT_EQ(json::parse(to_json(FlowReport{}))["occupancy"], 0.0);
  const auto back = flow_report_from_json(to_json(flow_report()));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(to_json(*back), to_json(flow_report()));
  for (const char* wrong : {"", "[]", "{}", R"({"workers":[],"survey":{}})"})
    EXPECT_FALSE(flow_report_from_json(wrong));
}

TEST(FlowsApi, LeavesOutWhatIsNotAskedForAndAsksForNoSurveyTwice) {
  int asked = 0;
  const auto get = [&](const std::string& query) {
    const ApiResponse answer = answer_flows(
        [&](bool ask) {
          asked += ask;
          return flow_report();
        },
        {.method = "GET", .path = "/v1/flows", .query = query});
    return std::pair(answer.status, json::parse(answer.body));
  };
  EXPECT_EQ(get("").second["pools"].size(), 2u);
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(get("survey=4").second["survey"]["wanted"], 4);
  EXPECT_EQ(asked, 1);
  const json one = get("pool=web&backend=b%202").second;
  EXPECT_EQ(one["pools"].size(), 1u);
  EXPECT_EQ(one["pools"][0]["backends"].size(), 1u);
  EXPECT_EQ(one["pools"][0]["backends"][0]["flows"], 5);
  EXPECT_EQ(get("pool=none").first, 404u);
  EXPECT_EQ(get("pool=web&backend=none").first, 404u);
  for (const char* wrong : {"backend=b1", "survey=", "survey=x", "survey=-1"})
    EXPECT_EQ(get(wrong).first, 400u) << wrong;
}

TEST_F(ServiceApi, TheLogLevelIsShownAndChanged) {
  EXPECT_EQ(call("GET", "/v1/log").body["level"], "info");
  EXPECT_EQ(call("PUT", "/v1/log", R"({"level":"debug"})").body["level"], "debug");
  EXPECT_EQ(call("GET", "/v1/log").body["level"], "debug");
  for (const char* wrong :
       {R"({"level":"loud"})", R"({"level":3})", "{}", "nonsense", R"({"level":"info","x":1})"}) {
    const auto refused = call("PUT", "/v1/log", wrong);
    EXPECT_EQ(refused.status, 422u) << wrong;
    EXPECT_THAT(refused.body["error"].get<std::string>(), HasSubstr("accepted: debug, info, warning, error"))
        << wrong;
  }
  EXPECT_EQ(call("PUT", "/v1/log", R"({"level":"info"})").body["level"], "info");
}

TEST_F(ServiceApi, TheDocumentedRoutesAreThoseThereAreAndNoOthers) {
  const auto routes = site_.server().routes();
  EXPECT_EQ(test::documented_operations(SLUICE_SOURCE_DIR "/docs/openapi.yaml"),
            std::set<std::string>(routes.begin(), routes.end()));
}

}  // namespace
}  // namespace sluice
