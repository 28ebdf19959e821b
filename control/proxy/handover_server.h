// The running process's side of a hand-over: waits for the next one; see handover.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "control/listening_socket.h"
#include "control/proxy/handover.h"

namespace sluice {

/// Lives on the thread that runs `io`.
class HandoverServer {
 public:
  struct Owner {
    std::function<HandoverOffer()> offer;
    /// The process `successor` accepts from now on: stop doing so, and end when all is done.
    std::function<void(pid_t successor)> hand_over;
  };

  /// Listens at `socket`, for root and this user.
  HandoverServer(boost::asio::io_context& io, ListeningSocket socket, Owner owner);
  HandoverServer(const HandoverServer&) = delete;
  HandoverServer& operator=(const HandoverServer&) = delete;
  ~HandoverServer();

  /// An offer has been made, and is not yet taken or given up.
  bool busy() const { return client_.is_open(); }

 private:
  using Stream = boost::asio::local::stream_protocol;

  void accept();
  void accept_later();
  void answer(Stream::socket client);
  void wait_for_ready();
  void give_up(const std::string& why);
  void finish();

  ListeningSocket file_;
  Owner owner_;
  Stream::acceptor acceptor_;
  boost::asio::steady_timer retry_;
  Stream::socket client_;  // whom an offer was made
  Peer successor_;
  std::string said_;
  boost::asio::steady_timer timer_;
  bool handed_over_ = false;
};

}  // namespace sluice
