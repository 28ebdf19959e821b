#include "control/proxy/handover_server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>

#include "control/log_line.h"

namespace sluice {
namespace {

// What one that starts may need to read certificates and open sockets.
constexpr std::chrono::seconds kPatience{60};
// An offer fits into the socket's buffer: only who does not speak this at all lets us wait.
constexpr timeval kSendTime{2, 0};

}  // namespace

HandoverServer::HandoverServer(boost::asio::io_context& io, ListeningSocket socket, Owner owner)
    : file_(std::move(socket)), owner_(std::move(owner)), acceptor_(io), retry_(io), client_(io), timer_(io) {
  acceptor_.assign(Stream(), file_.release_descriptor());
  accept();
}

HandoverServer::~HandoverServer() = default;

void HandoverServer::accept() {
  acceptor_.async_accept([this](const auto& failed, Stream::socket client) {
    if (failed == boost::asio::error::operation_aborted || handed_over_) return;
    if (failed) return accept_later();
    answer(std::move(client));
    accept();
  });
}

// Out of descriptors, most likely: they come back when clients leave. At once would be a busy loop.
void HandoverServer::accept_later() {
  retry_.expires_after(std::chrono::milliseconds(100));
  retry_.async_wait([this](const auto& cancelled) {
    if (!cancelled && !handed_over_) accept();
  });
}

void HandoverServer::answer(Stream::socket client) {
  boost::system::error_code ignored;
  client.native_non_blocking(false, ignored);
  const int fd = client.native_handle();
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kSendTime, sizeof(kSendTime));
  const auto peer = peer_of(fd);
  if (!peer || (peer->user != 0 && peer->user != geteuid())) {
    spdlog::warn("event=handover_refused pid={} user={} error=\"neither root nor the user of this process\"",
                 peer ? peer->pid : -1, peer ? static_cast<int64_t>(peer->user) : -1);
    (void)send_refusal(fd, "neither root nor the user of that process");
    return;
  }
  if (client_.is_open()) {
    (void)send_refusal(fd,
                       fmt::format("pid {} is about to take over; wait for it, or end it", successor_.pid));
    return;
  }
  HandoverOffer offer = owner_.offer();
  offer.upgrade_socket = acceptor_.native_handle();
  spdlog::info("event=handover_begun pid={} sockets={}", peer->pid, offer.sockets.size());
  if (auto sent = send_offer(fd, offer); !sent) {
    spdlog::error("event=handover_failed pid={} error={} this_process_goes_on=true", peer->pid,
                  log_quoted(sent.error().message));
    return;
  }
  client_ = std::move(client);
  successor_ = *peer;
  wait_for_ready();
}

void HandoverServer::wait_for_ready() {
  said_.assign(kReadyWord.size(), '\0');
  timer_.expires_after(kPatience);
  timer_.async_wait([this](const auto& cancelled) {
    if (!cancelled) give_up(fmt::format("the new process was not ready within {} s", kPatience.count()));
  });
  boost::asio::async_read(client_, boost::asio::buffer(said_), [this](const auto& failed, size_t) {
    if (failed == boost::asio::error::operation_aborted || !client_.is_open()) return;
    if (failed || said_ != kReadyWord) {
      give_up("the new process has ended before it was ready; its own messages say why");
    } else {
      finish();
    }
  });
}

void HandoverServer::give_up(const std::string& why) {
  spdlog::error("event=handover_failed pid={} error={} this_process_goes_on=true", successor_.pid,
                log_quoted(why));
  timer_.cancel();
  boost::system::error_code ignored;
  client_.close(ignored);
}

void HandoverServer::finish() {
  timer_.cancel();
  handed_over_ = true;
  // The socket and its file are the successor's now.
  file_.leave_file();
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  owner_.hand_over(successor_.pid);
  (void)send(client_.native_handle(), kTakenWord.data(), kTakenWord.size(), MSG_NOSIGNAL);
  client_.close(ignored);
}

}  // namespace sluice
