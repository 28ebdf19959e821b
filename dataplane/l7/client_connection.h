// A client's connection and its streams.
#pragma once

#include <span>

#include "dataplane/l7/connection.h"
#include "dataplane/l7/http2_session.h"
#include "dataplane/l7/settings.h"

namespace sluice::l7 {

class ClusterRuntime;
struct ClientsTag;

class ClientConnection final : public Connection, public ListLink<ClientsTag> {
 public:
  ClientConnection(WorkerContext& worker, int fd, const ListenerSettings& listener, ClusterRuntime& cluster);

  /// Begins to read. False if the socket cannot be watched; the object is then to be deleted.
  bool open() { return watch(false); }
  Http2Session& codec() { return codec_; }
  /// A stream waits for the output to drain.
  void note_blocked() { blocked_ = true; }
  /// A stream of this connection has ended.
  void on_exchange_over();
  void shut(const char* why) { close(why); }

 private:
  void on_input(std::span<const uint8_t>& input) override;
  void on_closed(const char* why) override;
  void on_drained() override;
  void on_connected(int error) override;
  void on_head(const CodecEvent& event);
  void resume_streams();

  const ListenerSettings& listener_;
  ClusterRuntime& cluster_;
  Http2Session codec_;
  bool blocked_ = false;
};

}  // namespace sluice::l7
