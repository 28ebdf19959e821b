// What an HTTP/1.1 connection announces and bears, beside what it shares with HTTP/2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "dataplane/l7/hpack.h"

namespace sluice::l7 {

struct Http1Settings {
  /// A head or a trailer section in bytes, as it comes: it waits whole in the connection's input.
  size_t max_head_size = 32 * 1024;
  HeaderLimits headers;
  size_t stream_window = 256 * 1024;  ///< bytes of a body that wait for the other side: its memory bound
  size_t output_limit = 256 * 1024;   ///< no body is taken while that many bytes wait to be sent
  /// :authority of requests without a host, which HTTP/1.0 allows (RFC 9112 section 3.3); servers only. The
  /// default is a name that no site behind the proxy can have.
  std::string default_authority = "no-host.invalid";
  bool secure = false;    ///< :scheme of requests that name none; servers only
  bool connect = false;   ///< plain CONNECT is taken; servers only
  bool websocket = true;  ///< Upgrade: websocket becomes extended CONNECT; servers only
  bool h2c = true;        ///< Upgrade: h2c is offered to the connection; servers only
};

}  // namespace sluice::l7
