#include "control/sluicectl.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "control/flow_api.h"
#include "control/report.h"
#include "control/sluicectl_verbs.h"
#include "tests/unit/api_site.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Ran {
  int code;
  std::string out;
  std::string err;
};

Ran run(const std::vector<std::string>& words, bool is_terminal = false, bool no_colour = false) {
  std::ostringstream out;
  std::ostringstream err;
  const int code = run_sluicectl(words, {out, err, is_terminal, no_colour});
  return {code, out.str(), err.str()};
}

/// A server that answers as sluiced does, its packets 10 more with each question.
class Sluicectl : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(site_.error(), "");
    ApiServer& server = site_.server();
    report_.node = "lb1";
    report_.vips = {{"web", "203.0.113.10", "tcp", "80", "web", 2, 0, 0}};
    const auto answer = [this](const ApiRequest&) {
      report_.vips[0].packets += 10;
      report_.taken_ns += 1'000'000'000;
      return ApiResponse{200, to_json(report_)};
    };
    server.route("GET", "/v1/status", answer);
    server.route("GET", "/v1/stats", answer);
    report_.backends.resize(3);
    report_.backends[0] = {.pool = "web", .name = "b1", .state = "active", .health = "healthy"};
    report_.backends[1] = {.pool = "web", .name = "b2", .state = "drain", .health = "held"};
    report_.backends[2] = {.pool = "web", .name = "b3", .state = "down", .health = "unhealthy"};
    serve_flows(server, [this](bool ask) {
      ++(ask ? asked_ : looked_);
      flows_.wanted = asked_;
      // Nothing is known before the second look after a question.
      if (!ask && looked_ % 2 == 0) {
        flows_.survey = asked_;
        if (!flows_left_.empty()) {
          flows_.pools[0].backends[1].flows = flows_left_.front();
          flows_left_.erase(flows_left_.begin());
        }
      }
      return flows_;
    });
    flows_.workers.resize(1);
    flows_.workers[0].flows = 1024;
    flows_.workers[0].flow_capacity = 4096;
    flows_.pools = {
        {"web", {"www", "www6"}, {{"b1", "10.0.0.1", "active", 700}, {"b2", "10.0.0.2", "drain", 0}}},
        {"mail", {}, {{"b1", "10.0.1.1", "down", 0}}}};
    server.route("PATCH", "/v1/pools/{pool}/backends/{backend}", [](const ApiRequest&) {
      return ApiResponse{200, R"({"generation": 7, "changes": [{"text": "drained"}]})"};
    });
    site_.start();
  }
  void TearDown() override { site_.stop(); }

  test::TestFolder folder_;
  std::string socket_ = folder_.path("control.sock");
  Report report_;
  FlowReport flows_;
  std::vector<uint64_t> flows_left_;  ///< of web's b2, survey by survey
  uint64_t asked_ = 0;
  uint64_t looked_ = 0;
  test::ApiSite site_{socket_};
};

TEST_F(Sluicectl, StatusShowsTablesOrTheServersJson) {
  const Ran tables = run({"--socket", socket_, "status"});
  EXPECT_EQ(tables.code, 0) << tables.err;
  EXPECT_THAT(tables.out, HasSubstr("lb1: sluiced"));
  EXPECT_THAT(tables.out, HasSubstr("web  203.0.113.10  tcp"));
  const Ran json = run({"status", "--socket=" + socket_, "--json"});
  EXPECT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 1);
  const auto report = report_from_json(json.out);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->node, "lb1");
}

