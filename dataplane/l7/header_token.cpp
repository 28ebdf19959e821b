#include "dataplane/l7/header_token.h"

#include <array>
#include <cstddef>

namespace sluice::l7 {
namespace {

constexpr size_t kTokens = static_cast<size_t>(HeaderToken::kVia) + 1;

// In the order of the enum.
constexpr std::array<std::string_view, kTokens> kNames = {
    "",
    ":authority",
    ":method",
    ":path",
    ":scheme",
    ":status",
    ":protocol",
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "te",
    "trailer",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "x-forwarded-for",
    "x-forwarded-proto",
    "grpc-message",
    "grpc-status",
    "grpc-timeout",
    "host",
    "location",
    "x-request-id",
    "server",
    "set-cookie",
    "traceparent",
    "tracestate",
    "user-agent",
    "via",
};

// Length, first and last character tell all known names apart from each other in one look.
constexpr size_t kSlots = 256;
constexpr size_t slot_of(std::string_view name) {
  return (name.size() * 1 + static_cast<unsigned char>(name.front()) * 4 +
          static_cast<unsigned char>(name.back()) * 1) %
         kSlots;
}

constexpr std::array<HeaderToken, kSlots> make_slots() {
  std::array<HeaderToken, kSlots> slots{};
  for (size_t token = 1; token < kTokens; ++token) {
    HeaderToken& slot = slots[slot_of(kNames[token])];
    if (slot != HeaderToken::kOther) throw "two names in one slot: choose other factors";
    slot = static_cast<HeaderToken>(token);
  }
  return slots;
}
constexpr std::array<HeaderToken, kSlots> kTokenBySlot = make_slots();

}  // namespace

HeaderToken token_of(std::string_view name) {
  if (name.empty()) return HeaderToken::kOther;
  const HeaderToken candidate = kTokenBySlot[slot_of(name)];
  return name_of(candidate) == name ? candidate : HeaderToken::kOther;
}

std::string_view name_of(HeaderToken token) {
  return kNames[static_cast<size_t>(token)];
}

}  // namespace sluice::l7
