// What one sluice-proxy hands to the next: its listening sockets and what goes with them, over a unix socket.
//
//   new                                   old
//    │ ── connect ───────────────────────► │ looks who it is (SO_PEERCRED)
//    │ ◄─ offer, with the descriptors ──── │ goes on accepting
//    │ opens and starts everything         │
//    │ ── "ready" ───────────────────────► │ stops accepting, asks its clients to go
//    │ ◄─ "taken" ──────────────────────── │
//    │ accepts                             │
//
// Up to "ready" either side may vanish and the old one has lost nothing. Between the two words nobody
// accepts: connections wait in the sockets, which are the same ones on both sides. docs/upgrade.md is the
// operator's page.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/l7/listening_sockets.h"
#include "dataplane/l7/tls_ticket_keys.h"
#include "lb/result.h"

namespace sluice {

inline constexpr std::string_view kReadyWord = "ready\n";
inline constexpr std::string_view kTakenWord = "taken\n";

struct HandoverOffer {
  pid_t pid = 0;
  std::string version;
  l7::BoundSockets sockets;
  int upgrade_socket = -1;  ///< where the next upgrade connects; whoever receives the offer owns it
  std::optional<l7::TlsTicketKeys::State> ticket_keys;
  std::vector<std::string> unhealthy;  ///< endpoints that checks have found so, "cluster/address:port"
};

/// The text of an offer, without its descriptors: JSON. And back; errors: not such a text, or of a version
/// that does it otherwise.
std::string offer_text(const HandoverOffer& offer);
Result<HandoverOffer> parse_offer(std::string_view text);

/// Sends an offer over a connected unix stream socket, or receives one. Both wait, as long as the socket's
/// time-outs (SO_SNDTIMEO, SO_RCVTIMEO) say. Errors: the other side is gone, says why not, or sends something
/// else.
Result<void> send_offer(int socket, const HandoverOffer& offer);
Result<HandoverOffer> receive_offer(int socket);

/// Instead of an offer: says why not.
Result<void> send_refusal(int socket, std::string_view why);

/// Who is at the other end of a connected unix socket.
struct Peer {
  pid_t pid = 0;
  uid_t user = 0;
};
std::optional<Peer> peer_of(int socket);

}  // namespace sluice