TEST_F(Sluicectl, StatsShowsTotalsOnce) {
  const Ran ran = run({"--socket", socket_, "stats"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(std::regex_search(ran.out, std::regex("web +203\\.0\\.113\\.10 +tcp +80 +10 +0\n"))) << ran.out;
}

TEST_F(Sluicectl, WatchAppendsWithRatesWhereThereIsNoTerminal) {
  const Ran ran = run({"--socket", socket_, "stats", "--watch", "0.1", "--count", "3"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, Not(HasSubstr("\033")));
  const std::regex turn("web +203\\.0\\.113\\.10 +tcp +80 +(10|20 +10|30 +10) +0");
  EXPECT_EQ(std::distance(std::sregex_iterator(ran.out.begin(), ran.out.end(), turn), {}), 3) << ran.out;
}

TEST_F(Sluicectl, WatchRedrawsATerminalAndOnlyThenWritesEscapes) {
  const Ran watching = run({"--socket", socket_, "stats", "--watch=0.1", "--count", "2"}, true);
  EXPECT_THAT(watching.out, testing::StartsWith("\033[H\033[J"));
  const Ran once = run({"--socket", socket_, "stats"}, true);
  EXPECT_THAT(once.out, Not(HasSubstr("\033")));
}

TEST_F(Sluicectl, EveryVerbThatShowsSomethingCanBeWatched) {
  for (const std::string verb : {"status", "health", "announce", "flows"}) {
    const Ran pipe = run({"--socket", socket_, verb, "--watch", "0.1", "--count", "2"});
    EXPECT_EQ(pipe.code, 0) << pipe.err;
    EXPECT_THAT(pipe.out, Not(HasSubstr("\033")));
    const std::regex time("(^|\n)[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\n\n");
    EXPECT_EQ(std::distance(std::sregex_iterator(pipe.out.begin(), pipe.out.end(), time), {}), 2) << pipe.out;
    const Ran terminal = run({"--socket", socket_, verb, "--watch", "0.1", "--count", "2"}, true);
    EXPECT_THAT(terminal.out, testing::StartsWith("\033[H\033[J"));
    const Ran json = run({"--socket", socket_, verb, "--watch", "0.1", "--count", "2", "--json"});
    EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2) << json.out;
    EXPECT_TRUE(json.out.starts_with('{'));
  }
}

TEST_F(Sluicectl, StatesHaveColoursOnATerminalUnlessTheUserWantsNone) {
  const std::vector<std::string> words{"--socket", socket_, "health"};
  const auto with = [&](const std::string& when) {
    auto all = words;
    all.push_back("--color=" + when);
    return all;
  };
  EXPECT_THAT(run(words).out, Not(HasSubstr("\033")));
  EXPECT_THAT(run(with("auto")).out, Not(HasSubstr("\033")));
  EXPECT_THAT(run(with("never"), true).out, Not(HasSubstr("\033")));
  EXPECT_THAT(run(words, true, true).out, Not(HasSubstr("\033"))) << "NO_COLOR";
  for (const std::string& out :
       {run(words, true).out, run(with("always")).out, run(with("always"), true, true).out}) {
    EXPECT_THAT(out, HasSubstr("\033[32mhealthy\033[0m  "));
    EXPECT_THAT(out, HasSubstr("\033[33mheld\033[0m  "));
    EXPECT_THAT(out, HasSubstr("\033[31munhealthy\033[0m  "));
  }
  // Columns stay where they are.
  EXPECT_EQ(std::regex_replace(run(words, true).out, std::regex("\033\\[[0-9]*m"), ""), run(words).out);
}

TEST_F(Sluicectl, FlowsWaitsForASurveyOfItsOwn) {
  const Ran ran = run({"--socket", socket_, "flows"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(asked_, 1u);
  EXPECT_EQ(looked_, 2u);
  EXPECT_THAT(ran.out, HasSubstr("0          1024  4096  25.0%"));
  EXPECT_THAT(ran.out, HasSubstr("web   www, www6  b1       10.0.0.1  active    700\n"));
  EXPECT_THAT(run({"--socket", socket_, "flows", "mail"}).out, Not(HasSubstr("www")));
  const Ran missing = run({"--socket", socket_, "flows", "none"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "sluicectl: there is no pool 'none'\n");
}

TEST_F(Sluicectl, AWaitingDrainReturnsWhenNoFlowIsLeft) {
  flows_left_ = {12, 1, 0};
  const Ran ran = run({"--socket", socket_, "backend", "drain", "web", "b2", "--wait"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(asked_, 3u);
  EXPECT_TRUE(std::regex_match(
      ran.out,
      std::regex("drained \\(generation 7\\)\npool web: backend b2: 0 flows left after [0-9.]+ s\n")))
      << ran.out;
}

TEST_F(Sluicectl, AWaitingDrainSaysWhatIsLeftWhenTheTimeIsUp) {
  flows_left_ = {12, 1};
  const Ran ran = run({"--socket", socket_, "backend", "drain", "web", "b2", "--wait", "100ms"});
  EXPECT_EQ(ran.code, kCtlFlowsLeft) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("pool web: backend b2: 1 flow left after ")) << "counted again at the end";
  flows_left_ = {9};
  const Ran json = run({"--socket", socket_, "backend", "drain", "web", "b2", "--wait=0", "--json"});
  EXPECT_EQ(json.code, kCtlFlowsLeft);
  EXPECT_THAT(json.out, HasSubstr(R"({"pool":"web","backend":"b2","flows":9,"waited_ms":)"));
}

TEST_F(Sluicectl, AWaitingDrainEndsWithAnErrorWhereThereIsNothingToWaitFor) {
  const Ran active = run({"--socket", socket_, "backend", "drain", "web", "b1", "--wait"});
  EXPECT_EQ(active.code, 1);
  EXPECT_EQ(active.err, "sluicectl: pool web: backend b1: is active again; somebody has undrained it\n");
  const Ran missing = run({"--socket", socket_, "backend", "drain", "web", "b9", "--wait"});
  EXPECT_EQ(missing.err, "sluicectl: there is no backend 'b9' in pool 'web'\n");
}

TEST_F(Sluicectl, ADryRunOfADrainDoesNotWait) {
  flows_left_ = {12};
  EXPECT_EQ(run({"--socket", socket_, "backend", "drain", "web", "b2", "--wait", "--dry-run"}).code, 0);
  EXPECT_EQ(asked_, 0u);
}

TEST_F(Sluicectl, WatchWithJsonIsALinePerTurn) {
  const Ran ran = run({"--socket", socket_, "stats", "--watch", "0.1", "--count", "2", "--json"});
  std::istringstream lines(ran.out);
  int turns = 0;
  for (std::string line; std::getline(lines, line); ++turns) EXPECT_TRUE(report_from_json(line)) << line;
  EXPECT_EQ(turns, 2);
}

TEST_F(Sluicectl, AnErrorOfTheServerIsOneLineAndCode1) {
  site_.on_thread([this] {
    site_.server().route("GET", "/v1/status",
                         [](const ApiRequest&) { return api_error(500, "no table yet"); });
    site_.server().route("GET", "/v1/stats", [](const ApiRequest&) { return ApiResponse{200, "[]"}; });
  });
  const Ran status = run({"--socket", socket_, "status"});
  EXPECT_EQ(status.code, 1);
  EXPECT_EQ(status.err, "sluicectl: no table yet\n");
  EXPECT_EQ(status.out, "");
  const Ran stats = run({"--socket", socket_, "stats"});
  EXPECT_EQ(stats.code, 1);
  EXPECT_THAT(stats.err, HasSubstr("not a report"));
}

TEST(SluicectlWords, AMissingServerIsCode3WithWhatToDo) {
  for (const std::string verb : {"status", "stats"}) {
    const Ran ran = run({"--socket", "/nonexistent/control.sock", verb});
    EXPECT_EQ(ran.code, 3);
    EXPECT_EQ(ran.err,
              "sluicectl: /nonexistent/control.sock: no such socket; is sluiced running? "
              "(--socket names another)\n");
  }
}

TEST(SluicectlWords, WrongCommandLinesAreCode2AndOneLine) {
  const std::vector<std::vector<std::string>> wrong{{},
                                                    {"stat"},
                                                    {"status", "--watch", "0"},
                                                    {"vip", "list", "--count", "2"},
                                                    {"events", "--color", "no"},
                                                    {"--color", "red", "status"},
                                                    {"backend", "drain", "web", "b1", "--wait=soon"},
                                                    {"backend", "drain", "web", "b1", "--wait=5d"},
                                                    {"backend", "undrain", "web", "b1", "--wait"},
                                                    {"--json"},
                                                    {"status", "more"},
                                                    {"stats", "--wat"},
                                                    {"stats", "--watch", "0"},
                                                    {"stats", "--watch=x"},
                                                    {"stats", "--watch=nan"},
                                                    {"stats", "--count", "2"},
                                                    {"vip"},
                                                    {"backend", "drop"},
                                                    {"backend", "drain", "web"},
                                                    {"backend", "drain", "web", "b1", "b2"},
                                                    {"config", "apply"},
                                                    {"vip", "set", "web"},
                                                    {"vip", "set", "web", "port"},
                                                    {"vip", "set", "web", "=80"},
                                                    {"pool", "set", "web", "health=1", "health.kind=tcp"},
                                                    {"vip", "list", "--generation", "1"},
                                                    {"--socket"},
                                                    {"--timeout", "0", "status"},
                                                    {"--timeout", "x", "status"}};
  for (const auto& words : wrong) {
    const Ran ran = run(words);
    EXPECT_EQ(ran.code, 2) << testing::PrintToString(words);
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
}

TEST(SluicectlWords, HelpAndVersionNeedNoServer) {
  for (const auto& words : {std::vector<std::string>{"--help"}, {"stats", "--help"}}) {
    const Ran ran = run(words);
    EXPECT_EQ(ran.code, 0);
    for (const CtlVerb& verb : sluicectl_verbs()) EXPECT_THAT(ran.out, HasSubstr(std::string(verb.name)));
  }
  EXPECT_TRUE(std::regex_match(run({"--version"}).out, std::regex("sluicectl [0-9]+\\.[0-9]+\\.[0-9]+\n")));
}

/// First cells of the tables of a section of the page: `status`, `--json`, 0, ...
std::set<std::string> first_cells(const std::string& section) {
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/sluicectl.md");
  EXPECT_TRUE(file);
  std::set<std::string> cells;
  bool inside = false;
  const std::regex row("^\\| (?:`([^`]+)`|([^`| ]+)).*");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) inside = line == "## " + section;
    std::smatch match;
    if (inside && std::regex_match(line, match, row)) cells.insert(match[1].matched ? match[1] : match[2]);
  }
  return cells;
}

TEST(SluicectlDocs, ListTheVerbsOptionsAndExitCodesOfTheHelpAndNoOthers) {
  const std::string help = run({"--help"}).out;
  std::set<std::string> verbs{"verb"};
  for (const CtlVerb& verb : sluicectl_verbs()) verbs.insert(std::string(verb.name));
  EXPECT_EQ(first_cells("Verbs"), verbs);

  std::set<std::string> options{"option"};
  const std::regex option("\n  (?:-[A-Z] \\[ )?(--[a-z-]+)");
  for (std::sregex_iterator i(help.begin(), help.end(), option), end; i != end; ++i) options.insert((*i)[1]);
  EXPECT_EQ(options.size(), 21u) << help;
  EXPECT_EQ(first_cells("Options"), options);

  std::set<std::string> codes{"code"};
  const std::string code_line = help.substr(help.find("Exit codes:"));
  const std::regex code("([0-9]+) ");
  for (std::sregex_iterator i(code_line.begin(), code_line.end(), code), end; i != end; ++i) {
    codes.insert((*i)[1]);
  }
  EXPECT_EQ(first_cells("Exit codes"), codes);
}

}  // namespace
}  // namespace sluice
