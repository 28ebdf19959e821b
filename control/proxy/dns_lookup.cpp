#include "control/proxy/dns_lookup.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <utility>

namespace sluice::control {
namespace {

using Clock = std::chrono::steady_clock;

// A quarter of the time for the first server, then the next one, and all of them once more.
constexpr int kTries = 2;
constexpr int kFirstTryPart = 4;

bool library_is_ready() {
  static const bool ready = ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS;
  return ready;
}

/// RFC 2181 section 8: above 2^31 - 1 is 0.
std::chrono::seconds time_to_live(int ttl) {
  return std::chrono::seconds(std::max(ttl, 0));
}

DnsAnswerKind kind_of(int status) {
  if (status == ARES_SUCCESS) return DnsAnswerKind::kRecords;
  return status == ARES_ENODATA || status == ARES_ENOTFOUND ? DnsAnswerKind::kEmpty : DnsAnswerKind::kFailed;
}

IpAddress address_of(const ares_addrinfo_node& node) {
  if (node.ai_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, node.ai_addr, sizeof(v4));
    return IpAddress::v4(reinterpret_cast<const uint8_t*>(&v4.sin_addr));
  }
  sockaddr_in6 v6;
  std::memcpy(&v6, node.ai_addr, sizeof(v6));
  IpAddress::Bytes bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return IpAddress::v6(bytes);
}

void take_addresses(const ares_addrinfo& found, DnsAnswer& answer) {
  std::optional<std::chrono::seconds> ttl;
  const auto shorten = [&ttl](int seconds) {
    ttl = std::min(ttl.value_or(time_to_live(seconds)), time_to_live(seconds));
  };
  for (const auto* alias = found.cnames; alias != nullptr; alias = alias->next) shorten(alias->ttl);
  for (const auto* node = found.nodes; node != nullptr; node = node->ai_next) {
    answer.addresses.push_back(address_of(*node));
    shorten(node->ai_ttl);
  }
  answer.ttl = ttl.value_or(std::chrono::seconds(0));
}

/// The shortest time to live of the answer's records, which c-ares leaves out for SRV.
std::chrono::seconds shortest_ttl(const unsigned char* message, int length) {
  ns_msg parsed;
  if (ns_initparse(message, length, &parsed) != 0) return std::chrono::seconds(0);
  std::optional<std::chrono::seconds> ttl;
  for (int i = 0; i < ns_msg_count(parsed, ns_s_an); ++i) {
    ns_rr record;
    if (ns_parserr(&parsed, ns_s_an, i, &record) != 0) return std::chrono::seconds(0);
    const auto own = time_to_live(static_cast<int>(ns_rr_ttl(record)));
    ttl = std::min(ttl.value_or(own), own);
  }
  return ttl.value_or(std::chrono::seconds(0));
}

}  // namespace

std::string_view dns_record_type_name(DnsRecordType type) {
  switch (type) {
    case DnsRecordType::kA:
      return "A";
    case DnsRecordType::kAaaa:
      return "AAAA";
    case DnsRecordType::kSrv:
      return "SRV";
  }
  return "";
}

/// The handlers of its sockets and its timer hold it, its owner ends it.
class DnsLookup::Channel : public std::enable_shared_from_this<Channel> {
 public:
  Channel(boost::asio::io_context& io, std::string name, DnsRecordType type, Done done)
      : io_(io), name_(std::move(name)), type_(type), done_(std::move(done)), timer_(io) {}
  ~Channel() { end(); }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  void start(const DnsDiscovery& settings) {
    deadline_ = Clock::now() + settings.timeout;
    if (!open(settings)) {
      fail_with("c-ares cannot be started: no memory, or no readable /etc/resolv.conf");
    } else {
      ask();
    }
    // What /etc/hosts or a literal address answers is there before anybody has waited.
    boost::asio::post(io_, [self = shared_from_this()] { self->go_on(); });
  }

  /// Nothing is called any more.
  void end() {
    done_ = nullptr;
    if (channel_ != nullptr) ares_destroy(std::exchange(channel_, nullptr));
    for (auto& [fd, socket] : sockets_) socket->descriptor.release();
    sockets_.clear();
    timer_.cancel();
  }

