#include "control/service_edit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/service_diff.h"
#include "control/yaml_writer.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Why = EditRefused::Why;

YamlNode parse(std::string_view text) {
  auto tree = parse_yaml(text);
  if (!tree) throw std::runtime_error(tree.error().message);
  return *std::move(tree);
}

YamlNode document() {
  return services_of(parse(R"(
vips:
  - {name: web, address: 203.0.113.1, protocol: tcp, port: 80, pool: web}
pools:
  - name: web
    health: {kind: http, interval: 2s}
    backends:
      - {name: b1, address: 10.0.0.1, weight: 10}
      - {address: "2001:db8::2"}
  - {name: spare}
)"));
}

const ServicePath kWeb{ServiceKind::kPool, "", "web"};
const ServicePath kVip{ServiceKind::kVip, "", "web"};
const ServicePath kB1{ServiceKind::kBackend, "web", "b1"};

std::vector<std::string> texts(const std::vector<ServiceChange>& changes) {
  std::vector<std::string> lines;
  for (const auto& change : changes) lines.push_back(change.text());
  return lines;
}

/// What an edit changes, in words; its refusal if it was refused.
std::vector<std::string> effect(const Edited& edited) {
  if (!edited) return {"refused: " + edited.error().message};
  return texts(diff_services(document(), *edited));
}

TEST(ServiceEdit, AddsToTheEndOfItsList) {
  EXPECT_THAT(
      effect(add_service(document(), {ServiceKind::kVip, "", ""},
                         parse("{name: dns, address: 203.0.113.2, protocol: udp, port: 53, pool: web}"))),
      ElementsAre("vip dns: added: address 203.0.113.2, protocol udp, port 53, pool web"));
  EXPECT_THAT(
      effect(add_service(document(), {ServiceKind::kBackend, "spare", ""},
                         parse(R"({"name": "s1", "address": "10.0.1.1", "next_hop": {"port": "wan"}})"))),
      ElementsAre("pool spare: backend s1: added: address 10.0.1.1, next_hop.port wan"));
}

TEST(ServiceEdit, RefusesASecondOfTheSameNameAndWhatIsNoObject) {
  const auto twice =
      add_service(document(), {ServiceKind::kBackend, "web", ""}, parse("{name: b1, address: 10.0.0.9}"));
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().why, Why::kConflict);
  EXPECT_EQ(twice.error().message, "there is a backend 'b1' of pool 'web' already; `set` changes it");
  for (const char* body : {"", "5", "[1]"}) {
    const auto edited = add_service(document(), {ServiceKind::kPool, "", ""}, parse(body));
    ASSERT_FALSE(edited);
    EXPECT_EQ(edited.error().why, Why::kInvalid);
    EXPECT_THAT(edited.error().message, HasSubstr("accepted: an object of its fields"));
  }
}

TEST(ServiceEdit, WhatIsNotThereIsNamedWithItsNearest) {
  const auto edited = remove_service(document(), {ServiceKind::kBackend, "web", "b2"});
  ASSERT_FALSE(edited);
  EXPECT_EQ(edited.error().why, Why::kNotFound);
  EXPECT_EQ(edited.error().message,
            "there is no backend 'b2' of pool 'web', did you mean 'b1'?; `sluicectl backend list web` shows "
            "those there "
            "are");
  const auto no_pool = patch_service(document(), {ServiceKind::kBackend, "wbe", "b1"}, parse("{weight: 1}"));
  ASSERT_FALSE(no_pool);
  EXPECT_EQ(no_pool.error().message,
            "there is no pool 'wbe', did you mean 'web'?; `sluicectl pool list` shows those there are");
}

