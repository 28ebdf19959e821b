#include "control/proxy/dns_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <optional>
#include <string>

#include "lb/l7/random.h"

namespace sluice::control {
namespace {

using namespace std::chrono_literals;
using boost::asio::ip::udp;
using testing::ElementsAre;
using testing::HasSubstr;

// Numbers of RFC 1035 and 2782.
constexpr uint16_t kA = 1, kCname = 5, kAaaa = 28, kSrv = 33;
constexpr int kNoError = 0, kServfail = 2, kNxdomain = 3;

std::string u16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

/// "a.b" as labels.
std::string dns_name(std::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const auto dot = std::min(text.find('.'), text.size());
    bytes += static_cast<char>(dot);
    bytes += text.substr(0, dot);
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  return bytes + '\0';
}

std::string record(std::string_view name, uint16_t type, uint32_t ttl, const std::string& data) {
  return dns_name(name) + u16(type) + u16(1) + u16(ttl >> 16) + u16(ttl & 0xffff) +
         u16(static_cast<unsigned>(data.size())) + data;
}

std::string srv(unsigned priority, unsigned weight, unsigned port, std::string_view target) {
  return u16(priority) + u16(weight) + u16(port) + dns_name(target);
}

/// The answer to `query`, with these records.
std::string answer_to(const std::string& query, const std::vector<std::string>& records,
                      int code = kNoError) {
  std::string text = query.substr(0, 2) + u16(0x8180u | static_cast<unsigned>(code)) + u16(1) +
                     u16(static_cast<unsigned>(records.size())) + u16(0) + u16(0) + query.substr(12);
  for (const std::string& one : records) text += one;
  return text;
}

/// A name server on the loopback that answers as a test wants, and what was asked of it.
class DnsLookupTest : public testing::Test {
 protected:
  using Reply = std::function<std::optional<std::string>(const std::string& query)>;

  DnsLookupTest() {
    settings_.servers = {{IpAddress::v4(127, 0, 0, 1), server_.local_endpoint().port()}};
    settings_.timeout = 5s;
    receive();
  }

  void receive() {
    server_.async_receive_from(boost::asio::buffer(buffer_), client_,
                               [this](const auto& error, size_t length) {
                                 if (error) return;
                                 ++questions_;
                                 if (const auto reply = reply_(std::string(buffer_.data(), length)))
                                   server_.send_to(boost::asio::buffer(*reply), client_);
                                 receive();
                               });
  }

  /// Asks and waits for the answer.
  DnsAnswer ask(const std::string& name, DnsRecordType type, Reply reply) {
    reply_ = std::move(reply);
    std::optional<DnsAnswer> found;
    int calls = 0;
    const DnsLookup lookup(io_, settings_, name, type, [&](DnsAnswer answer) {
      found = std::move(answer);
      ++calls;
    });
    const auto until = std::chrono::steady_clock::now() + 20s;
    while (!found && std::chrono::steady_clock::now() < until) io_.run_one_until(until);
    io_.poll();
    EXPECT_EQ(calls, 1);
    return found.value_or(DnsAnswer{});
  }