 private:
  struct Socket {
    explicit Socket(boost::asio::io_context& io) : descriptor(io) {}
    boost::asio::posix::stream_descriptor descriptor;  // c-ares closes it
    bool wants_read = false;
    bool wants_write = false;
    bool waits_to_read = false;
    bool waits_to_write = false;
  };

  bool open(const DnsDiscovery& settings) {
    if (!library_is_ready()) return false;
    ares_options options{};
    int mask =
        ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS;
    options.flags = ARES_FLAG_NOALIASES;
    options.timeout = std::max(static_cast<int>(settings.timeout.count()) / kFirstTryPart, 1);
    options.tries = kTries;
    options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
      static_cast<Channel*>(self)->watch(fd, readable != 0, writable != 0);
    };
    options.sock_state_cb_data = this;
    char lookups[] = "fb";  // files, then name servers
    options.lookups = lookups;
    if (name_.ends_with('.')) {
      name_.pop_back();
      mask |= ARES_OPT_DOMAINS;
    }
    if (!settings.servers.empty()) mask |= ARES_OPT_DOMAINS;
    if (ares_init_options(&channel_, &options, mask) != ARES_SUCCESS) {
      channel_ = nullptr;
      return false;
    }
    return use_servers(settings.servers);
  }

  bool use_servers(const std::vector<DnsServer>& servers) {
    if (servers.empty()) return true;
    std::vector<ares_addr_port_node> nodes(servers.size());
    for (size_t i = 0; i < servers.size(); ++i) {
      ares_addr_port_node& node = nodes[i];
      node.next = i + 1 < nodes.size() ? &nodes[i + 1] : nullptr;
      node.udp_port = node.tcp_port = servers[i].port;
      const IpAddress& address = servers[i].address;
      node.family = address.is_v4() ? AF_INET : AF_INET6;
      if (address.is_v4()) {
        std::memcpy(&node.addr.addr4, address.v4_bytes(), sizeof(node.addr.addr4));
      } else {
        std::memcpy(&node.addr.addr6, address.bytes().data(), sizeof(node.addr.addr6));
      }
    }
    return ares_set_servers_ports(channel_, nodes.data()) == ARES_SUCCESS;
  }

  void ask() {
    if (type_ == DnsRecordType::kSrv) {
      ares_search(channel_, name_.c_str(), ns_c_in, ns_t_srv, on_services, this);
      return;
    }
    ares_addrinfo_hints hints{};
    // Sorting is for who takes the first one, and costs a socket for each.
    hints.ai_flags = ARES_AI_NOSORT;
    hints.ai_family = type_ == DnsRecordType::kA ? AF_INET : AF_INET6;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(channel_, name_.c_str(), nullptr, &hints, on_addresses, this);
  }

  static void on_addresses(void* context, int status, int /*timeouts*/, ares_addrinfo* found) {
    auto* self = static_cast<Channel*>(context);
    const std::unique_ptr<ares_addrinfo, void (*)(ares_addrinfo*)> freed(found, ares_freeaddrinfo);
    if (status == ARES_EDESTRUCTION) return;
    DnsAnswer answer = self->begin_answer(status);
    if (status == ARES_SUCCESS && found != nullptr) take_addresses(*found, answer);
    self->answer_ = std::move(answer);
  }

  static void on_services(void* context, int status, int /*timeouts*/, unsigned char* message, int length) {
    auto* self = static_cast<Channel*>(context);
    if (status == ARES_EDESTRUCTION) return;
    ares_srv_reply* list = nullptr;
    if (status == ARES_SUCCESS) status = ares_parse_srv_reply(message, length, &list);
    const std::unique_ptr<void, void (*)(void*)> freed(list, ares_free_data);
    DnsAnswer answer = self->begin_answer(status);
    if (status == ARES_SUCCESS) {
      answer.ttl = shortest_ttl(message, length);
      for (const auto* record = list; record != nullptr; record = record->next) {
        // A target "." says that the service is not to be had (RFC 2782).
        const std::string target = record->host == nullptr ? "" : record->host;
        if (target.empty() || target == "." || record->port == 0) continue;
        answer.services.push_back({record->priority, record->weight, record->port, target});
      }
      if (answer.services.empty()) {
        answer.kind = DnsAnswerKind::kEmpty;
        answer.error = fmt::format("SRV {}: the service is not available at this domain", self->name_);
      }
    }
    self->answer_ = std::move(answer);
  }

  DnsAnswer begin_answer(int status) const {
    DnsAnswer answer;
    answer.kind = kind_of(status);
    if (status != ARES_SUCCESS)
      answer.error = fmt::format("{} {}: {}", dns_record_type_name(type_), name_, ares_strerror(status));
    return answer;
  }

  void fail_with(std::string_view what) {
    answer_ = DnsAnswer{};
    answer_->error = fmt::format("{} {}: {}", dns_record_type_name(type_), name_, what);
  }

  /// c-ares says what it waits for; neither: it is about to close the socket.
  void watch(ares_socket_t fd, bool read, bool write) {
    const auto found = sockets_.find(fd);
    if (!read && !write) {
      if (found == sockets_.end()) return;
      found->second->descriptor.release();
      sockets_.erase(found);
      return;
    }
    auto socket = found != sockets_.end() ? found->second : std::make_shared<Socket>(io_);
    if (found == sockets_.end()) {
      boost::system::error_code error;
      socket->descriptor.assign(fd, error);
      if (error) return;  // the question times out
      sockets_[fd] = socket;
    }
    socket->wants_read = read;
    socket->wants_write = write;
    wait(fd, socket);
  }

  void wait(ares_socket_t fd, const std::shared_ptr<Socket>& socket) {
    using boost::asio::posix::stream_descriptor;
    if (socket->wants_read && !socket->waits_to_read) {
      socket->waits_to_read = true;
      socket->descriptor.async_wait(stream_descriptor::wait_read,
                                    [self = shared_from_this(), socket, fd](const auto& error) {
                                      socket->waits_to_read = false;
                                      if (!error) self->on_ready(fd, socket, fd, ARES_SOCKET_BAD);
                                    });
    }
    if (socket->wants_write && !socket->waits_to_write) {
      socket->waits_to_write = true;
      socket->descriptor.async_wait(stream_descriptor::wait_write,
                                    [self = shared_from_this(), socket, fd](const auto& error) {
                                      socket->waits_to_write = false;
                                      if (!error) self->on_ready(fd, socket, ARES_SOCKET_BAD, fd);
                                    });
    }
  }

  void on_ready(ares_socket_t fd, const std::shared_ptr<Socket>& socket, ares_socket_t readable,
                ares_socket_t writable) {
    // The number may be another socket's by now.
    const auto is_same = [&] {
      const auto found = sockets_.find(fd);
      return found != sockets_.end() && found->second == socket;
    };
    if (channel_ == nullptr || !is_same()) return;
    ares_process_fd(channel_, readable, writable);
    if (is_same()) wait(fd, socket);
    go_on();
  }

  /// Tells the answer if there is one, otherwise waits for the next time that something is due.
  void go_on() {
    if (done_ == nullptr) return;
    if (!answer_ && Clock::now() >= deadline_) fail_with("no answer in time");
    if (answer_) {
      const auto done = std::move(done_);
      DnsAnswer answer = *std::move(answer_);
      end();
      done(std::move(answer));
      return;
    }
    timeval due{};
    const bool has_due = ares_timeout(channel_, nullptr, &due) != nullptr;
    const auto at = Clock::now() + std::chrono::seconds(due.tv_sec) + std::chrono::microseconds(due.tv_usec);
    timer_.expires_at(has_due ? std::min(at, deadline_) : deadline_);
    timer_.async_wait([self = shared_from_this()](const auto& cancelled) {
      if (cancelled || self->channel_ == nullptr) return;
      ares_process_fd(self->channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
      self->go_on();
    });
  }

  boost::asio::io_context& io_;
  std::string name_;
  const DnsRecordType type_;
  Done done_;
  boost::asio::steady_timer timer_;
  Clock::time_point deadline_{};
  ares_channel channel_ = nullptr;
  std::unordered_map<ares_socket_t, std::shared_ptr<Socket>> sockets_;
  std::optional<DnsAnswer> answer_;
};

DnsLookup::DnsLookup(boost::asio::io_context& io, const DnsDiscovery& settings, const std::string& name,
                     DnsRecordType type, Done done)
    : channel_(std::make_shared<Channel>(io, name, type, std::move(done))) {
  channel_->start(settings);
}

DnsLookup::~DnsLookup() {
  channel_->end();
}

}  // namespace sluice::control
