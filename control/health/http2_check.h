// HTTP/2, cleartext with prior knowledge: GET is answered with an expected status and body.
#pragma once

#include "control/health/http2_request.h"

namespace sluice::control {

class Http2Check final : public Http2RequestCheck {
 public:
  Http2Check(const CheckContext& context, const HealthTarget& target) : Http2RequestCheck(context, target) {}

 private:
  Http2Headers request_headers() const override;
  void on_headers(const Http2Answer& answer) override;
  void on_answer(const Http2Answer& answer) override;
};

}  // namespace sluice::control
