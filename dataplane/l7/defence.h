// What the proxy does against a peer that takes more than its share, by reason. Each has a row in
// docs/l7-defences.md, which is tested against this table, and is counted by sluice_proxy_defence_total.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice::l7 {

enum class Defence : uint8_t {
  kNone,
  // Frames of HTTP/2 that cost more than they bring. The connection ends.
  kRapidReset,
  kMadeYouReset,
  kMalformed,
  kResetFlood,
  kRefusedStreams,
  kBehindGoaway,
  kClosedStreams,
  kContinuations,
  kHeaderBlock,
  kEmptyData,
  kPing,
  kPong,
  kSettings,
  kSettingsAck,
  kGoaway,
  kWindowUpdate,
  kUseless,
  kInformational,
  kPush,
  // One message.
  kLargeHeaders,
  // Time.
  kSlowHeaders,
  kSlowBody,
  kStalledStream,
  kStalledClient,
  kIdleClient,
  kClientAge,
  kClientRequests,
  // Numbers.
  kListenerFull,
  kProxyFull,
  // Memory.
  kClientMemoryStreams,
  kClientMemory,
  kMemoryClients,
  kMemoryStreams,
  kMemoryIdle,
  kMemoryBiggest,
};
inline constexpr size_t kDefences = static_cast<size_t>(Defence::kMemoryBiggest) + 1;

/// Against whom.
enum class DefenceSide : uint8_t { kClients, kEndpoints, kBoth };

struct DefenceText {
  std::string_view name;  ///< in metrics
  DefenceSide side;
  std::string_view words;  ///< to the peer, in GOAWAY
  std::string_view what;   ///< what the peer does
  std::string_view then;   ///< what the proxy does
  std::string_view limit;  ///< what decides: a field of the configuration, or words
};

