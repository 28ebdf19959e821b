// Asks for one name again and again, and says after each time which endpoints it stands for. What the answers
// make is lb/l7/dns_records.h, when to ask again lb/l7/refresh_schedule.h.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/proxy/dns_lookup.h"

namespace sluice::control {

/// Lives on the thread that runs `io`.
class DnsNameWatch {
 public:
  struct Report {
    DnsAnswerKind kind;
    std::vector<Endpoint> endpoints;  ///< what is to be believed now, whatever the kind
    std::string error;
  };

  /// Asks at once. `on_report` is called from the io_context, once for each time that was asked.
  DnsNameWatch(boost::asio::io_context& io, DnsDiscovery settings, DnsName name,
               std::function<void(Report)> on_report);
  DnsNameWatch(const DnsNameWatch&) = delete;
  DnsNameWatch& operator=(const DnsNameWatch&) = delete;

 private:
  /// The addresses of one host while they are asked for.
  struct Host {
    std::unique_ptr<DnsLookup> v4;
    std::unique_ptr<DnsLookup> v6;
    std::optional<DnsAnswer> v4_answer;
    std::optional<DnsAnswer> v6_answer;
  };

  void ask();
  void on_services(DnsAnswer answer);
  void ask_hosts(std::set<std::string> names);
  void ask_more_hosts();
  void ask_host(const std::string& name);
  void on_host(const std::string& name);
  void finish();
  std::vector<Endpoint> endpoints() const;

  boost::asio::io_context& io_;
  const DnsDiscovery settings_;
  const DnsName name_;
  const std::function<void(Report)> on_report_;
  boost::asio::steady_timer timer_;
  Random random_;
  uint32_t failures_ = 0;

  std::vector<SrvRecord> services_;             // as last answered
  std::map<std::string, NameAddresses> known_;  // of the name itself, or of the services' targets

  // Of the present time that is asked:
  std::unique_ptr<DnsLookup> service_;
  std::deque<std::string> waiting_;
  std::map<std::string, Host> hosts_;
  NameOutcome outcome_;
  std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);  // timer handlers may outlive us
};

}  // namespace sluice::control
