// A proxy asked and told over its control socket: by the API, and by sluicectl, whose transcript in
// golden/sluicectl_proxy.txt must come out the same. SLUICE_UPDATE_GOLDEN=1 writes it anew.
#include "control/proxy/proxy_api.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "control/file_limit.h"
#include "control/metrics/metrics_json.h"
#include "control/proxy/proxy_metrics.h"
#include "tests/unit/api_site.h"
#include "tests/unit/json_call.h"
#include "tests/unit/loopback_port.h"
#include "tests/unit/openapi_document.h"
#include "tests/unit/sluicectl_transcript.h"
#include "tests/unit/test_folder.h"

namespace sluice::control {
namespace {

using nlohmann::json;
using test::replaced;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kSource = SLUICE_SOURCE_DIR;

constexpr std::string_view kConfig = R"(
listeners:
  - name: front
    address: 127.0.0.1
    port: PORT
    health_path: /health
    hosts:
      - name: shop
        domains: [shop.example, "*.shop.example"]
        routes:
          - {name: static, segments: /static, respond: {status: 200, body: hello}}
          - {name: old, path: /old, redirect: {status: 308, prefix: /new}}
          - {name: beta, prefix: /api, headers: [{name: x-beta}], cluster: empty}
          - name: api
            prefix: /api
            methods: [GET, POST]
            cluster: web
            rewrite: {prefix: /v1, host: web.internal}
            request_headers: [{set: x-env, value: prod}, {remove: x-debug}]
            response_headers: [{add: x-by, value: sluice}]
            request_timeout: 2500ms
            retry: {on: [reset, 5xx], max_retries: 3, per_try_timeout: 1s}
            rate_limit: {per_second: 50, burst: 10, by: [{header: x-user, terminal: true}, {source_address: true}]}
          - {name: split, prefix: /split, clusters: [{cluster: web, weight: 3}, {cluster: keyed}]}
      - name: rest
        domains: ["*"]
        routes:
          - {prefix: /keyed, cluster: keyed, hash: [{header: x-user}]}
clusters:
  - name: web
    endpoints: [{address: 192.0.2.1, port: 80, weight: 3}, {address: 192.0.2.2, port: 80, weight: 0}]
  - name: keyed
    policy: maglev
    endpoints: [{address: 192.0.2.11, port: 80}, {address: 192.0.2.12, port: 80}]
  - {name: empty, endpoints: []}
)";

/// What explain takes: a list of pairs. In braces it would be an object.
json one_header(const std::string& name, const std::string& value) {
  return json::array({json::array({name, value})});
}

class ProxyApi : public testing::Test {
 protected:
  void SetUp() override {
    write(config_text());
    const ProxyFile file{.path = file_, .run_dir = folder_.path()};
    auto loaded = load_proxy_file(file);
    ASSERT_TRUE(loaded) << loaded.error().message;
    ASSERT_EQ(loaded->config.control_socket(), site_.socket());
    ASSERT_EQ(site_.error(), "");
    auto control = ProxyControl::start(site_.io(), std::move(loaded->config));
    ASSERT_TRUE(control) << control.error().message;
    control_ = *std::move(control);
    control_->accept();
    in_force_ = std::make_unique<ConfigInForce>(*control_, file, loaded->text, [] { return Result<void>(); });
    serve_proxy(site_.server(), {site_.io(),
                                 *control_,
                                 *in_force_,
                                 events_,
                                 {"1.2.3", std::time(nullptr)},
                                 [this] { return metrics(); },
                                 [this] { ++leaves_; }});
    site_.start();
  }
  void TearDown() override {
    site_.stop([this] { site_.io().stop(); });  // the proxy's timers go on
    control_->stop();
  }

  std::string config_text() const {
    return replaced(std::string(kConfig), "PORT", std::to_string(port_.number));
  }
  void write(const std::string& text) const { std::ofstream(file_) << "proxy: {name: p1}\n" << text; }
  std::string metrics() const { return render_proxy_metrics({"p1", "1.2.3"}, control_->proxy()); }

