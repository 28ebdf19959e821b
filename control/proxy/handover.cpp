#include "control/proxy/handover.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using Json = nlohmann::json;

// Of what the two sides say to each other. A change that the other side would not understand counts up.
constexpr int kFormat = 1;
constexpr uint32_t kMaxText = 1u << 20;
// The kernel's own limit for one message (SCM_MAX_FD).
constexpr size_t kDescriptorsPerMessage = 253;
constexpr size_t kMaxDescriptors = 65536;

template <size_t Size>
std::string hex(const std::array<uint8_t, Size>& bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

template <size_t Size>
bool parse_hex(const std::string& text, std::array<uint8_t, Size>& bytes) {
  if (text.size() != 2 * Size) return false;
  for (size_t i = 0; i < Size; ++i) {
    const char* at = text.data() + 2 * i;
    if (std::from_chars(at, at + 2, bytes[i], 16).ptr != at + 2) return false;
  }
  return true;
}

Json json_of(const l7::TicketKey& key) {
  return {{"name", hex(key.name)}, {"cipher", hex(key.cipher)}, {"mac", hex(key.mac)}};
}

std::optional<l7::TicketKey> ticket_key_of(const Json& json) {
  l7::TicketKey key{};
  const bool good = parse_hex(json.at("name").get<std::string>(), key.name) &&
                    parse_hex(json.at("cipher").get<std::string>(), key.cipher) &&
                    parse_hex(json.at("mac").get<std::string>(), key.mac);
  return good ? std::optional(key) : std::nullopt;
}

std::optional<l7::TlsTicketKeys::State> ticket_keys_of(const Json& json) {
  const auto current = ticket_key_of(json.at("current"));
  if (!current) return std::nullopt;
  l7::TlsTicketKeys::State state{*current, std::nullopt,
                                 std::chrono::milliseconds(json.at("age_ms").get<int64_t>())};
  if (json.contains("previous")) state.previous = ticket_key_of(json.at("previous"));
  return state;
}

std::string errno_words() {
  return errno == EAGAIN ? "no answer in time" : std::strerror(errno);
}

Result<void> send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return fail(errno_words());
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<void> receive_all(int socket, char* into, size_t size) {
  while (size > 0) {
    const ssize_t got = recv(socket, into, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(errno_words());
    if (got == 0) return fail("the other side has closed the connection");
    into += got;
    size -= static_cast<size_t>(got);
  }
  return {};
}

Result<void> send_text(int socket, const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string bytes(sizeof(size), '\0');
  std::memcpy(bytes.data(), &size, sizeof(size));
  return send_all(socket, bytes + text);
}

Result<std::string> receive_text(int socket) {
  uint32_t size = 0;
  if (auto got = receive_all(socket, reinterpret_cast<char*>(&size), sizeof(size)); !got)
    return tl::unexpected(got.error());
  if (size > kMaxText) return fail("something else than a sluice-proxy answers");
  std::string text(size, '\0');
  if (auto got = receive_all(socket, text.data(), size); !got) return tl::unexpected(got.error());
  return text;
}

// One byte goes with each message of descriptors: without any, none would be sent.
struct DescriptorMessage {
  explicit DescriptorMessage(size_t descriptors) {
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
  }
  DescriptorMessage(const DescriptorMessage&) = delete;
  DescriptorMessage& operator=(const DescriptorMessage&) = delete;
  char byte = 'd';
  iovec piece{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsPerMessage * sizeof(int))] = {};
  msghdr message{};
};

Result<void> send_descriptors(int socket, const std::vector<int>& descriptors) {
  for (size_t at = 0; at < descriptors.size(); at += kDescriptorsPerMessage) {
    const size_t count = std::min(kDescriptorsPerMessage, descriptors.size() - at);
    DescriptorMessage one(count);
    cmsghdr* head = CMSG_FIRSTHDR(&one.message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(head), descriptors.data() + at, count * sizeof(int));
    ssize_t sent = 0;
    do {
      sent = sendmsg(socket, &one.message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent != 1) return fail(errno_words());
  }
  return {};
}

// Of one message: those that come with it are ours whatever else is wrong.
Result<void> receive_some_descriptors(int socket, std::vector<int>& descriptors) {
  DescriptorMessage one(kDescriptorsPerMessage);
  ssize_t got = 0;
  do {
    got = recvmsg(socket, &one.message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return fail(errno_words());
  if (got == 0) return fail("the other side has closed the connection");
  const size_t before = descriptors.size();
  for (cmsghdr* head = CMSG_FIRSTHDR(&one.message); head != nullptr; head = CMSG_NXTHDR(&one.message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    descriptors.resize(before + count);
    std::memcpy(descriptors.data() + before, CMSG_DATA(head), count * sizeof(int));
  }
  if ((one.message.msg_flags & MSG_CTRUNC) != 0 || descriptors.size() == before)
    return fail("not all listening sockets could be received; is the limit of open files reached?");
  return {};
}

void close_all(const std::vector<int>& descriptors) {
  for (const int fd : descriptors) close(fd);
}

Result<std::vector<int>> receive_descriptors(int socket, size_t count) {
  std::vector<int> descriptors;
  while (descriptors.size() < count) {
    if (auto got = receive_some_descriptors(socket, descriptors); !got) {
      close_all(descriptors);
      return tl::unexpected(got.error());
    }
  }
  return descriptors;
}

struct ParsedOffer {
  HandoverOffer offer;
  size_t sockets = 0;
};

Result<ParsedOffer> parse(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    if (json.contains("refused")) return fail(json.at("refused").get<std::string>());
    const int format = json.at("format").get<int>();
    if (format != kFormat) {
      return fail(fmt::format(
          "found hand-over format {} of sluice-proxy {}; accepted: {}. End it and start this one instead",
          format, json.value("version", "?"), kFormat));
    }
    ParsedOffer parsed;
    parsed.offer.pid = json.at("pid").get<pid_t>();
    parsed.offer.version = json.at("version").get<std::string>();
    parsed.sockets = json.at("sockets").get<size_t>();
    if (parsed.sockets > kMaxDescriptors) return fail("more sockets than there can be");
    if (json.contains("ticket_keys")) parsed.offer.ticket_keys = ticket_keys_of(json.at("ticket_keys"));
    parsed.offer.unhealthy = json.value("unhealthy", std::vector<std::string>{});
    return parsed;
  } catch (const Json::exception&) {
    return fail("something else than a sluice-proxy answers");
  }
}

}  // namespace

std::string offer_text(const HandoverOffer& offer) {
  Json json{{"format", kFormat},
            {"pid", offer.pid},
            {"version", offer.version},
            {"sockets", offer.sockets.size()},
            {"unhealthy", offer.unhealthy}};
  if (offer.ticket_keys) {
    Json& keys = json["ticket_keys"];
    keys = {{"current", json_of(offer.ticket_keys->current)}, {"age_ms", offer.ticket_keys->age.count()}};
    if (offer.ticket_keys->previous) keys["previous"] = json_of(*offer.ticket_keys->previous);
  }
  return json.dump();
}

Result<HandoverOffer> parse_offer(std::string_view text) {
  auto parsed = parse(text);
  return parsed ? Result<HandoverOffer>(std::move(parsed->offer)) : tl::unexpected(parsed.error());
}

Result<void> send_offer(int socket, const HandoverOffer& offer) {
  if (auto sent = send_text(socket, offer_text(offer)); !sent) return sent;
  std::vector<int> descriptors{offer.upgrade_socket};
  for (const auto& bound : offer.sockets) descriptors.push_back(bound->fd());
  return send_descriptors(socket, descriptors);
}

Result<void> send_refusal(int socket, std::string_view why) {
  return send_text(socket, Json{{"refused", why}}.dump());
}

Result<HandoverOffer> receive_offer(int socket) {
  const auto text = receive_text(socket);
  if (!text) return tl::unexpected(text.error());
  auto parsed = parse(*text);
  if (!parsed) return tl::unexpected(parsed.error());
  auto descriptors = receive_descriptors(socket, parsed->sockets + 1);
  if (!descriptors) return tl::unexpected(descriptors.error());
  HandoverOffer& offer = parsed->offer;
  offer.upgrade_socket = descriptors->front();
  Result<void> all;
  for (size_t i = 1; i < descriptors->size(); ++i) {
    auto bound = l7::BoundSocket::adopt((*descriptors)[i]);
    if (bound) {
      offer.sockets.push_back(*std::move(bound));
    } else {
      all = tl::unexpected(bound.error());
    }
  }
  if (!all) {
    close(offer.upgrade_socket);
    return tl::unexpected(all.error());
  }
  return std::move(offer);
}

std::optional<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  return Peer{credentials.pid, credentials.uid};
}

}  // namespace sluice
