// What operators see: the transcript in golden/sluicectl.txt is played against a server, and must come out
// the same. SLUICE_UPDATE_GOLDEN=1 writes it anew.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "control/report_api.h"
#include "control/service_api.h"
#include "control/sluicectl_verbs.h"
#include "tests/unit/api_site.h"
#include "tests/unit/sluicectl_transcript.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using test::text_of;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kGolden = SLUICE_SOURCE_DIR "/tests/unit/golden/sluicectl.txt";
const std::string kPackaging = SLUICE_SOURCE_DIR "/packaging/";

constexpr std::string_view kConfig = R"(
ports: [{name: wan, af_xdp: eth0}]
tunnel: {source_ipv4: 192.0.2.1}
vips:
  - {name: web, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}
  - {name: smtp, address: 203.0.113.2, protocol: tcp, port: 25, pool: mail, announce: false}
pools:
  - name: web
    backends:
      - {name: b1, address: 10.0.0.1}
      - {name: b2, address: 10.0.0.2, weight: 20}
  - name: mail
    min_healthy: 0
    health: {kind: tcp, interval: 5s}
    backends: [{address: 10.0.1.1, state: down}]
)";

class SluicectlServices : public testing::Test {
 protected:
  void SetUp() override {
    folder_.write("sluiced.yaml", fmt::format("node: {{name: lb1, cluster_seed: s, state_dir: {}}}{}",
                                              folder_.path().string(), kConfig));
    folder_.write("wanted.yaml",
                  "vips: [{name: web, address: 203.0.113.1, protocol: tcp, port: 8000-8100, pool: web}]\n"
                  "pools: [{name: web, backends: [{name: b1, address: 10.0.0.1}]}]\n");
    folder_.write("whole.yaml", "node: {}\nvips: []\n");
    auto store = ServiceStore::open(folder_.path("sluiced.yaml"), events_);
    ASSERT_TRUE(store) << store.error().message;
    store_ = *std::move(store);
    ASSERT_EQ(site_.error(), "");
    serve_services(site_.server(), *store_);
    serve_events(site_.server(), events_);
    site_.start();
  }
  void TearDown() override { site_.stop(); }

  std::string run(const std::string& line) {
    return test::sluicectl_says(line, site_.socket(), folder_.path());
  }
  std::vector<std::string> complete(std::vector<std::string> words) {
    words.insert(words.begin(), {"__complete", "--socket", site_.socket()});
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(run_sluicectl(words, {out, err, false}), 0);
    std::vector<std::string> lines;
    std::istringstream split(out.str());
    for (std::string line; std::getline(split, line);) lines.push_back(line);
    return lines;
  }

  test::TestFolder folder_;
  EventLog events_;
  std::unique_ptr<ServiceStore> store_;
  test::ApiSite site_{folder_.path("control.sock")};
};

TEST_F(SluicectlServices, SaysWhatTheTranscriptSays) {
  test::expect_transcript(kGolden, [this](const std::string& line) { return run(line); });
}

TEST_F(SluicectlServices, EveryErrorIsOneLine) {
  std::istringstream lines(text_of(kGolden));
  int errors = 0;
  std::string before;
  for (std::string line; std::getline(lines, line); before = line) {
    if (!line.starts_with("sluicectl: ")) continue;
    EXPECT_TRUE(before.starts_with("$ ")) << line;
    ++errors;
  }
  EXPECT_GT(errors, 8);
}

TEST_F(SluicectlServices, EventsAreShownAndFollowed) {
  run("backend drain web b1");
  EXPECT_THAT(run("events"),
              testing::ContainsRegex("^2[0-9-]+T[0-9:.]+Z  services  pool web: backend b1: state active "
                                     "-> drain .generation 2, by api, uid [0-9]+.\n$"));
  std::thread later([this] { run("backend undrain web b1"); });
  EXPECT_THAT(run("events --watch --count 2"), HasSubstr("state drain -> active"));
  later.join();
  EXPECT_THAT(run("events --json"), HasSubstr(R"("kind":"services")"));
}

TEST_F(SluicectlServices, ExportGoesToAFileThatApplyTakes) {
  EXPECT_EQ(run("config export FILES/exported.yaml"), "");
  EXPECT_EQ(run("config diff FILES/exported.yaml"), "");
  EXPECT_THAT(run("config export FILES/none/exported.yaml"), HasSubstr("cannot be written"));
}

