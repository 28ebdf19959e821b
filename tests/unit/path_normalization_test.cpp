#include "lb/l7/path_normalization.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace sluice {
namespace {

struct Case {
  std::string path;
  std::string normal;  // "": as it is
};

void expect_all(const std::vector<Case>& cases, const PathRules& rules) {
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    std::string out = "untouched";
    const PathVerdict verdict = normalize_path(c.path, rules, out);
    if (c.normal.empty()) {
      EXPECT_EQ(verdict, PathVerdict::kAsItIs);
    } else {
      ASSERT_EQ(verdict, PathVerdict::kWritten);
      EXPECT_EQ(out, c.normal);
    }
  }
}

TEST(PathNormalization, LeavesNormalPathsAlone) {
  expect_all({{"/", ""},
              {"", ""},
              {"*", ""},
              {"/pkg.Service/Method", ""},
              {"/a/b.c?d=../%2e", ""},
              {"/a//b/", ""},
              {"/.well-known/x", ""},
              {"/...", ""},
              {"/a/..b", ""},
              {"/%2F%3F", ""},
              {"../a", ""}},
             {});
}

TEST(PathNormalization, TakesOutDotSegments) {
  expect_all({{"/x/../admin", "/admin"},
              {"/./a/./b/.", "/a/b/"},
              {"/a/b/..", "/a/"},
              {"/..", "/"},
              {"/../../a?q=/../x", "/a?q=/../x"},
              {"/a/../../..", "/"},
              {"/a//..", "/a/"},
              {"/a/b/c/./../../g", "/a/g"}},  // RFC 3986 section 5.2.4
             {});
}

TEST(PathNormalization, DecodesUnreservedCharactersOnly) {
  expect_all({{"/%61dmin", "/admin"},
              {"/x/%2e%2E/admin", "/admin"},
              {"/%7euser/%2d%5F", "/~user/-_"},
              {"/a%2fb%3a", "/a%2Fb%3A"},
              {"/%00%80", ""},
              {"/100%/%zz/%4", ""},
              {"/%252e%252e/a", ""},  // decoded once only
              {"/a%2f../b", "/a%2F../b"}},
             {});
}

TEST(PathNormalization, MergesSlashesIfAskedTo) {
  expect_all({{"//a///b//", "/a/b/"}, {"//", "/"}, {"/a/", ""}, {"//..//a", "/a"}}, {.merge_slashes = true});
}

TEST(PathNormalization, RefusesEscapedSlashesIfAskedTo) {
  const PathRules rules{.escaped_slashes = EscapedSlashes::kRefuse};
  std::string out;
  for (const char* path : {"/a%2fb", "/a%2Fb", "/%5c", "/a/..%5C"})
    EXPECT_EQ(normalize_path(path, rules, out), PathVerdict::kRefused) << path;
  for (const char* path : {"/a?b=%2f", "/a%2", "/%3f"})
    EXPECT_NE(normalize_path(path, rules, out), PathVerdict::kRefused) << path;
}

TEST(PathNormalization, CanBeOff) {
  expect_all({{"/x/../%61//%2f", ""}},
             {.normalize = false, .merge_slashes = true, .escaped_slashes = EscapedSlashes::kRefuse});
}

// Whatever comes in, what goes out is normal: a second pass finds nothing.
TEST(PathNormalization, IsDoneInOnePass) {
  const std::vector<std::string> pieces = {"/", ".", "..", "a", "%2e", "%2F", "%", "//", "%2"};
  const PathRules rules{.merge_slashes = true};
  for (size_t n = 0; n < pieces.size() * pieces.size() * pieces.size() * pieces.size(); ++n) {
    std::string path = "/";
    for (size_t rest = n, i = 0; i < 4; ++i, rest /= pieces.size()) path += pieces[rest % pieces.size()];
    std::string once;
    if (normalize_path(path, rules, once) == PathVerdict::kAsItIs) continue;
    std::string twice;
    EXPECT_EQ(normalize_path(once, rules, twice), PathVerdict::kAsItIs) << path << " -> " << once;
    EXPECT_EQ(once.front(), '/');
    EXPECT_EQ(once.find("/../"), std::string::npos) << path << " -> " << once;
  }
}

}  // namespace
}  // namespace sluice
