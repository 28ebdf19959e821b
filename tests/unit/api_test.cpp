// What the API's server makes of requests, well-formed or not, of one client or of a thousand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "control/api_places.h"
#include "tests/unit/echo_api.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using test::Api;
using test::RawClient;
using test::RunningServer;
using testing::HasSubstr;
using testing::StartsWith;

TEST_F(Api, AnswersAKnownPathWithItsHandler) {
  RunningServer server(path_);
  ASSERT_EQ(server.error(), "");
  const auto answer = get("/v1/echo?a=b");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
  EXPECT_EQ(answer->body, "GET /v1/echo a=b ");
  const auto posted = api_call(path_, "POST", "/v1/echo", R"({"x": 1})", 20s);
  ASSERT_TRUE(posted) << posted.error().message;
  EXPECT_EQ(posted->status, 201u);
  EXPECT_EQ(posted->body, R"({"x": 1})");
}

TEST_F(Api, BeforeThereIsAnythingToTellAllIsAnswered503WithTheReason) {
  RunningServer server(path_);
  ASSERT_EQ(server.error(), "");
  std::string why = "one waits";
  server.on_thread([&] { server.server().not_yet([&why] { return why; }); });
  for (const char* target : {"/v1/echo", "/v2/nothing"}) {
    const auto answer = get(target);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 503u);
    EXPECT_EQ(api_error_text(*answer), "one waits");
  }
  server.on_thread([&] { why = "two wait"; });
  EXPECT_EQ(api_error_text(*get("/v1/echo")), "two wait");
  server.on_thread([&] { server.server().not_yet(nullptr); });
  EXPECT_EQ(get("/v1/echo")->status, 200u);
}

TEST_F(Api, UnknownPathsMethodsAndBrokenHandlersAreJsonErrors) {
  RunningServer server(path_);
  const auto unknown = get("/v2/nothing");
  ASSERT_TRUE(unknown);
  EXPECT_EQ(unknown->status, 404u);
  EXPECT_EQ(api_error_text(*unknown), "no such path '/v2/nothing'; known: /v1/echo, /v1/large, /v1/throws");
  const auto method = api_call(path_, "DELETE", "/v1/echo", "", 20s);
  ASSERT_TRUE(method);
  EXPECT_EQ(method->status, 405u);
  EXPECT_EQ(api_error_text(*method), "'DELETE' is not for /v1/echo; accepted: GET, POST");
  const auto broken = get("/v1/throws");
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->status, 500u);
  EXPECT_EQ(api_error_text(*broken), "internal error: it broke");
  EXPECT_THAT(raw("PATCH /v1/echo HTTP/1.0\r\n\r\n"), HasSubstr("\r\nAllow: GET, POST\r\n"));
}

TEST_F(Api, KeepsAConnectionForSeveralRequests) {
  RunningServer server(path_);
  const std::string answers =
      raw("GET /v1/echo?1 HTTP/1.1\r\nHost: x\r\n\r\n"
          "GET /v1/echo?2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answers, HasSubstr("/v1/echo 1"));
  EXPECT_THAT(answers, HasSubstr("/v1/echo 2"));
  EXPECT_THAT(answers, testing::EndsWith("<closed>"));
}

TEST_F(Api, LargeAnswersArriveWhole) {
  RunningServer server(path_);
  const auto answer = get("/v1/large");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->body.size(), 8u << 20);
}