TEST_F(SluicectlServices, CompletionKnowsVerbsNamesFieldsAndOptions) {
  EXPECT_THAT(complete({"ba"}), ElementsAre("backend"));
  EXPECT_THAT(complete({"backend", "d"}), ElementsAre("drain"));
  EXPECT_THAT(complete({"vip", "show", ""}), ElementsAre("smtp", "web"));
  EXPECT_THAT(complete({"backend", "drain", ""}), ElementsAre("mail", "web"));
  EXPECT_THAT(complete({"backend", "drain", "web", ""}), ElementsAre("b1", "b2"));
  EXPECT_THAT(complete({"backend", "drain", "mail", ""}), ElementsAre("10.0.1.1"));
  EXPECT_THAT(complete({"backend", "drain", "web", "b1", ""}), IsEmpty());
  EXPECT_THAT(complete({"backend", "set", "web", "b1", "we"}), ElementsAre("weight="));
  EXPECT_THAT(complete({"backend", "set", "web", "b1", "weight=5", "st"}), ElementsAre("state="));
  EXPECT_THAT(complete({"pool", "set", "web", "health.ki"}), ElementsAre("health.kind="));
  EXPECT_THAT(complete({"backend", "set", "--dr"}), ElementsAre("--dry-run"));
  EXPECT_THAT(complete({"--timeout", ""}), IsEmpty());
  EXPECT_THAT(complete({"nonsense", ""}), IsEmpty());
  std::set<std::string> first_words;
  for (const CtlVerb& verb : sluicectl_verbs()) first_words.emplace(verb.name.substr(0, verb.name.find(' ')));
  const auto offered = complete({""});
  EXPECT_EQ(std::set<std::string>(offered.begin(), offered.end()), first_words);
}

/// What bash offers behind `line`, by the file in packaging/ and the program in `directory`.
std::string bash_completes(const std::string& directory, const std::string& line) {
  const std::string script = fmt::format(
      "PATH={}:$PATH; source {}completion/sluicectl.bash || exit 1; complete -p sluicectl >/dev/null || exit "
      "1; "
      "COMP_LINE='{}'; read -ra COMP_WORDS <<< \"$COMP_LINE\"; [[ $COMP_LINE == *' ' ]] && COMP_WORDS+=(''); "
      "COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); _sluicectl 2>/dev/null; echo "
      "\"${{COMPREPLY[*]}}\"",
      directory, kPackaging, line);
  FILE* bash = popen(("bash --norc -c '" +
                      [&] {
                        std::string quoted;
                        for (const char c : script)
                          quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
                        return quoted;
                      }() +
                      "'")
                         .c_str(),
                     "r");
  std::string text;
  char part[4096];
  while (fgets(part, sizeof part, bash) != nullptr) text += part;
  EXPECT_EQ(pclose(bash), 0) << text;
  return text;
}

TEST_F(SluicectlServices, CompletionLoadsInBashAndAsksTheProgram) {
  const std::string directory = std::filesystem::path(SLUICECTL).parent_path();
  EXPECT_EQ(bash_completes(directory, "sluicectl ba"), "backend\n");
  EXPECT_EQ(
      bash_completes(directory, fmt::format("sluicectl --socket {} backend drain web ", site_.socket())),
      "b1 b2\n");
  EXPECT_EQ(bash_completes(directory, "sluicectl backend set web b1 weig"), "weight=\n");
}

TEST(SluicectlPackaging, TheManPageNamesEveryVerbAndExitCode) {
  // "\\-" is how a man page writes a hyphen that can be typed.
  const std::string page =
      std::regex_replace(text_of(kPackaging + "man/sluicectl.1"), std::regex(R"(\\-)"), "-");
  for (const CtlVerb& verb : sluicectl_verbs())
    EXPECT_THAT(page, HasSubstr(fmt::format("\\fB{}\\fR", verb.name)));
  for (const int code :
       {kCtlOk, kCtlServerError, kCtlUsage, kCtlUnreachable, kCtlDiffers, kCtlStale, kCtlFlowsLeft}) {
    EXPECT_THAT(page, HasSubstr(fmt::format(".TP\n.B {}\n", code)));
  }
}

}  // namespace
}  // namespace sluice
