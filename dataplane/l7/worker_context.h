// What the connections of one worker share.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/l7/byte_queue.h"
#include "dataplane/l7/connection.h"
#include "dataplane/l7/event_loop.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/header_list.h"
#include "dataplane/l7/object_pool.h"
#include "lb/l7/random.h"

namespace sluice::l7 {

class ClusterRuntime;

struct WorkerContext {
  WorkerContext(EventLoop& event_loop, uint64_t seed)
      : loop(event_loop), exchanges(*this), random(seed), input(kInputBytes) {}

  // A frame's beginning from the last time, and what one read takes.
  static constexpr size_t kReadBytes = 64 * 1024;
  static constexpr size_t kInputBytes = kReadBytes + 32 * 1024;

  EventLoop& loop;
  ChunkPool chunks;
  HeaderList headers;   ///< of the head that a codec has just read
  HeaderList outgoing;  ///< of a head that is being made
  ObjectPool<Exchange, WorkerContext> exchanges;
  Random random;
  std::vector<uint8_t> input;
  IntrusiveList<Connection, UnflushedTag> unflushed;
  std::vector<std::unique_ptr<Connection>> closed;  ///< deleted at the end of the wake-up
  std::vector<CodecStream*> streams;                ///< scratch: streams to be visited
};

}  // namespace sluice::l7