TEST(ServiceEdit, PatchSetsMergesAndTakesAway) {
  EXPECT_THAT(effect(patch_service(document(), kB1, parse("{weight: 50, state: drain}"))),
              ElementsAre("pool web: backend b1: weight 10 -> 50, state active -> drain"));
  EXPECT_THAT(effect(patch_service(document(), kB1, parse(R"({"weight": null})"))),
              ElementsAre("pool web: backend b1: weight 10 -> 100"));
  EXPECT_THAT(effect(patch_service(document(), kWeb, parse("{health: {interval: 5s}}"))),
              ElementsAre("pool web: health.interval 2s -> 5s"));
  EXPECT_THAT(effect(patch_service(document(), kWeb, parse("{health: null}"))),
              ElementsAre("pool web: health.kind http -> unset"));
  EXPECT_THAT(effect(patch_service(document(), kB1, parse("{weight: 10}"))), IsEmpty());
}

TEST(ServiceEdit, AFieldWithItsDefaultIsNoDifference) {
  EXPECT_THAT(effect(patch_service(document(), kB1, parse("{state: active}"))), IsEmpty());
}

TEST(ServiceEdit, PatchRefusesRepeatedAndNamelessFields) {
  for (const char* body : {"{weight: 1, weight: 2}", "{[a]: 1}", "{health: {a: 1, a: 2}}"}) {
    const auto edited = patch_service(document(), kB1, parse(body));
    ASSERT_FALSE(edited) << body;
    EXPECT_EQ(edited.error().why, Why::kInvalid);
  }
}

TEST(ServiceEdit, ABackendWithoutANameGoesByItsAddressInAnySpelling) {
  for (const char* name : {"2001:db8::2", "2001:DB8:0::2"}) {
    EXPECT_THAT(effect(patch_service(document(), {ServiceKind::kBackend, "web", name}, parse("{weight: 7}"))),
                ElementsAre("pool web: backend 2001:db8::2: weight 100 -> 7"));
  }
  EXPECT_FALSE(patch_service(document(), {ServiceKind::kBackend, "web", "10.0.0.1"}, parse("{weight: 7}")));
}

