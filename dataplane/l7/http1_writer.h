// Heads and trailer sections as HTTP/1.1 writes them (RFC 9112), from the form that HTTP/2 gives them.
#pragma once

#include <cstdint>
#include <string_view>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/protocol_upgrade.h"

namespace sluice::l7 {

/// How the end of a message's body is told.
enum class BodyFraming : uint8_t {
  kNone,      ///< there is none; a content-length that the fields have is kept
  kNever,     ///< there can be none (1xx, 204), and no content-length either
  kEmpty,     ///< there is none, and "content-length: 0" says so
  kLength,    ///< content-length is among the fields
  kChunked,   ///< transfer-encoding: chunked
  kUntilEnd,  ///< the connection's end is the body's
  kTunnel,    ///< after the head the connection is a tunnel; no content-length
};

/// What a response's head says about the connection.
enum class ConnectionOption : uint8_t { kNone, kClose, kKeepAlive };

/// The phrase of a status code in RFC 9110 section 15; empty for others.
std::string_view reason_phrase(uint16_t status);

/// Writes a request's head. An extended CONNECT becomes GET with Upgrade (RFC 8441); if it is for a
/// WebSocket, `key` goes along.
void write_request_head(const HeaderList& fields, BodyFraming framing, const WebSocketKey& key,
                        ByteQueue& output);

/// Writes a response's head, informational or final. `accept`, if there is one, is of the request for a
/// WebSocket that this head says yes to: it becomes 101.
void write_response_head(const HeaderList& fields, uint16_t status, BodyFraming framing,
                         ConnectionOption option, const WebSocketAccept* accept, ByteQueue& output);

/// Writes the end of a chunked body: the last chunk and, if `fields` is no nullptr, trailers.
void write_last_chunk(const HeaderList* fields, ByteQueue& output);

}  // namespace sluice::l7
