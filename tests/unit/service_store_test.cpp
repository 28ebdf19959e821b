#include "control/service_store.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "control/service_state.h"
#include "control/yaml_writer.h"
#include "tests/unit/file_text.h"
#include "tests/unit/test_folder.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Why = ChangeRefused::Why;

constexpr std::string_view kServices = R"(
vips:
  - {name: web, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}
pools:
  - name: web
    backends:
      - {name: b1, address: 10.0.0.1}
      - {name: b2, address: 10.0.0.2}
)";

const ServicePath kB1{ServiceKind::kBackend, "web", "b1"};

/// An edit that gives b1 this weight.
ServiceStore::Edit weight(int value) {
  return [value](YamlNode document) {
    return patch_service(std::move(document), kB1, *parse_yaml(fmt::format("{{weight: {}}}", value)));
  };
}

class Store : public testing::Test {
 protected:
  void SetUp() override { write_config(); }

  void write_config(std::string_view services = kServices,
                    std::string_view tunnel = "{source_ipv4: 192.0.2.1}", std::string_view node = "") {
    std::ofstream(config_path_) << fmt::format(
        "node: {{name: lb1, cluster_seed: s, state_dir: {}{}}}\nports: [{{name: wan, af_xdp: "
        "eth0}}]\ntunnel: {}\n{}",
        folder_.path("state"), node, tunnel, services);
  }
  /// A store whose node is a variable: `applied_`.
  std::unique_ptr<ServiceStore> open(AtomicFileFault fault = {}) {
    auto store = ServiceStore::open(config_path_, events_, std::move(fault));
    EXPECT_TRUE(store) << store.error().message;
    if (!store) return nullptr;
    applied_ = (*store)->config();
    (*store)->on_apply([this](Config config) -> Result<void> {
      if (refuse_) return fail("the node says no");
      applied_ = std::move(config);
      ++applications_;
      return {};
    });
    return *std::move(store);
  }
  uint32_t applied_weight() const { return applied_.services.pools.at(0).backends.at(0).weight; }
  /// "" before the first change.
  std::string state_text() const {
    return std::filesystem::exists(state_path_) ? test::text_of(state_path_) : "";
  }

  test::TestFolder folder_;
  std::string config_path_ = folder_.path("sluiced.yaml");
  std::filesystem::path state_path_ = folder_.path("state/services.yaml");
  EventLog events_;
  Config applied_;
  bool refuse_ = false;
  int applications_ = 0;
};

TEST_F(Store, AChangeIsAppliedPersistedCountedAndTold) {
  const auto store = open();
  EXPECT_EQ(store->generation(), 1u);
  const auto changed = store->change(weight(50), {{}, false, "uid 7"});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->generation, 2u);
  ASSERT_EQ(changed->changes.size(), 1u);
  EXPECT_EQ(changed->changes[0].text(), "pool web: backend b1: weight 100 -> 50");
  EXPECT_EQ(applied_weight(), 50u);
  EXPECT_EQ(store->config().services.pools[0].backends[0].weight, 50u);
  const auto state = load_state(state_path_);
  ASSERT_TRUE(state && *state);
  EXPECT_EQ((*state)->generation, 2u);
  EXPECT_EQ(fingerprint((*state)->services), fingerprint(store->services()));
  ASSERT_EQ(events_.last(), 1u);
  EXPECT_EQ(events_.after(0, 1)[0].text, "pool web: backend b1: weight 100 -> 50 (generation 2, by uid 7)");
}

TEST_F(Store, ABadResultChangesNothingAndNamesEveryField) {
  const auto store = open();
  const auto changed = store->change(
      [](YamlNode document) {
        return patch_service(std::move(document), kB1,
                             *parse_yaml("{weight: 70000, stat: drain, address: 10.0.0.2}"));
      },
      {});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().why, Why::kInvalid);
  EXPECT_THAT(
      changed.error().message,
      HasSubstr("pools[web].backends[b1].weight: found '70000'; accepted: a whole number from 0 to 65535"));
  EXPECT_THAT(changed.error().message, HasSubstr("found unknown field 'stat', did you mean 'state'?"));
  EXPECT_THAT(
      changed.error().message,
      HasSubstr(
          "pools[web].backends[b2].address: found '10.0.0.2', the address of another backend; accepted"));
  // No file has these lines.
  EXPECT_THAT(changed.error().message, testing::Not(HasSubstr("sluiced.yaml")));
  EXPECT_EQ(applications_, 0);
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_FALSE(std::filesystem::exists(state_path_));
}

TEST_F(Store, AnOldGenerationIsRefusedAndTheRightOneTaken) {
  const auto store = open();
  ASSERT_TRUE(store->change(weight(50), {1, false, ""}));
  const auto stale = store->change(weight(60), {1, false, ""});
  ASSERT_FALSE(stale);
  EXPECT_EQ(stale.error().why, Why::kStale);
  EXPECT_THAT(stale.error().message, HasSubstr("at generation 2, not 1"));
  EXPECT_EQ(applied_weight(), 50u);
  EXPECT_TRUE(store->change(weight(60), {2, false, ""}));
}

