#include "control/passive_watch.h"

#include <utility>
#include <vector>

namespace sluice::control {

PassiveWatch::PassiveWatch(boost::asio::io_context& io, std::function<const std::vector<Pool>&()> pools,
                           Read read, Report report)
    : pools_(std::move(pools)), read_(std::move(read)), report_(std::move(report)), timer_(io) {
  wait();
}

void PassiveWatch::wait() {
  timer_.expires_after(kPassiveTurn);
  timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    turn();
    wait();
  });
}

void PassiveWatch::turn() {
  std::map<std::string, Windows> before = std::exchange(windows_, {});
  for (const Pool& pool : pools_()) {
    if (!pool.health.passive) continue;
    Windows& windows = windows_[pool.name];
    windows = std::move(before[pool.name]);
    watch(pool, windows);
  }
}

void PassiveWatch::watch(const Pool& pool, Windows& windows) {
  Windows before = std::exchange(windows, {});
  std::vector<PassiveSignals> recent;
  for (const Backend& backend : pool.backends) {
    PassiveWindow& window = windows[backend.address] = std::move(before[backend.address]);
    window.add(read_(pool, backend));
    recent.push_back(window.recent());
  }
  const std::vector<std::string> findings = judge_passively(recent);
  for (size_t i = 0; i < findings.size(); ++i) {
    if (findings[i].empty()) continue;
    const Backend& backend = pool.backends[i];
    PassiveWindow& window = windows[backend.address];
    window.forget();
    report_(pool, backend, findings[i], window.next_hold(std::chrono::steady_clock::now()));
  }
}

}  // namespace sluice::control
