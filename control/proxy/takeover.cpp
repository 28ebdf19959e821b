#include "control/proxy/takeover.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

constexpr timeval kPatience{10, 0};

bool trusted(uid_t user, std::optional<uid_t> also) {
  return user == 0 || user == geteuid() || user == also;
}

}  // namespace

Result<std::optional<Takeover>> Takeover::begin(const std::string& path, std::optional<uid_t> also) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(fmt::format("{}: a socket path has 1 to {} bytes", path, sizeof(address.sun_path) - 1));
  }
  std::copy(path.begin(), path.end(), address.sun_path);
  Takeover takeover(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int fd = takeover.socket_;
  if (fd < 0) return fail(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof(kPatience));
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return std::nullopt;
    return fail(fmt::format("{}: cannot ask the running sluice-proxy: {}", path, std::strerror(errno)));
  }
  const auto peer = peer_of(fd);
  if (!peer || !trusted(peer->user, also)) {
    return fail(
        fmt::format("{}: belongs to user {}, who is neither root nor the one that sluice-proxy runs as; find "
                    "out who listens there",
                    path, peer ? static_cast<int64_t>(peer->user) : -1));
  }
  auto offer = receive_offer(fd);
  if (!offer) {
    return fail(fmt::format("{}: the running sluice-proxy, pid {}, does not hand over: {}", path, peer->pid,
                            offer.error().message));
  }
  takeover.offer_ = *std::move(offer);
  return takeover;
}

Takeover::Takeover(Takeover&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), offer_(std::move(other.offer_)) {
  other.offer_.upgrade_socket = -1;
}

Takeover& Takeover::operator=(Takeover&& other) noexcept {
  std::swap(socket_, other.socket_);
  std::swap(offer_, other.offer_);
  return *this;
}

Takeover::~Takeover() {
  if (offer_.upgrade_socket >= 0) close(offer_.upgrade_socket);
  if (socket_ >= 0) close(socket_);
}

int Takeover::release_upgrade_socket() {
  return std::exchange(offer_.upgrade_socket, -1);
}

Result<void> Takeover::commit() {
  std::string said;
  const bool asked =
      send(socket_, kReadyWord.data(), kReadyWord.size(), MSG_NOSIGNAL) == ssize_t(kReadyWord.size());
  while (asked && said.size() < kTakenWord.size()) {
    std::array<char, 16> part;
    const ssize_t got = recv(socket_, part.data(), part.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    said.append(part.data(), static_cast<size_t>(got));
  }
  if (said == kTakenWord) return {};
  // One that has died meanwhile leaves its sockets to us.
  if (kill(offer_.pid, 0) != 0 && errno == ESRCH) return {};
  return fail(fmt::format("sluice-proxy with pid {} has given up the upgrade and goes on", offer_.pid));
}

}  // namespace sluice
