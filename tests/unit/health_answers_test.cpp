// What answers mean, without any server: control/health's http_answer and grpc_health, and due_times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/health/due_times.h"
#include "control/health/grpc_health.h"
#include "control/health/http_answer.h"

namespace sluice::control {
namespace {

using std::chrono::milliseconds;
using namespace std::string_literals;

TEST(HttpAnswer, TakesEveryStatusOfEveryRange) {
  HealthCheck check;
  check.expected_status = {{200, 299}, {404, 404}};
  for (const unsigned good : {200u, 250u, 299u, 404u})
    EXPECT_EQ(judge_http_status(check, good).error, "") << good;
  for (const unsigned bad : {0u, 199u, 300u, 403u, 405u}) {
    EXPECT_EQ(judge_http_status(check, bad).verdict, CheckResult::Verdict::kBad) << bad;
  }
  EXPECT_EQ(judge_http_status(check, 503).error, "HTTP status 503, expected 200-299, 404");
}

TEST(HttpAnswer, ABackendMaySayThatItLeaves) {
  HealthCheck check;
  check.leaving_status = {{503, 503}, {299, 299}};
  for (const unsigned leaving : {503u, 299u}) {
    const CheckResult result = judge_http(check, leaving, "any");
    EXPECT_EQ(result.verdict, CheckResult::Verdict::kBad);
    EXPECT_TRUE(result.leaving);
    EXPECT_EQ(result.error, "HTTP status " + std::to_string(leaving) + ": it leaves");
  }
  EXPECT_FALSE(judge_http_status(check, 500).leaving);
  EXPECT_EQ(judge_http_status(check, 200).error, "");
  check.leaving_status.clear();
  EXPECT_FALSE(judge_http_status(check, 503).leaving);
}

TEST(HttpAnswer, StatusComesBeforeBody) {
  HealthCheck check;
  check.expected_body = "OK";
  EXPECT_EQ(judge_http(check, 503, "OK").error, "HTTP status 503, expected 200-299");
  EXPECT_EQ(judge_http(check, 200, "all OK here").error, "");
  EXPECT_EQ(judge_http(check, 200, std::string(100, 'x')).error,
            "body does not contain 'OK', it begins with '" + std::string(60, 'x') + "...'");
}

TEST(Printable, IsOneLineInBounds) {
  EXPECT_EQ(printable("a\nb\t\x7f\"c\""),
            "a?b?"
            "?'c'");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

struct GrpcCase {
  const char* what;
  Http2Headers headers;
  std::string body;
  Http2Headers trailers;
  std::string error;
};

const Http2Headers kOk = {{":status", "200"}, {"content-type", "application/grpc"}};
const Http2Headers kStatus0 = {{"grpc-status", "0"}};
const std::string kNoResponse = "answer is no grpc.health.v1.HealthCheckResponse";

std::string framed(const std::string& message) {
  return "\0\0\0\0"s + static_cast<char>(message.size()) + message;
}

const std::vector<GrpcCase> kGrpcCases = {
    {"serving", kOk, framed("\x08\x01"), kStatus0, ""},
    {"not serving", kOk, framed("\x08\x02"), kStatus0, "gRPC health of the server is NOT_SERVING"},
    {"no status field: the default", kOk, framed(""), kStatus0, "gRPC health of the server is UNKNOWN"},
    {"service unknown", kOk, framed("\x08\x03"), kStatus0, "gRPC health of the server is SERVICE_UNKNOWN"},
    {"status in many bytes", kOk, framed("\x08\x81\x80\x00"s), kStatus0, ""},
    {"unknown fields of every type around it", kOk,
     framed("\x10\x05\x19"
            "12345678\x22\x02zz\x2d"
            "1234\x08\x01\x30\x02"s),
     kStatus0, ""},
    {"varint that does not end", kOk, framed("\x08\x80"), kStatus0, kNoResponse},
    {"varint longer than 64 bits", kOk, framed("\x08" + std::string(11, '\xff')), kStatus0, kNoResponse},
    {"field longer than the message", kOk, framed("\x12\x7fz"), kStatus0, kNoResponse},
    {"group", kOk, framed("\x0b"), kStatus0, kNoResponse},
    {"message cut short", kOk, "\0\0\0\0\x04\x08\x01"s, kStatus0, kNoResponse},
    {"prefix cut short", kOk, "\0\0\0"s, kStatus0, kNoResponse},
    {"compressed", kOk, "\x01\0\0\0\x02\x08\x01"s, kStatus0, kNoResponse},
    {"no body", kOk, "", kStatus0, kNoResponse},
    {"not found, in the only headers",
     {{":status", "200"}, {"grpc-status", "5"}},
     "",
     {},
     "gRPC status NOT_FOUND: the server does not know the server"},
    {"unavailable with words",
     kOk,
     "",
     {{"grpc-status", "14"}, {"grpc-message", "going down"}},
     "gRPC status UNAVAILABLE: going down"},
    {"unavailable without", kOk, "", {{"grpc-status", "14"}}, "gRPC status UNAVAILABLE"},
    {"a code that is none", kOk, "", {{"grpc-status", "99"}}, "gRPC status '99' is none"},
    {"a code that is no number", kOk, "", {{"grpc-status", "x"}}, "gRPC status 'x' is none"},
    {"a web server", kOk, "<html>", {}, "answer has no grpc-status: not a gRPC server"},
    {"a web server's error",
     {{":status", "404"}},
     "",
     {},
     "HTTP status 404, expected 200 from a gRPC server"},
};

TEST(GrpcHealth, JudgesAnswers) {
  for (const GrpcCase& test : kGrpcCases) {
    const CheckResult result = judge_grpc_health({test.headers, test.trailers, test.body}, "");
    EXPECT_EQ(result.error, test.error) << test.what;
    EXPECT_EQ(result.verdict == CheckResult::Verdict::kGood, test.error.empty()) << test.what;
  }
}

TEST(GrpcHealth, AsksForTheServerOrAService) {
  EXPECT_EQ(grpc_health_request(""), "\0\0\0\0\0"s);
  EXPECT_EQ(grpc_health_request("a.B"), "\0\0\0\0\x05\x0a\x03"s + "a.B");
  const std::string longest(200, 's');
  EXPECT_EQ(grpc_health_request(longest), "\0\0\0\0\xcb\x0a\xc8\x01"s + longest);
}

TEST(DueTimes, GivesBackInOrderOfTime) {
  const HealthTime start{};
  DueTimes due;
  EXPECT_EQ(due.next(), std::nullopt);
  due.set(7, start + milliseconds(30));
  due.set(1, start + milliseconds(20));
  due.set(3, start + milliseconds(10));
  due.set(7, start + milliseconds(15));  // replaces
  due.erase(1);
  due.erase(99);
  EXPECT_EQ(due.next(), start + milliseconds(10));
  EXPECT_EQ(due.take(start + milliseconds(9)), std::nullopt);
  EXPECT_EQ(due.take(start + milliseconds(40))->second, 3);
  EXPECT_EQ(due.take(start + milliseconds(15)), std::pair(start + milliseconds(15), 7u));
  EXPECT_EQ(due.take(start + milliseconds(40)), std::nullopt);
  EXPECT_EQ(due.next(), std::nullopt);
}

}  // namespace
}  // namespace sluice::control