TEST_F(Api, MalformedRequestsAreAnswered400AndClosed) {
  RunningServer server(path_);
  for (const std::string request :
       {"nonsense\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x01\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n",
        "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const std::string answer = raw(request);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << request;
    EXPECT_THAT(answer, HasSubstr(R"({"error":"malformed HTTP: )")) << request;
    EXPECT_THAT(answer, testing::EndsWith("<closed>")) << request;
  }
  EXPECT_TRUE(get("/v1/echo"));
}

TEST_F(Api, BodiesOverTheLimitAreRefusedWithoutReadingThem) {
  ApiLimits limits;
  limits.body_bytes = 1000;
  RunningServer server(path_, limits);
  const auto announced = raw("POST /v1/echo HTTP/1.1\r\nContent-Length: 1000000000000\r\n\r\n");
  EXPECT_THAT(announced, StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(announced, HasSubstr("the body is longer than 1000 bytes"));
  const auto huge = api_call(path_, "POST", "/v1/echo", std::string(8u << 20, 'x'), 20s);
  ASSERT_TRUE(huge) << huge.error().message;
  EXPECT_EQ(huge->status, 413u);
  const auto largest = api_call(path_, "POST", "/v1/echo", std::string(1000, 'x'), 20s);
  ASSERT_TRUE(largest) << largest.error().message;
  EXPECT_EQ(largest->status, 201u);
  std::string chunked = "POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  EXPECT_THAT(raw(chunked), StartsWith("HTTP/1.1 413 "));
}

TEST_F(Api, HeadersOverTheLimitAreRefused) {
  RunningServer server(path_);
  EXPECT_THAT(raw("GET /v1/echo HTTP/1.1\r\nX: " + std::string(20'000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(raw("GET /" + std::string(1'000'000, 'x')), StartsWith("HTTP/1.1 4"));
}

TEST_F(Api, SlowClientsHoldNobodyUpAndAreClosedInTime) {
  ApiLimits limits;
  limits.request_time = 1500ms;
  RunningServer server(path_, limits);
  RawClient silent(path_);
  RawClient dripping(path_);
  ASSERT_TRUE(dripping.send("GET /v1/echo HTT"));
  RawClient deaf(path_);  // asks for more than the socket holds, and never reads
  ASSERT_TRUE(deaf.send("GET /v1/large HTTP/1.1\r\nHost: x\r\n\r\n"));
  for (int i = 0; i < 20; ++i) {
    const auto answer = get("/v1/echo");
    ASSERT_TRUE(answer) << answer.error().message;
  }
  EXPECT_EQ(silent.read_to_end(), "<closed>");
  // The deadline is of the whole request: a byte now and then does not move it.
  const auto began = std::chrono::steady_clock::now();
  RawClient trickling(path_);
  ASSERT_TRUE(trickling.send("GET /v1/echo HTTP/1.1\r\n"));
  while (trickling.send("X: y\r\n") && std::chrono::steady_clock::now() - began < 20s) {
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 15s);
  EXPECT_THAT(dripping.read_to_end(), testing::EndsWith("<closed>"));
}

TEST_F(Api, WhenAllPlacesAreTakenTheClientThatHasWaitedLongestMakesRoom) {
  ApiLimits limits;
  limits.clients = 3;
  limits.request_time = 60s;
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().send("GET /v1/echo HTTP/1.1\r\nHost: x\r\n\r\n"));
    // An answer shows that the server has taken this client in.
    ASSERT_TRUE(get("/v1/echo?" + std::to_string(i))) << i;
  }
  // The one before has gone, the last two are still there and are served.
  EXPECT_THAT(clients[0].read_to_end(), testing::EndsWith("<closed>"));
  ASSERT_TRUE(clients[2].send("GET /v1/echo?again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(clients[2].read_to_end(), HasSubstr("/v1/echo again"));
}

TEST_F(Api, AThousandSlowClientsDoNotKeepAnOperatorOut) {
  ApiLimits limits;
  limits.request_time = 60s;  // not the deadline is what helps
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  clients.reserve(1000);
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().connected()) << i;
    // Half of them say nothing at all.
    if (i % 2 == 0) clients.back().send("PUT /v1/echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  }
  for (int i = 0; i < 20; ++i) {
    const auto answer = get("/v1/echo", 5s);
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 200u);
  }
}

TEST_F(Api, ClientsThatDoNotTakeTheirAnswerMakeRoomToo) {
  ApiLimits limits;
  limits.clients = 3;
  limits.answer_time = 60s;
  RunningServer server(path_, limits);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(path_);
    ASSERT_TRUE(clients.back().send("GET /v1/large HTTP/1.1\r\nHost: x\r\n\r\n"));
  }
  // At first it may be told to come again, and does so by itself.
  const auto answer = get("/v1/echo");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 200u);
}

TEST(ApiPlaces, WhoWaitsLongestOfTheUserWithTheMostPlacesGoesFirst) {
  const std::chrono::steady_clock::time_point start{};
  const auto waiting = [&](int64_t owner, std::chrono::seconds since) {
    return ApiPlace{owner, false, start + since};
  };
  const auto taking = [&](int64_t owner, std::chrono::seconds since) {
    return ApiPlace{owner, true, start + since};
  };
  const auto now = start + 100s;
  using Places = std::vector<ApiPlace>;
  EXPECT_EQ(place_to_free({}, now), std::nullopt);
  EXPECT_EQ(place_to_free(Places{waiting(0, 5s), waiting(0, 3s), waiting(0, 4s)}, now), 1u);
  EXPECT_EQ(place_to_free(Places{waiting(0, 1s), waiting(1000, 9s), waiting(1000, 8s)}, now), 2u);
  EXPECT_EQ(place_to_free(Places{taking(0, 1s), taking(0, 2s), waiting(0, 99s)}, now), 2u);
  EXPECT_EQ(place_to_free(Places{taking(0, 2s), taking(0, 1s)}, now), 1u);
  EXPECT_EQ(place_to_free(Places{taking(0, 100s), taking(0, 100s)}, now), std::nullopt);
}

TEST_F(Api, ClientGivesUpOnAServerThatHangs) {
  RunningServer server(path_);
  std::promise<void> release;
  std::thread hang([&] { server.on_thread([&] { release.get_future().wait(); }); });
  // on_thread may still be on its way: whatever is answered before does not count.
  Result<ApiAnswer> answer = get("/v1/echo", 200ms);
  for (int i = 0; i < 100 && answer; ++i) answer = get("/v1/echo", 200ms);
  release.set_value();
  hang.join();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message,
            path_ + ": no answer within 0.2 s; sluiced hangs or is overloaded, see its log");
}

TEST_F(Api, AThousandClientsComeAndGo) {
  RunningServer server(path_);
  std::vector<std::thread> threads;
  std::atomic<int> answered{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 125; ++i) {
        const auto answer = get("/v1/echo");
        if (answer && answer->status == 200) ++answered;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(answered, 1000);
}

}  // namespace
}  // namespace sluice
