// HTTP/2, cleartext with prior knowledge: GET is answered with an expected status and body.
#pragma once

#include "control/health/http2_request.h"

namespace sluice::control {

class Http2Check final : public Http2RequestCheck {
 public:
  Http2Check(boost::asio::io_context& io, const HealthTarget& target) : Http2RequestCheck(io, target) {}

 private:
  Http2Headers request_headers() const override;
  void on_headers(const Http2Answer& answer) override;
  void on_answer(const Http2Answer& answer) override;
};

}  // namespace sluice::control
