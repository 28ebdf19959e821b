// How a worker gives back memory. What a burst has needed and nobody since goes after some seconds. When
// memory is short, those who hold none of it go first above four fifths of the limit, above it those who hold
// most.
#include <malloc.h>

#include <algorithm>
#include <vector>

#include "dataplane/l7/worker.h"

namespace sluice::l7 {
namespace {

constexpr std::chrono::milliseconds kTrimInterval{5000};
// The allocator passes on whole pages only when it is told to, which takes a while: not for less than this.
constexpr size_t kWorthTrimming = 1024 * 1024;
constexpr std::chrono::milliseconds kShedInterval{100};
constexpr size_t kIdlePerTurn = 64;
// Who has just had an answer is likely to come back, and could not.
constexpr std::chrono::seconds kIdleFor{5};
constexpr size_t kLookedAtPerTurn = 4096;
// How long a tight proxy waits for its clients to take what is theirs.
constexpr std::chrono::milliseconds kPatience{1000};
// Closing less than this helps nobody.
constexpr size_t kWorthClosing = 256 * 1024;

}  // namespace

void Worker::weigh_connections() {
  IntrusiveList<MemoryAccount, TightTag>& tight = context_.memory.tight();
  IntrusiveList<MemoryAccount, TightTag> looked_at;
  while (!tight.empty()) {
    MemoryAccount& account = tight.front();
    account.unlink();
    account.owner().weigh();
    if (account.tight() && !account.owner().closed() && !account.linked()) looked_at.push_back(account);
  }
  tight.take_all(looked_at);
  while (!context_.unflushed.empty()) context_.unflushed.front().flush();
}

// What is kept for later is the first to go.
void Worker::give_back_kept() {
  context_.chunks.trim();
  context_.exchanges.trim();
  context_.memory.settle(context_.kept_bytes());
}

void Worker::trim_later() {
  loop_->timers().start(
      trim_timer_, loop_->now(), kTrimInterval,
      [](void* self) { static_cast<Worker*>(self)->give_back_unneeded(); }, this);
}

void Worker::give_back_unneeded() {
  const size_t before = context_.kept_bytes();
  context_.chunks.trim_unneeded();
  context_.exchanges.trim_unneeded();
  if (before - context_.kept_bytes() >= kWorthTrimming) malloc_trim(0);
}

void Worker::shed() {
  give_back_kept();
  if (context_.memory.level() == MemoryLevel::kCalm) return;
  // Down to where clients are let in again, so that what was in the way is worth the search.
  if (context_.memory.level() == MemoryLevel::kFull) {
    const auto limit = static_cast<int64_t>(context_.memory.process().limit());
    close_biggest(limit - limit / 5, SIZE_MAX);
  }
  if (shed_timer_.running()) return;
  tight_since_ = loop_->now();
  loop_->timers().start(
      shed_timer_, loop_->now(), kShedInterval,
      [](void* self) { static_cast<Worker*>(self)->shed_in_time(); }, this);
}

void Worker::shed_in_time() {
  give_back_kept();
  if (context_.memory.level() == MemoryLevel::kCalm) return;
  if (shed_idle() == 0 && loop_->now() >= tight_since_ + kPatience) close_biggest(0, 1);
  loop_->timers().start(
      shed_timer_, loop_->now(), kShedInterval,
      [](void* self) { static_cast<Worker*>(self)->shed_in_time(); }, this);
}

// Asks some that have no request open to go; returns how many. It goes on next time where it has stopped.
size_t Worker::shed_idle() {
  std::vector<ClientConnection*> idle;
  size_t left = std::min<size_t>(kLookedAtPerTurn, client_count_.load(std::memory_order_relaxed));
  for (; left > 0 && !clients_.empty() && idle.size() < kIdlePerTurn; --left) {
    ClientConnection& client = clients_.front();
    static_cast<ListLink<ClientsTag>&>(client).unlink();
    clients_.push_back(client);
    if (client.idle() && client.active_at() + kIdleFor <= loop_->now()) idle.push_back(&client);
  }
  for (ClientConnection* client : idle) {
    client->note(Defence::kMemoryIdle);
    client->drain();
  }
  return idle.size();
}

// Closes those that hold most, at most `most` of them, until the proxy holds no more than `down_to`.
void Worker::close_biggest(int64_t down_to, size_t most) {
  std::vector<std::pair<size_t, ClientConnection*>> clients;
  clients.reserve(client_count_.load(std::memory_order_relaxed));
  clients_.for_each([&](ClientConnection& client) {
    const size_t held = client.account().held();
    if (most == SIZE_MAX || held >= kWorthClosing) clients.emplace_back(held, &client);
  });
  std::make_heap(clients.begin(), clients.end());
  while (!clients.empty() && most-- > 0 && context_.memory.process().held() > down_to) {
    std::pop_heap(clients.begin(), clients.end());
    clients.back().second->end_for(Defence::kMemoryBiggest);
    clients.pop_back();
    give_back_kept();
  }
}

}  // namespace sluice::l7
