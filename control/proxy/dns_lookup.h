// One question to the name servers, by c-ares: sockets and time are Asio's, messages are c-ares' from the
// first byte to the last, so that nothing here reads what a hostile server has sent but its times to live.
//
// Each question has a c-ares channel of its own. So it may be given up at any moment, goes out from a port
// that nobody can know from the question before (RFC 5452 section 9.2), and sees /etc/resolv.conf and
// /etc/hosts as they are now. An answer that does not fit into a datagram is asked for over TCP.
#pragma once

#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "control/proxy/discovery_settings.h"
#include "lb/l7/dns_records.h"

namespace sluice::control {

enum class DnsRecordType : uint8_t { kA, kAaaa, kSrv };

/// "A", "AAAA", "SRV"
std::string_view dns_record_type_name(DnsRecordType type);

/// Lives on the thread that runs `io`.
class DnsLookup {
 public:
  using Done = std::function<void(DnsAnswer)>;

  /// Asks at once; `done` is called once, from the io_context, after settings.timeout at the latest. A name
  /// that ends with a dot, or is asked for at settings.servers, is taken as it is; others are completed as
  /// /etc/resolv.conf says. A and AAAA are looked for in /etc/hosts first.
  DnsLookup(boost::asio::io_context& io, const DnsDiscovery& settings, const std::string& name,
            DnsRecordType type, Done done);
  /// Gives up: `done` is not called any more. May be destroyed by `done`.
  ~DnsLookup();
  DnsLookup(const DnsLookup&) = delete;
  DnsLookup& operator=(const DnsLookup&) = delete;

 private:
  class Channel;
  std::shared_ptr<Channel> channel_;
};

}  // namespace sluice::control
