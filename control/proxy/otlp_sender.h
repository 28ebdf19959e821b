// Posts one body after the other to an OTLP/HTTP collector, over a connection that is kept.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/proxy/otlp_settings.h"

namespace sluice::control {

/// Why a body was not taken, as the metrics say it.
enum class OtlpFailure : uint8_t {
  kConnection,  ///< no address, no connection, or it broke
  kTimeout,
  kStatus,  ///< an answer that is not 2xx
};
inline constexpr size_t kOtlpFailures = static_cast<size_t>(OtlpFailure::kStatus) + 1;
/// "connection", "timeout", "status"
std::string_view otlp_failure_name(OtlpFailure failure);

struct OtlpAnswer {
  std::optional<OtlpFailure> failure;  ///< nothing: it was taken
  std::string error;                   ///< of a failure, in words
  bool again = false;                  ///< of a failure: it may be sent again
  std::chrono::seconds wait{0};        ///< what the collector asks to wait before that
  uint64_t rejected = 0;               ///< spans that a collector which took the body did not keep
};

/// Lives on the thread that runs its io_context.
class OtlpSender {
 public:
  using Done = std::function<void(const OtlpAnswer&)>;

  OtlpSender(const std::shared_ptr<boost::asio::io_context>& io, OtlpSettings settings);
  ~OtlpSender();
  OtlpSender(const OtlpSender&) = delete;
  OtlpSender& operator=(const OtlpSender&) = delete;

  /// Of bodies to come.
  void use(OtlpSettings settings);
  const OtlpSettings& settings() const { return settings_; }
  /// Sends `body`, which must stay until `done` is called. One at a time.
  void send(std::string_view body, Done done);

 private:
  class Post;
  std::shared_ptr<boost::asio::io_context> io_;
  OtlpSettings settings_;
  std::shared_ptr<Post> post_;
};

}  // namespace sluice::control