TEST(ServiceEdit, PutReplacesOrMakesAndKeepsTheNameOfThePath) {
  EXPECT_THAT(effect(put_service(document(), kB1, parse("{address: 10.0.0.5}"))),
              ElementsAre("pool web: backend b1: address 10.0.0.1 -> 10.0.0.5, weight 10 -> 100"));
  EXPECT_THAT(effect(put_service(document(), {ServiceKind::kPool, "", "new"}, parse("{}"))),
              ElementsAre("pool new: added with 0 backends"));
  EXPECT_THAT(effect(put_service(document(), {ServiceKind::kBackend, "web", "10.0.0.7"},
                                 parse("{address: 10.0.0.7}"))),
              ElementsAre("pool web: backend 10.0.0.7: added: address 10.0.0.7"));
  const auto other = put_service(document(), kB1, parse("{name: b9, address: 10.0.0.5}"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().why, Why::kConflict);
}

TEST(ServiceEdit, RemoveTakesOnlyWhatNobodyUses) {
  EXPECT_THAT(effect(remove_service(document(), kB1)), ElementsAre("pool web: backend b1: removed"));
  EXPECT_THAT(effect(remove_service(document(), {ServiceKind::kPool, "", "spare"})),
              ElementsAre("pool spare: removed with 0 backends"));
  const auto used = remove_service(document(), kWeb);
  ASSERT_FALSE(used);
  EXPECT_EQ(used.error().why, Why::kConflict);
  EXPECT_EQ(used.error().message, "pool 'web' is used by vip web; remove or change that first");
  const auto without_vip = remove_service(document(), kVip);
  ASSERT_TRUE(without_vip);
  EXPECT_TRUE(remove_service(*without_vip, kWeb));
}

TEST(ServiceEdit, ReplaceTakesVipsAndPoolsAndNothingElse) {
  EXPECT_THAT(effect(replace_services(parse("pools: [{name: spare}]"))),
              ElementsAre("pool web: removed with 2 backends", "vip web: removed"));
  EXPECT_THAT(effect(replace_services(document())), IsEmpty());
  for (const char* body : {"{node: {}}", "[]", "{vips: [], vips: []}", "{{}: 1}"}) {
    EXPECT_FALSE(replace_services(parse(body))) << body;
  }
}

TEST(ServiceEdit, ServicesTakeTheirPlaceInTheConfiguration) {
  const YamlNode config = parse("{node: {name: a}, vips: [{name: old}]}");
  const YamlNode merged = with_services(config, document());
  EXPECT_EQ(fingerprint(services_of(merged)), fingerprint(document()));
  EXPECT_EQ(yaml_text(*merged.find("node"), "name"), "a");
}

TEST(YamlWriter, WhatItWritesIsReadBackEqual) {
  for (const char* text : {"{}", "{a: ''}", "{a: ~, b: '~', c: 'null', d: null}",
                           "{a: 'true', b: \"x\\ny\\t\\\"z\\\"\", c: '#no', d: '- x'}",
                           "{vips: [{name: a, port: 80, list: [1, '2', \"a,b\"]}], pools: []}",
                           "{a: {b: {c: {d: {e: [f, {g: h}]}}}}}",
                           "{'key: x': 'v', \"\\u00e9\": \"\\u4e2d\", e: '  two  ', f: '0x10', g: '|', h: "
                           "'@', i: \"\\e\\0\"}"}) {
    const YamlNode tree = parse(text);
    const std::string written = to_yaml(tree);
    const auto again = parse_yaml(written);
    ASSERT_TRUE(again) << written << again.error().message;
    EXPECT_EQ(fingerprint(*again), fingerprint(tree)) << written;
  }
  EXPECT_EQ(fingerprint(parse(to_yaml(document()))), fingerprint(document()));
}

TEST(YamlWriter, ABackendIsALine) {
  EXPECT_THAT(to_yaml(document()), HasSubstr("\n      - {name: b1, address: 10.0.0.1, weight: 10}\n"));
}

TEST(YamlWriter, JsonHasNumbersAndFlagsWhereTheSchemaHasThem) {
  const YamlNode vip = parse("{name: '1', port: 80, announce: true, pool: x}");
  EXPECT_EQ(to_json(vip, "vips[]").dump(), R"({"name":"1","port":"80","announce":true,"pool":"x"})");
  EXPECT_EQ(to_json(document(), "")["pools"][0]["backends"][0].dump(),
            R"({"name":"b1","address":"10.0.0.1","weight":10})");
}

TEST(YamlWriter, TheFingerprintSeesEveryDifference) {
  const uint64_t whole = fingerprint(document());
  for (const auto& edited :
       {patch_service(document(), kB1, parse("{weight: 11}")), remove_service(document(), kB1),
        patch_service(document(), kVip, parse("{name: web2}")),
        patch_service(document(), kB1, parse("{name: b1b}"))}) {
    ASSERT_TRUE(edited);
    EXPECT_NE(fingerprint(*edited), whole);
  }
  EXPECT_NE(fingerprint(parse("{a: [b]}")), fingerprint(parse("{a: b}")));
  EXPECT_NE(fingerprint(parse("{a: ''}")), fingerprint(parse("{a: ~}")));
  EXPECT_EQ(fingerprint(parse("a:   b # c")), fingerprint(parse("{\"a\": 'b'}")));
}

TEST(ServiceDiff, TellsPartsOfTheFileByTheirFields) {
  const auto changes =
      diff_section(parse("{tunnel: {ttl: 64}}"), parse("{tunnel: {ttl: 32, gre_key: 7}}"), "tunnel");
  EXPECT_THAT(texts(changes), ElementsAre("tunnel: gre_key unset -> 7, ttl 64 -> 32"));
  EXPECT_THAT(diff_section(parse("{tunnel: {ttl: 64}}"), parse("{}"), "tunnel"), IsEmpty());
}

TEST(ServiceDiff, ControlCharactersStayOutOfItsLines) {
  const auto edited = patch_service(document(), kB1, parse(R"({"weight": "1\n\u001b[2J"})"));
  ASSERT_TRUE(edited);
  EXPECT_THAT(effect(edited), ElementsAre("pool web: backend b1: weight 10 -> 1??[2J"));
}

}  // namespace
}  // namespace sluice
