#include "control/kernel_requests.h"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include <chrono>
#include <utility>

namespace sluice::control {
namespace {

/// About 0.2 ms of kernel work, and answers for some 64 KiB of receive buffer.
constexpr size_t kOutstanding = 64;
constexpr int kReceiveBufferBytes = 1 << 20;
/// After the kernel would not take or answer a request (it was out of memory).
constexpr std::chrono::milliseconds kAgainDelay{100};

Request request_for(const std::variant<IpAddress, NeighbourKey>& subject) {
  if (const auto* address = std::get_if<IpAddress>(&subject)) {
    return route_request(*address);
  }
  return neighbour_use_request(std::get<NeighbourKey>(subject));
}

/// errno of an NLMSG_ERROR; 0 is an acknowledgement.
int error_of(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(nlmsgerr)) {
    return EPROTO;
  }
  return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&message))->error;
}

}  // namespace

KernelRequests::KernelRequests(boost::asio::io_context& io, Listener listener)
    : listener_(std::move(listener)), io_(io), again_timer_(io) {}

Result<void> KernelRequests::start() {
  auto opened = Netlink::open(io_, {}, kReceiveBufferBytes,
                              {.on_message = [this](const nlmsghdr& message) { on_message(message); },
                               .on_overrun = [this] { on_overrun(); }});
  if (!opened) {
    return tl::unexpected(opened.error());
  }
  netlink_ = std::move(*opened);
  send();
  return {};
}

void KernelRequests::stop() {
  again_timer_.cancel();
  netlink_.reset();
}

void KernelRequests::look_up(const IpAddress& address) {
  enqueue(address);
}

void KernelRequests::use_neighbour(const NeighbourKey& key) {
  enqueue(key);
}

void KernelRequests::enqueue(const Subject& subject) {
  if (waiting_set_.insert(subject).second) {
    waiting_.push_back(subject);
    send();
  }
}

void KernelRequests::send() {
  while (netlink_ && !waiting_.empty() && outstanding_.size() < kOutstanding) {
    Request request = request_for(waiting_.front());
    request.header().nlmsg_seq = ++sequence_;
    if (!netlink_->send(request.header())) {
      again_later();
      return;
    }
    outstanding_.emplace(sequence_, waiting_.front());
    waiting_set_.erase(waiting_.front());
    waiting_.pop_front();
  }
}

void KernelRequests::on_message(const nlmsghdr& message) {
  const auto answered = outstanding_.extract(message.nlmsg_seq);
  if (answered.empty()) {
    return;
  }
  const Subject& subject = answered.mapped();
  if (const auto* key = std::get_if<NeighbourKey>(&subject)) {
    listener_.on_neighbour_used(*key, message.nlmsg_type == NLMSG_ERROR ? error_of(message) : 0);
  } else {
    const auto route = parse_route(message);
    listener_.on_route(
        std::get<IpAddress>(subject),
        route ? *route : route_of_error(message.nlmsg_type == NLMSG_ERROR ? error_of(message) : EPROTO));
  }
  send();
}

void KernelRequests::on_overrun() {
  for (auto& [sequence, subject] : std::exchange(outstanding_, {})) {
    enqueue(subject);
  }
}

void KernelRequests::again_later() {
  again_timer_.expires_after(kAgainDelay);
  again_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
    if (!error && !alive.expired()) {
      send();
    }
  });
}

}  // namespace sluice::control