TEST_F(Store, ADryRunAndAChangeOfNothingChangeNothing) {
  const auto store = open();
  const auto dry = store->change(weight(50), {{}, true, ""});
  ASSERT_TRUE(dry);
  EXPECT_EQ(dry->generation, 1u);
  EXPECT_EQ(dry->changes.size(), 1u);
  const auto same = store->change(weight(100), {});  // the default, written out
  ASSERT_TRUE(same);
  EXPECT_EQ(same->generation, 1u);
  EXPECT_THAT(same->changes, IsEmpty());
  EXPECT_EQ(applications_, 0);
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_FALSE(std::filesystem::exists(state_path_));
}

TEST_F(Store, WhatTheNodeRefusesIsNotPersisted) {
  const auto store = open();
  refuse_ = true;
  const auto changed = store->change(weight(50), {});
  ASSERT_FALSE(changed);
  EXPECT_EQ(changed.error().why, Why::kNotApplied);
  EXPECT_EQ(changed.error().message, "the node says no");
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_TRUE(!std::filesystem::exists(state_path_) && std::filesystem::is_empty(state_path_.parent_path()));
}

TEST_F(Store, WhatCannotBePersistedIsTakenBack) {
  for (const auto failing : {AtomicFileStep::kCreate, AtomicFileStep::kWrite, AtomicFileStep::kSync,
                             AtomicFileStep::kRename, AtomicFileStep::kSyncDirectory}) {
    std::filesystem::remove_all(state_path_.parent_path());
    bool broken = false;
    const auto store = open([&](AtomicFileStep step) { return broken && step == failing ? ENOSPC : 0; });
    for (const int present : {100, 30}) {  // without a state file, and with one
      SCOPED_TRACE(fmt::format("step {}, weight {}", static_cast<int>(failing), present));
      if (present != 100) {
        ASSERT_TRUE(store->change(weight(present), {}));
      }
      const std::string before = state_text();
      const uint64_t generation = store->generation();
      broken = true;
      const auto changed = store->change(weight(50), {});
      broken = false;
      ASSERT_FALSE(changed);
      EXPECT_EQ(changed.error().why, Why::kNotPersisted);
      EXPECT_THAT(changed.error().message, HasSubstr("No space left on device"));
      EXPECT_EQ(applied_weight(), static_cast<uint32_t>(present));
      EXPECT_EQ(store->generation(), generation);
      EXPECT_EQ(state_text(), before);
    }
  }
}

TEST_F(Store, ChangesSurviveARestart) {
  ASSERT_TRUE(open()->change(weight(50), {}));
  const auto store = open();
  EXPECT_EQ(applied_weight(), 50u);
  EXPECT_EQ(store->generation(), 2u);
  // Another layout of the same file is no edit.
  write_config(std::string(kServices) + "\n# a comment\n");
  EXPECT_EQ(open()->generation(), 2u);
  EXPECT_EQ(applied_weight(), 50u);
}

TEST_F(Store, AFileEditedSinceWinsOverChangesByApi) {
  ASSERT_TRUE(open()->change(weight(50), {}));
  write_config(std::string(kServices) + "      - {name: b3, address: 10.0.0.3}\n");
  {
    const auto store = open();
    EXPECT_EQ(applied_weight(), 100u);
    EXPECT_EQ(applied_.services.pools[0].backends.size(), 3u);
    EXPECT_EQ(store->generation(), 3u);
    EXPECT_EQ(events_.after(1, 1)[0].text, "pool web: backend b1: weight 50 -> 100 (generation 3, by file)");
  }
  // For good: the next start finds nothing new.
  EXPECT_EQ(open()->generation(), 3u);
}

TEST_F(Store, ADamagedStateFileIsRefusedWithWhatToDo) {
  ASSERT_TRUE(open()->change(weight(50), {}));
  const std::string good = state_text();
  const auto text_of_error = [&](const std::string& text) {
    std::ofstream(state_path_) << text;
    const auto store = ServiceStore::open(config_path_, events_);
    return store ? "accepted" : store.error().message;
  };
  for (size_t cut = 0; cut < good.size(); cut += 7) {
    EXPECT_THAT(text_of_error(good.substr(0, cut)), HasSubstr("services.yaml: damaged: ")) << cut;
  }
  std::string changed = good;
  changed.replace(changed.find("weight: 50"), 10, "weight: 51");
  EXPECT_THAT(text_of_error(changed), HasSubstr("damaged: its content does not match its checksum"));
  changed = good;
  changed.replace(changed.find("generation: 2"), 13, "generation: 1");
  EXPECT_THAT(text_of_error(changed), HasSubstr("does not match its checksum"));
  changed = good;
  changed.replace(changed.find("format: 1"), 9, "format: 2");
  EXPECT_THAT(text_of_error(changed), HasSubstr("this sluiced reads format 1"));
  EXPECT_THAT(text_of_error("x"),
              HasSubstr("or move it away to start with the services of the configuration file"));
  EXPECT_EQ(text_of_error(good), "accepted");
}