/// In the order of the enum.
inline constexpr std::array<DefenceText, kDefences> kDefenceTexts = {{
    {"none", DefenceSide::kBoth, "", "", "", ""},
    {"rapid_reset", DefenceSide::kBoth, "too many streams reset",
     "Cancels requests as soon as it has sent them (CVE-2023-44487).", "ends the connection",
     "listeners[].cancel_limit"},
    {"made_you_reset", DefenceSide::kBoth, "too many stream errors",
     "Makes the proxy reset streams by errors in them (CVE-2025-8671).", "ends the connection",
     "listeners[].cancel_limit"},
    {"malformed_requests", DefenceSide::kClients, "too many malformed requests", "Sends malformed requests.",
     "ends the connection", "listeners[].cancel_limit"},
    {"reset_flood", DefenceSide::kBoth, "too many streams reset",
     "Sends RST_STREAM for streams that are over.", "ends the connection", "listeners[].abuse_limit"},
    {"refused_streams", DefenceSide::kClients, "too many streams refused",
     "Opens streams beyond max_concurrent_streams, or while it reads no answers.", "ends the connection",
     "listeners[].abuse_limit"},
    {"streams_behind_goaway", DefenceSide::kClients, "too many streams behind GOAWAY",
     "Opens streams after it was told to go.", "ends the connection", "listeners[].abuse_limit"},
    {"closed_streams", DefenceSide::kBoth, "too many HEADERS on closed streams",
     "Sends HEADERS on streams that are over.", "ends the connection", "listeners[].abuse_limit"},
    {"continuation_flood", DefenceSide::kBoth, "too many CONTINUATION frames",
     "Sends a header block in many frames (CVE-2024-27316).", "ends the connection", "16 frames"},
    {"header_block", DefenceSide::kBoth, "header block larger than the limit",
     "Sends a header block that is larger than what it may stand for.", "ends the connection",
     "listeners[].max_header_bytes"},
    {"empty_data", DefenceSide::kBoth, "too many empty DATA frames",
     "Sends DATA without data (CVE-2019-9518).", "ends the connection", "listeners[].abuse_limit"},
    {"ping_flood", DefenceSide::kBoth, "too many PINGs",
     "Sends PING (CVE-2019-9512), or reads no answers to it.", "ends the connection",
     "listeners[].abuse_limit"},
    {"pong_flood", DefenceSide::kBoth, "too many answers without a PING", "Answers PINGs that nobody sent.",
     "ends the connection", "listeners[].abuse_limit"},
    {"settings_flood", DefenceSide::kBoth, "too many SETTINGS",
     "Sends SETTINGS (CVE-2019-9515), or reads no answers to it.", "ends the connection",
     "listeners[].abuse_limit"},
    {"settings_ack_flood", DefenceSide::kBoth, "too many acknowledgements of SETTINGS",
     "Acknowledges SETTINGS that nobody sent.", "ends the connection", "listeners[].abuse_limit"},
    {"goaway_flood", DefenceSide::kBoth, "too many GOAWAYs", "Sends GOAWAY.", "ends the connection",
     "listeners[].abuse_limit"},
    {"window_update_flood", DefenceSide::kBoth, "too many WINDOW_UPDATEs",
     "Sends WINDOW_UPDATEs that open nothing, or windows by a few bytes (CVE-2019-9511).",
     "ends the connection", "listeners[].abuse_limit"},
    {"useless_frames", DefenceSide::kBoth, "too many frames without use",
     "Sends PRIORITY (CVE-2019-9513) or frames of unknown types.", "ends the connection",
     "listeners[].abuse_limit"},
    {"informational_flood", DefenceSide::kEndpoints, "too many informational responses",
     "An endpoint sends informational responses without end.", "ends the request, or the connection",
     "100 and 64 KB a request"},
    {"push_promise", DefenceSide::kEndpoints, "PUSH_PROMISE, which is not enabled",
     "Sends PUSH_PROMISE, which is switched off.", "ends the connection", "none is taken"},
    {"large_headers", DefenceSide::kBoth, "header fields larger than the limit",
     "Sends more or larger header fields than allowed, also if few bytes stand for them (HPACK bomb, "
     "CVE-2016-6581).",
     "refuses the request: 431 or RST_STREAM", "listeners[].max_header_bytes"},
    {"slow_headers", DefenceSide::kClients, "a request's head took too long",
     "Sends a request's head, or a frame, byte by byte.", "ends the connection, in HTTP/1.1 with 408",
     "listeners[].header_timeout"},
    {"slow_body", DefenceSide::kClients, "", "Sends a request's body byte by byte.",
     "answers 408, in HTTP/1.1 ends the connection", "listeners[].hosts[].routes[].body_timeout"},
    {"stalled_stream", DefenceSide::kClients, "nothing of the answer was taken for too long",
     "Opens no window for an answer (CVE-2019-9517).", "resets the stream", "listeners[].stall_timeout"},
    {"stalled_client", DefenceSide::kClients, "nothing was read for too long",
     "Reads nothing from its connection.", "ends the connection", "listeners[].stall_timeout"},
    {"idle_client", DefenceSide::kClients, "no request came for too long",
     "Keeps a connection without requests.", "asks it to go", "listeners[].keepalive_timeout"},
    {"client_age", DefenceSide::kClients, "the connection is old", "Stays on one connection.",
     "asks it to go, in two steps", "listeners[].max_client_age"},
    {"client_requests", DefenceSide::kClients, "the connection has had its requests",
     "Sends all its requests on one connection.", "asks it to go, in two steps",
     "listeners[].max_client_requests"},
    {"listener_full", DefenceSide::kClients, "", "Connects when the listener has all its clients.",
     "refuses the connection", "listeners[].max_clients"},
    {"proxy_full", DefenceSide::kClients, "", "Connects when the proxy has all its clients.",
     "refuses the connection", "proxy.max_clients"},
    {"client_memory_streams", DefenceSide::kClients, "", "Holds more than half of what one connection may.",
     "refuses new streams, and opens the connection's window no further", "listeners[].max_client_memory"},
    {"client_memory", DefenceSide::kClients, "the connection holds too much memory",
     "Holds more than one connection may.", "ends the connection", "listeners[].max_client_memory"},
    {"memory_clients", DefenceSide::kClients, "", "Connects when the proxy holds four fifths of its limit.",
     "refuses the connection", "proxy.memory_limit"},
    {"memory_streams", DefenceSide::kClients, "",
     "Holds 64 KB or more, and sends a request, when the proxy holds four fifths of its limit.",
     "answers 503 or RESOURCE_EXHAUSTED", "proxy.memory_limit"},
    {"memory_idle", DefenceSide::kClients, "the proxy is short of memory",
     "Has had no request for 5 seconds when the proxy holds four fifths of its limit.", "asks it to go",
     "proxy.memory_limit"},
    {"memory_biggest", DefenceSide::kClients, "the proxy is short of memory",
     "Holds most when the proxy is at its limit, or for a second above four fifths of it.",
     "ends the connection", "proxy.memory_limit"},
}};

constexpr bool is_against(const DefenceText& text, DefenceSide side) {
  return text.side == side || text.side == DefenceSide::kBoth;
}

constexpr const DefenceText& text_of(Defence defence) {
  return kDefenceTexts[static_cast<size_t>(defence)];
}

}  // namespace sluice::l7
