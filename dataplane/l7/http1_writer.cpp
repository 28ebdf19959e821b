#include "dataplane/l7/http1_writer.h"

#include <array>
#include <cstring>

namespace sluice::l7 {
namespace {

using enum HeaderToken;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A head in one piece of the output if it fits into a chunk, which all but monsters do.
class TextWriter {
 public:
  /// `bound` is no less than what will be written.
  TextWriter(ByteQueue& output, size_t bound)
      : output_(output), at_(bound <= Chunk::kBytes ? output.reserve(bound) : nullptr), begin_(at_) {}
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;
  ~TextWriter() {
    if (at_ != nullptr) output_.commit(static_cast<size_t>(at_ - begin_));
  }

  template <typename... Texts>
  void put(Texts... texts) {
    (put_one(texts), ...);
  }
  void field(std::string_view name, std::string_view value) { put(name, ": ", value, "\r\n"); }

 private:
  void put_one(std::string_view text) {
    if (at_ == nullptr) {
      output_.append(bytes_of(text));
    } else if (!text.empty()) {
      std::memcpy(at_, text.data(), text.size());
      at_ += text.size();
    }
  }

  ByteQueue& output_;
  uint8_t* at_;
  uint8_t* begin_;
};

// The start line's constant parts and the fields that the writer adds itself. Of each field there is more in
// list_size() than separators take.
constexpr size_t kOwnBytes = 512;

bool is_connection_field(HeaderToken token) {
  return token >= kConnection && token <= kHttp2Settings;
}

// RFC 9113 section 8.2.3: in HTTP/1.1 there is one cookie field.
void put_cookies(const HeaderList& fields, TextWriter& out) {
  out.put("cookie: ");
  bool first = true;
  for (const HeaderList::Field& field : fields.fields()) {
    if (field.token != kCookie) continue;
    out.put(first ? "" : "; ", fields.value(field));
    first = false;
  }
  out.put("\r\n");
}

// All fields but those whose place is the start line, or the connection.
void put_fields(const HeaderList& fields, BodyFraming framing, bool host, TextWriter& out) {
  bool cookies = false;
  for (const HeaderList::Field& field : fields.fields()) {
    if (is_pseudo(field.token) || is_connection_field(field.token)) continue;
    if (field.token == kTe || (field.token == kHost && !host)) continue;
    if (field.token == kContentLength && (framing == BodyFraming::kTunnel || framing == BodyFraming::kNever))
      continue;
    if (field.token == kCookie) {
      if (!cookies) put_cookies(fields, out);
      cookies = true;
      continue;
    }
    out.field(fields.name(field), fields.value(field));
  }
}

void put_framing(const HeaderList& fields, BodyFraming framing, TextWriter& out) {
  if (framing == BodyFraming::kChunked) out.put("transfer-encoding: chunked\r\n");
  if (framing == BodyFraming::kEmpty && fields.find(kContentLength) == nullptr)
    out.put("content-length: 0\r\n");
}

}  // namespace

std::string_view reason_phrase(uint16_t status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 203:
      return "Non-Authoritative Information";
    case 204:
      return "No Content";
    case 205:
      return "Reset Content";
    case 206:
      return "Partial Content";
    case 300:
      return "Multiple Choices";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 407:
      return "Proxy Authentication Required";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
    case 426:
      return "Upgrade Required";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 451:
      return "Unavailable For Legal Reasons";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "";
  }
}

void write_request_head(const HeaderList& fields, BodyFraming framing, const WebSocketKey& key,
                        ByteQueue& output) {
  TextWriter out(output, fields.list_size() + kOwnBytes);
  const std::string_view method = fields.get(kMethod);
  const std::string_view protocol = fields.get(kProtocol);
  const HeaderList::Field* authority = fields.find(kAuthority);
  const bool te = fields.find(kTe) != nullptr;
  const bool tunnel = framing == BodyFraming::kTunnel;
  if (tunnel && protocol.empty()) {
    out.put("CONNECT ", fields.get(kAuthority));
  } else {
    out.put(tunnel ? "GET" : method, " ", fields.get(kPath));
  }
  out.put(" HTTP/1.1\r\n");
  // RFC 9112 section 3.2: there is always a host, and it comes first.
  out.field("host", authority != nullptr ? fields.value(*authority) : fields.get(kHost));
  put_fields(fields, framing, false, out);
  if (te) out.put("te: trailers\r\n");
  if (!protocol.empty()) {
    out.put(te ? "connection: te, upgrade\r\n" : "connection: upgrade\r\n");
    out.field("upgrade", protocol);
    if (protocol == "websocket") out.field("sec-websocket-key", {key.data(), key.size()});
  } else if (te) {
    out.put("connection: te\r\n");
  }
  put_framing(fields, framing, out);
  out.put("\r\n");
}

void write_response_head(const HeaderList& fields, uint16_t status, BodyFraming framing,
                         ConnectionOption option, const WebSocketAccept* accept, ByteQueue& output) {
  TextWriter out(output, fields.list_size() + kOwnBytes);
  if (accept != nullptr) status = 101;
  const std::array<char, 3> digits = {static_cast<char>('0' + status / 100),
                                      static_cast<char>('0' + status / 10 % 10),
                                      static_cast<char>('0' + status % 10)};
  out.put("HTTP/1.1 ", std::string_view(digits.data(), digits.size()), " ", reason_phrase(status), "\r\n");
  put_fields(fields, framing, true, out);
  if (accept != nullptr) {
    out.put("connection: upgrade\r\nupgrade: websocket\r\n");
    out.field("sec-websocket-accept", {accept->data(), accept->size()});
  }
  if (option == ConnectionOption::kClose) out.put("connection: close\r\n");
  if (option == ConnectionOption::kKeepAlive) out.put("connection: keep-alive\r\n");
  put_framing(fields, framing, out);
  out.put("\r\n");
}

void write_last_chunk(const HeaderList* fields, ByteQueue& output) {
  TextWriter out(output, (fields == nullptr ? 0 : fields->list_size()) + kOwnBytes);
  out.put("0\r\n");
  if (fields != nullptr) put_fields(*fields, BodyFraming::kChunked, true, out);
  out.put("\r\n");
}

}  // namespace sluice::l7