TEST_F(Store, AStateThatNoLongerGoesWithTheFileIsRefused) {
  ASSERT_TRUE(open()
                  ->change(
                      [](YamlNode document) {
                        return add_service(std::move(document), {ServiceKind::kBackend, "web", ""},
                                           *parse_yaml("{name: six, address: '2001:db8::1'}"));
                      },
                      {})
                  .error()
                  .message.find("tunnel.source_ipv6") != std::string::npos);
  write_config(kServices, "{source_ipv4: 192.0.2.1, source_ipv6: '2001:db8::99'}");
  ASSERT_TRUE(open()->change(
      [](YamlNode document) {
        return add_service(std::move(document), {ServiceKind::kBackend, "web", ""},
                           *parse_yaml("{name: six, address: '2001:db8::1'}"));
      },
      {}));
  write_config();
  const auto store = ServiceStore::open(config_path_, events_);
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, HasSubstr("services.yaml: does not go with"));
  EXPECT_THAT(store.error().message, HasSubstr("tunnel.source_ipv6 is not set"));
}

TEST_F(Store, ReloadTakesAnEditedFileAndKeepsChangesByApiOtherwise) {
  const auto store = open();
  ASSERT_TRUE(store->change(weight(50), {}));
  write_config(kServices, "{source_ipv4: 192.0.2.1, ttl: 32}");
  const auto kept = store->reload();
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_EQ(applied_weight(), 50u);
  EXPECT_EQ(applied_.services.tunnel.ttl, 32);
  EXPECT_EQ(kept->generation, 2u);
  ASSERT_EQ(kept->changes.size(), 1u);
  EXPECT_EQ(kept->changes[0].text(), "tunnel: ttl 64 -> 32");

  write_config(std::string(kServices) + "      - {name: b3, address: 10.0.0.3}\n");
  const auto taken = store->reload();
  ASSERT_TRUE(taken) << taken.error().message;
  EXPECT_EQ(taken->generation, 3u);
  EXPECT_EQ(applied_weight(), 100u);
  EXPECT_EQ(open()->generation(), 3u);
}

TEST_F(Store, AReloadThatIsRefusedChangesNothing) {
  const auto store = open();
  write_config("vips: [{}]");
  const auto invalid = store->reload();
  ASSERT_FALSE(invalid);
  EXPECT_THAT(invalid.error().message, HasSubstr("sluiced.yaml:4:"));
  write_config(std::string(kServices) + "      - {name: b3, address: 10.0.0.3}\n");
  refuse_ = true;
  EXPECT_FALSE(store->reload());
  EXPECT_EQ(store->generation(), 1u);
  EXPECT_EQ(store->config().services.pools[0].backends.size(), 2u);
  EXPECT_EQ(events_.after(0, 9)[1].text, "refused, nothing changed: the node says no");
}

TEST_F(Store, WithoutChangesByApiNothingIsWritten) {
  const auto store = open();
  write_config(std::string(kServices) + "      - {name: b3, address: 10.0.0.3}\n");
  ASSERT_TRUE(store->reload());
  EXPECT_FALSE(std::filesystem::exists(state_path_));
}

TEST_F(Store, AProcessKilledAtAnyStepOfAChangeStartsWithTheOldOrTheNewServices) {
  ASSERT_TRUE(open()->change(weight(30), {}));
  bool killed = true;
  int steps = 0;
  for (; killed; ++steps) {
    const pid_t child = fork();
    if (child == 0) {
      int step = 0;
      const auto store = open([&](AtomicFileStep) {
        if (step++ == steps) raise(SIGKILL);
        return 0;
      });
      _exit(store->change(weight(50), {}) ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    killed = WIFSIGNALED(status);
    ASSERT_TRUE(killed || WEXITSTATUS(status) == 0);
    const auto store = open();
    ASSERT_NE(store, nullptr);
    EXPECT_THAT(applied_weight(), testing::AnyOf(30u, 50u));
    EXPECT_EQ(store->generation(), applied_weight() == 30 ? 2u : 3u);
    if (applied_weight() == 50) {  // back to the beginning
      const auto restored = parse_state(state_text());
      ASSERT_TRUE(restored);
      std::ofstream(state_path_) << render_state(
          {2, restored->config_fingerprint, *weight(30)(restored->services)});
    } else {
      EXPECT_TRUE(killed);
    }
  }
  EXPECT_EQ(steps, 6);
}

}  // namespace
}  // namespace sluice