  boost::asio::io_context io_;
  udp::socket server_{io_, udp::endpoint(boost::asio::ip::address_v4::loopback(), 0)};
  udp::endpoint client_;
  std::array<char, 4096> buffer_{};
  Reply reply_ = [](const std::string&) { return std::nullopt; };
  int questions_ = 0;
  DnsDiscovery settings_;
};

TEST_F(DnsLookupTest, AddressesAndTheShortestTimeToLiveOfAllThatLedThere) {
  const auto reply = [](const std::string& query) {
    return answer_to(query, {record("app.test", kCname, 7, dns_name("real.test")),
                             record("real.test", kA, 600, std::string("\xc0\x00\x02\x01", 4)),
                             record("real.test", kA, 600, std::string("\xc0\x00\x02\x02", 4))});
  };
  const DnsAnswer found = ask("app.test.", DnsRecordType::kA, reply);
  EXPECT_EQ(found.kind, DnsAnswerKind::kRecords) << found.error;
  EXPECT_THAT(found.addresses,
              testing::UnorderedElementsAre(IpAddress::v4(192, 0, 2, 1), IpAddress::v4(192, 0, 2, 2)));
  EXPECT_EQ(found.ttl, 7s);
  EXPECT_EQ(questions_, 1);
}

TEST_F(DnsLookupTest, Ipv6Addresses) {
  const IpAddress address = *IpAddress::parse("2001:db8::1");
  const std::string bytes(address.bytes().begin(), address.bytes().end());
  const DnsAnswer found = ask("app.test", DnsRecordType::kAaaa, [&](const std::string& query) {
    return answer_to(query, {record("app.test", kAaaa, 60, bytes)});
  });
  EXPECT_THAT(found.addresses, ElementsAre(address)) << found.error;
  EXPECT_EQ(found.ttl, 60s);
}

TEST_F(DnsLookupTest, ServicesWithTheirTimeToLive) {
  const DnsAnswer found = ask("_s._tcp.test.", DnsRecordType::kSrv, [](const std::string& query) {
    return answer_to(query, {record("_s._tcp.test", kSrv, 90, srv(1, 2, 80, "a.test")),
                             record("_s._tcp.test", kSrv, 30, srv(3, 4, 81, "b.test"))});
  });
  EXPECT_EQ(found.kind, DnsAnswerKind::kRecords) << found.error;
  EXPECT_THAT(found.services,
              testing::UnorderedElementsAre(SrvRecord{1, 2, 80, "a.test"}, SrvRecord{3, 4, 81, "b.test"}));
  EXPECT_EQ(found.ttl, 30s);
}

TEST_F(DnsLookupTest, AServiceThatIsNotToBeHadIsEmpty) {
  const DnsAnswer found = ask("_s._tcp.test.", DnsRecordType::kSrv, [](const std::string& query) {
    return answer_to(query, {record("_s._tcp.test", kSrv, 90, srv(0, 0, 0, ""))});
  });
  EXPECT_EQ(found.kind, DnsAnswerKind::kEmpty);
  EXPECT_THAT(found.error, HasSubstr("SRV _s._tcp.test: the service is not available"));
}

TEST_F(DnsLookupTest, NothingThereIsNotAFailureToAsk) {
  for (const DnsRecordType type : {DnsRecordType::kA, DnsRecordType::kAaaa, DnsRecordType::kSrv}) {
    for (const int code : {kNoError, kNxdomain}) {
      const DnsAnswer none =
          ask("app.test.", type, [&](const std::string& query) { return answer_to(query, {}, code); });
      EXPECT_EQ(none.kind, DnsAnswerKind::kEmpty) << none.error;
      EXPECT_THAT(none.error, HasSubstr("app.test: "));
    }
    const DnsAnswer failed =
        ask("app.test.", type, [](const std::string& query) { return answer_to(query, {}, kServfail); });
    EXPECT_EQ(failed.kind, DnsAnswerKind::kFailed);
  }
}

TEST_F(DnsLookupTest, NoAnswerIsAFailureWhenTheTimeIsOver) {
  settings_.timeout = 120ms;
  const auto began = std::chrono::steady_clock::now();
  const DnsAnswer found =
      ask("app.test.", DnsRecordType::kA, [](const std::string&) { return std::nullopt; });
  EXPECT_EQ(found.kind, DnsAnswerKind::kFailed);
  EXPECT_NE(found.error, "");
  EXPECT_GE(std::chrono::steady_clock::now() - began, 80ms);
  EXPECT_GE(questions_, 2) << "a datagram may be lost";
}

TEST_F(DnsLookupTest, SilentServersDoNotLengthenTheTimeHoweverMany) {
  settings_.timeout = 200ms;
  std::vector<udp::socket> silent;
  for (int i = 0; i < 7; ++i) {
    silent.emplace_back(io_, udp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    settings_.servers.push_back({IpAddress::v4(127, 0, 0, 1), silent.back().local_endpoint().port()});
  }
  const DnsAnswer found =
      ask("app.test.", DnsRecordType::kA, [](const std::string&) { return std::nullopt; });
  EXPECT_EQ(found.kind, DnsAnswerKind::kFailed);
  EXPECT_EQ(found.error, "A app.test: no answer in time");
}

TEST_F(DnsLookupTest, AnAnswerToAnotherQuestionIsNotTaken) {
  settings_.timeout = 200ms;
  const std::string address("\xc0\x00\x02\x01", 4);
  for (const bool wrong_id : {false, true}) {
    const DnsAnswer found = ask("app.test.", DnsRecordType::kA, [&](std::string query) {
      const std::string question = query.substr(12);
      if (wrong_id) {
        query[0] = static_cast<char>(query[0] ^ 1);
        return answer_to(query, {record("app.test", kA, 60, address)});
      }
      return answer_to(query.substr(0, 12) + dns_name("other.test") + question.substr(question.size() - 4),
                       {record("other.test", kA, 60, address)});
    });
    EXPECT_EQ(found.kind, DnsAnswerKind::kFailed);
  }
}

TEST_F(DnsLookupTest, MayBeGivenUpAtAnyMoment) {
  reply_ = [](const std::string& query) {
    return answer_to(query, {record("app.test", kA, 60, std::string("\xc0\x00\x02\x01", 4))});
  };
  // Before it has begun, while it is under way, and with its answer waiting in the socket.
  for (int steps = 0; steps < 3; ++steps) {
    auto lookup = std::make_unique<DnsLookup>(io_, settings_, "app.test.", DnsRecordType::kA,
                                              [](const DnsAnswer&) { ADD_FAILURE() << "given up"; });
    for (int i = 0; i < steps; ++i) io_.run_one_for(1s);
    lookup.reset();
    io_.poll();
  }
  // By its own answer.
  std::unique_ptr<DnsLookup> lookup;
  bool is_done = false;
  lookup = std::make_unique<DnsLookup>(io_, settings_, "app.test.", DnsRecordType::kA, [&](const DnsAnswer&) {
    lookup.reset();
    is_done = true;
  });
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (!is_done && std::chrono::steady_clock::now() < until) io_.run_one_until(until);
  EXPECT_TRUE(is_done);
}

TEST_F(DnsLookupTest, ALiteralAddressIsItsOwnAnswer) {
  const DnsAnswer found =
      ask("192.0.2.7", DnsRecordType::kA, [](const std::string&) { return std::nullopt; });
  EXPECT_THAT(found.addresses, ElementsAre(IpAddress::v4(192, 0, 2, 7)));
  EXPECT_EQ(questions_, 0);
}

// What a hostile server sends: good answers with bits turned, cut off, or with something behind them. Each
// question ends, and nothing is read that is not there (the sanitizers' part of the test).
TEST_F(DnsLookupTest, EveryQuestionEndsWhateverIsAnswered) {
  settings_.timeout = 25ms;
  Random random(11);
  constexpr std::array kTypes{DnsRecordType::kA, DnsRecordType::kAaaa, DnsRecordType::kSrv};
  for (int round = 0; round < 240; ++round) {
    const auto reply = [&](const std::string& query) {
      std::string text = answer_to(query, {record("app.test", kCname, 7, dns_name("real.test")),
                                           record("real.test", kA, 60, std::string(4, '\x01')),
                                           record("real.test", kAaaa, 60, std::string(16, '\x20')),
                                           record("app.test", kSrv, 0xffffffff, srv(1, 2, 80, "a.test"))});
      const size_t question = query.size();
      for (uint64_t i = random.below(4); i > 0; --i)
        text[question + random.below(text.size() - question)] ^= static_cast<char>(1u << random.below(8));
      if (random.below(4) == 0) text.resize(random.below(text.size() + 1));
      if (random.below(4) == 0) text.append(random.below(600), static_cast<char>(random()));
      // Compression that points at itself, and at what is behind the end.
      if (random.below(8) == 0) text += u16(0xc000u | static_cast<unsigned>(text.size() & 0x3fff));
      return text;
    };
    ask("app.test.", kTypes[random.below(kTypes.size())], reply);
  }
  EXPECT_GE(questions_, 240);
}

}  // namespace
}  // namespace sluice::control