  test::JsonAnswer call(const std::string& method, const std::string& target, const std::string& body = "") {
    return test::json_call(site_.socket(), method, target, body);
  }
  json explain(json request) { return call("POST", "/v1/explain", request.dump()).body; }

  /// What sluicectl says, without what differs from run to run.
  std::string run(const std::string& line) {
    const std::string text = replaced(test::sluicectl_says(line, site_.socket(), folder_.path()),
                                      fmt::format(":{}", port_.number), ":PORT");
    return std::regex_replace(text, std::regex("process [0-9]+, up [0-9]+s"), "process N, up Ns");
  }

  test::Port port_;
  test::TestFolder folder_;
  std::string file_ = folder_.path("proxy.yaml");
  EventLog events_;
  int leaves_ = 0;
  test::ApiSite site_{folder_.path("proxy.sock")};
  std::unique_ptr<ProxyControl> control_;
  std::unique_ptr<ConfigInForce> in_force_;
};

TEST_F(ProxyApi, TheDocumentedRoutesAreThoseThereAreAndNoOthers) {
  const auto routes = site_.server().routes();
  EXPECT_EQ(test::documented_operations(kSource + "/docs/proxy-openapi.yaml"),
            std::set<std::string>(routes.begin(), routes.end()));
}

TEST_F(ProxyApi, SaysWhatTheTranscriptSays) {
  write(config_text());
  folder_.write("bad.yaml", "listeners: []\nclusters: 3\n");
  folder_.write(
      "other.yaml",
      "proxy: {name: p2}\n" +
          replaced(config_text(), "weight: 3}, {address: 192.0.2.2, port: 80, weight: 0}", "weight: 3}"));
  test::expect_transcript(kSource + "/tests/unit/golden/sluicectl_proxy.txt",
                          [this](const std::string& line) { return run(line); });
}

TEST_F(ProxyApi, ADocumentThatIsPutHasToBeCalledVolatile) {
  const std::string other = "proxy: {name: p9}\n" + config_text();
  EXPECT_EQ(call("PUT", "/v1/config", other).status, 409u);
  EXPECT_EQ(call("PUT", "/v1/config?dry_run=1", other).status, 200u);
  EXPECT_EQ(call("GET", "/v1/status").body["proxy"], "p1");
  EXPECT_EQ(call("PUT", "/v1/config?volatile=1", other).status, 200u);
  const json status = call("GET", "/v1/status").body;
  EXPECT_EQ(status["proxy"], "p9");
  EXPECT_EQ(status["generation"], 2);
  EXPECT_EQ(status["config"]["from_file"], false);
  EXPECT_EQ(status["config"]["differs_from_file"], true);
  EXPECT_EQ(call("GET", "/v1/config").body["text"], other);
  EXPECT_EQ(call("POST", "/v1/reload").body["from_file"], true);
  EXPECT_EQ(call("GET", "/v1/status").body["proxy"], "p1");
}

TEST_F(ProxyApi, WhatIsWrongWithADocumentIsListedAndNothingChanges) {
  const auto refused = call("PUT", "/v1/config?volatile=1", "listeners: []\nclusters: 3\n");
  EXPECT_EQ(refused.status, 422u);
  EXPECT_GE(refused.body["errors"].size(), 2u);
  EXPECT_THAT(refused.body["errors"][0].get<std::string>(), HasSubstr("document:1:"));
  // Found by the data plane's own step, not by the parser.
  const auto workers = call("PUT", "/v1/config?dry_run=1", "proxy: {workers: 3}\n" + config_text());
  EXPECT_THAT(workers.body["error"].get<std::string>(), HasSubstr("an upgrade does"));
  EXPECT_EQ(call("GET", "/v1/status").body["generation"], 1);
}

TEST_F(ProxyApi, WhatAReloadCannotChangeIsRefusedByNameAndWithTheWayToIt) {
  constexpr std::string_view kUpgrade =
      "an upgrade does (SIGUSR2, or sluice-proxy --upgrade: docs/upgrade.md)";
  constexpr std::string_view kRestart = "a change takes a restart";
  struct Case {
    std::string_view field;
    std::string document;
    std::string_view advice;
  };
  const Case cases[] = {
      {"proxy.workers: found 3 where 1 run", "proxy: {workers: 3}\n", kUpgrade},
      {"proxy.cores: found [0] where nothing is in use", "proxy: {cores: [0]}\n", kUpgrade},
      {"metrics.listen: found [::1]:9109 where nothing is in use", "metrics: {listen: \"[::1]:9109\"}\n",
       kUpgrade},
      {"log.to: found journal where stderr is in use", "log: {to: journal}\n", kUpgrade},
      {"proxy.upgrade_socket: found /x where nothing is in use", "proxy: {upgrade_socket: /x}\n", kRestart},
      {"proxy.user: found nobody where nothing is in use", "proxy: {user: nobody}\n", kRestart},
  };
  for (const Case& wanted : cases) {
    for (const char* how : {"dry_run=1", "volatile=1"}) {
      const auto refused = call("PUT", std::string("/v1/config?") + how, wanted.document + config_text());
      EXPECT_EQ(refused.status, 422u) << wanted.field;
      const auto error = refused.body.value("error", "");
      EXPECT_THAT(error, HasSubstr(std::string(wanted.field)));
      EXPECT_THAT(error, HasSubstr(std::string(wanted.advice)));
    }
  }
  EXPECT_EQ(call("GET", "/v1/status").body["generation"], 1);
}

TEST_F(ProxyApi, AFileThatIsWrongIsSaidInTheStatusUntilItIsMended) {
  std::ofstream(file_) << "listeners: []\n";
  const auto refused = call("POST", "/v1/reload");
  EXPECT_EQ(refused.status, 422u);
  EXPECT_THAT(refused.body["error"].get<std::string>(), HasSubstr(file_ + ":1:"));
  json config = call("GET", "/v1/status").body["config"];
  EXPECT_FALSE(config["error"].get<std::string>().empty());
  EXPECT_EQ(config["differs_from_file"], true);
  write(config_text());
  EXPECT_EQ(call("POST", "/v1/reload").status, 200u);
  config = call("GET", "/v1/status").body["config"];
  EXPECT_EQ(config["error"], "");
  EXPECT_EQ(config["differs_from_file"], false);
}

TEST_F(ProxyApi, AnEndpointStaysDrainedOverReloadsUntilItLeavesTheFile) {
  const std::string target = "/v1/clusters/web/endpoints/192.0.2.1:80/";
  EXPECT_EQ(call("POST", target + "drain").body["candidates_left"], 0);
  EXPECT_EQ(call("POST", "/v1/reload").status, 200u);
  EXPECT_EQ(call("GET", "/v1/clusters/web").body["clusters"][0]["endpoints"][0]["standing"], "drain");
  write(replaced(config_text(), "192.0.2.1,", "192.0.2.3,"));
  EXPECT_EQ(call("POST", "/v1/reload").status, 200u);
  write(config_text());
  EXPECT_EQ(call("POST", "/v1/reload").status, 200u);
  EXPECT_EQ(call("GET", "/v1/clusters/web").body["clusters"][0]["endpoints"][0]["standing"], "serves");
  call("POST", target + "drain");
  EXPECT_EQ(call("POST", target + "undrain").body["endpoint"]["standing"], "serves");
}

TEST_F(ProxyApi, ExplainDrawsByWeightAndKeysStayTogether) {
  const json split = explain({{"url", "http://shop.example/split"}, {"count", 4000}});
  ASSERT_EQ(split["clusters"].size(), 2u) << split.dump(1);
  EXPECT_NEAR(split["clusters"][0]["drawn"].get<double>(), 3000, 200);
  EXPECT_EQ(split["clusters"][0]["share"], 0.75);
  const auto picked = [&](const json& explained) {
    std::vector<uint64_t> counts;
    for (const json& endpoint : explained["clusters"][0]["endpoints"]) counts.push_back(endpoint["picked"]);
    return counts;
  };
  std::set<size_t> owners;
  for (int user = 0; user < 20; ++user) {
    const json keyed = explain({{"url", "http://other/keyed"},
                                {"headers", one_header("X-User", std::to_string(user))},
                                {"count", 50}});
    const auto counts = picked(keyed);
    EXPECT_THAT(counts, testing::UnorderedElementsAre(50, 0)) << keyed.dump();
    owners.insert(counts[0] == 0 ? 1 : 0);
  }
  EXPECT_EQ(owners.size(), 2u);
  const json none = explain({{"url", "http://other/keyed"}});
  EXPECT_TRUE(none["clusters"][0]["hash"].is_null());
}

TEST_F(ProxyApi, ExplainTakesTheAddressThatTheRequestIsToComeFrom) {
  const std::string by_address =
      replaced(config_text(), "{header: x-user}]}\nclusters", "{source_address: true}]}\nclusters");
  ASSERT_NE(by_address, config_text());
  ASSERT_EQ(call("PUT", "/v1/config?volatile=1", "proxy: {name: p1}\n" + by_address).status, 200u);
  std::set<std::string> hashes;
  std::set<std::string> owners;
  for (int host = 1; host <= 20; ++host) {
    const json explained =
        explain({{"url", "http://other/keyed"}, {"from", fmt::format("198.51.100.{}", host)}});
    hashes.insert(explained["clusters"][0]["hash"].get<std::string>());
    owners.insert(explained["answer"]["endpoint"].get<std::string>());
  }
  EXPECT_EQ(hashes.size(), 20u);
  EXPECT_EQ(owners.size(), 2u);
}

TEST_F(ProxyApi, ExplainSeesThePathAndTheHostAsTheWorkersDo) {
  const json normal = explain({{"url", "http://Shop.Example:8080/x/../%61pi/y?q=1"}});
  EXPECT_EQ(normal["request"]["normal_path"], "/api/y?q=1");
  EXPECT_EQ(normal["sent"]["path"], "/v1/y?q=1");
  EXPECT_EQ(normal["sent"]["authority"], "web.internal");
  EXPECT_EQ(
      explain({{"url", "http://x/"}, {"headers", one_header("Host", "a.shop.example")}})["host"]["name"],
      "shop");
}

TEST_F(ProxyApi, WrongRequestsToExplainSayWhatIsAccepted) {
  const std::vector<std::pair<json, std::string>> wrong{
      {json::array(), "url"},
      {{{"method", "GET"}}, "url"},
      {{{"url", "shop.example/"}}, "accepted: http://HOST/PATH"},
      {{{"url", "ftp://shop.example/"}}, "accepted: http://HOST/PATH"},
      {{{"url", "http://user@shop.example/"}}, "accepted: http://HOST/PATH"},
      {{{"url", "http://shop.example:0/"}}, "accepted: http://HOST/PATH"},
      {{{"url", "http://a/ b"}}, "accepted: http://HOST/PATH"},
      {{{"url", 3}}, "url: found 3"},
      {{{"url", "http://a/"}, {"method", "G T"}}, "method: found 'G T'"},
      {{{"url", "http://a/"}, {"from", "here"}}, "from: found 'here'"},
      {{{"url", "http://a/"}, {"count", 0}}, "count: found 0"},
      {{{"url", "http://a/"}, {"count", 1000000}}, "from 1 to 100000"},
      {{{"url", "http://a/"}, {"headers", json::array({"a"})}}, "headers: found"},
      {{{"url", "http://a/"}, {"headers", one_header("a b", "c")}}, "headers: found"},
      {{{"url", "http://a/"}, {"headers", one_header("a", "c\nd")}}, "headers: found"},
      {{{"url", "http://a/"}, {"listener", "back"}}, "accepted: front"},
      {{{"url", "http://a/"}, {"colour", "red"}}, "unknown field 'colour'"}};
  for (const auto& [request, words] : wrong) {
    const auto refused = call("POST", "/v1/explain", request.dump());
    EXPECT_EQ(refused.status, 422u) << request;
    EXPECT_THAT(refused.body["error"].get<std::string>(), HasSubstr(words)) << request;
  }
}

TEST_F(ProxyApi, AllConnectionsAreCountedThoughFewAreShown) {
  // More than one turn of the worker looks at.
  constexpr size_t kClients = 2 * l7::ConnectionSurveys::kPerTurn + 7;
  raise_file_limit(4096);
  std::vector<int> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_.number);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(clients.back(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (call("GET", "/v1/status").body["workers"][0]["clients"] != kClients)
    ASSERT_LT(std::chrono::steady_clock::now(), until) << "the worker has not taken all";
  const json ten = call("GET", "/v1/connections?limit=10").body;
  EXPECT_EQ(ten["matched"], kClients);
  EXPECT_EQ(ten["connections"].size(), 10u);
  const json all = call("GET", "/v1/connections?limit=10000&listener=front&peer=127.0.0.1").body;
  std::set<std::string> peers;
  for (const json& connection : all["connections"]) peers.insert(connection["peer"].get<std::string>());
  EXPECT_EQ(peers.size(), kClients);
  EXPECT_EQ(call("GET", "/v1/connections?peer=127.0.0.2").body["matched"], 0);
  EXPECT_EQ(call("GET", "/v1/connections?side=upstreams").body["matched"], 0);
  for (const int client : clients) close(client);
}

TEST_F(ProxyApi, AQueryForConnectionsThatIsWrongIsRefused) {
  for (const char* query :
       {"side=left", "limit=10001", "limit=x", "limit=", "peer=host", "listener=a&cluster=b"})
    EXPECT_EQ(call("GET", std::string("/v1/connections?") + query).status, 400u) << query;
}

TEST_F(ProxyApi, HealthIsTurnedAndTurnedBackAndLeavingIsAskedFor) {
  EXPECT_EQ(call("POST", "/v1/drain").body["draining"], true);
  EXPECT_EQ(explain({{"url", "http://a/health"}})["answer"]["status"], 503);
  EXPECT_EQ(call("POST", "/v1/undrain").body["draining"], false);
  EXPECT_EQ(explain({{"url", "http://a/health"}})["answer"]["status"], 200);
  EXPECT_EQ(leaves_, 0);
  call("POST", "/v1/drain?leave=1");
  EXPECT_EQ(leaves_, 1);
}

TEST_F(ProxyApi, StatsAreTheMetricsThatAreScraped) {
  const std::string text = metrics();
  const json stats = call("GET", "/v1/stats").body["metrics"];
  EXPECT_EQ(stats.size(), proxy_metrics().size());
  size_t samples = 0;
  for (const json& metric : stats) samples += metric["samples"].size();
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) samples -= line.starts_with('#') || line.empty() ? 0 : 1;
  EXPECT_EQ(samples, 0u);
  EXPECT_EQ(call("GET", "/v1/stats?name=draining").body["metrics"].size(), 1u);
}

TEST(MetricsJson, LabelsAreUnescapedAndNumbersStayNumbers) {
  Exposition text;
  text.begin({"a_total", MetricKind::kCounter, "x", "How \"many\"."});
  text.sample(label_set({{"x", "q\"\\\n,}"}, {"y", ""}}), uint64_t{18446744073709551615u});
  text.begin({"b", MetricKind::kHistogram, "", "H."});
  text.histogram("", std::array{0.5}, std::array<uint64_t, 2>{3, 4}, 1.25);
  const json found = json::parse(metrics_json(text.take()));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0]["samples"][0]["labels"], (json{{"x", "q\"\\\n,}"}, {"y", ""}}));
  EXPECT_EQ(found[0]["samples"][0]["value"], 18446744073709551615u);
  EXPECT_EQ(found[0]["kind"], "counter");
  EXPECT_EQ(found[1]["samples"][0]["name"], "b_bucket");
  EXPECT_EQ(found[1]["samples"][0]["labels"]["le"], "0.5");
  EXPECT_EQ(json::parse(metrics_json("# HELP a A.\n# TYPE a gauge\nnonsense\n\na{\n"))[0]["samples"].size(),
            1u);
  EXPECT_EQ(metrics_json(""), "[]");
}

}  // namespace
}  // namespace sluice::control
