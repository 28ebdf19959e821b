// Datagram sockets that hear of everything that ICMP has to say.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "lb/address.h"

namespace sluice::control {

/// "Host unreachable", from a router or from ARP and neighbour discovery here, becomes an error of the socket
/// too, not only "port unreachable".
inline void report_all_icmp_errors(int fd, Family family) {
  const int on = 1;
  if (family == Family::kIpv4) {
    setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
  } else {
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
  }
}

}  // namespace sluice::control
