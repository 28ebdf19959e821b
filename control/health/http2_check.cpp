#include "control/health/http2_check.h"

#include "control/health/http_answer.h"

namespace sluice::control {

Http2Headers Http2Check::request_headers() const {
  return {{":method", "GET"},
          {":scheme", "http"},
          {":authority", target_.check.host.empty() ? authority() : target_.check.host},
          {":path", target_.check.path},
          {"user-agent", "sluice-health-check"},
          {"accept", "*/*"}};
}

void Http2Check::on_headers(const Http2Answer& answer) {
  if (target_.check.expected_body.empty()) finish(judge_http_status(target_.check, answer.status()));
}

void Http2Check::on_answer(const Http2Answer& answer) {
  finish(judge_http(target_.check, answer.status(), answer.body));
}

}  // namespace sluice::control
