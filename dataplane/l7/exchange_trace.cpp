// A request's place in its trace: a span for the request, and below it one for each try, whose id the
// endpoint gets as its parent. Retries can be told apart that way, and what a try cost beside what the client
// waited.
#include <algorithm>

#include "dataplane/l7/client_connection.h"
#include "dataplane/l7/cluster_runtime.h"
#include "dataplane/l7/exchange.h"
#include "dataplane/l7/upstream_connection.h"
#include "dataplane/l7/upstream_pool.h"
#include "dataplane/l7/worker_context.h"
#include "lb/l7/tracestate.h"

namespace sluice::l7 {
namespace {

using Time = std::chrono::steady_clock::time_point;

struct Received {
  std::optional<TraceContext> sender;
  bool any = false;         // one of the two fields is there
  bool state_good = false;  // tracestate may be passed on
};

// W3C Trace Context sections 3.2 and 3.3: more than one traceparent is none.
Received receive(const HeaderList& fields) {
  Received received;
  TracestateCheck state;
  int parents = 0;
  for (const HeaderList::Field& field : fields.fields()) {
    if (field.token == HeaderToken::kTraceparent) {
      received.sender = ++parents == 1 ? parse_traceparent(fields.value(field)) : std::nullopt;
    } else if (field.token == HeaderToken::kTracestate) {
      state.add(fields.value(field));
    } else {
      continue;
    }
    received.any = true;
  }
  received.state_good = state.good();
  return received;
}

void remove(HeaderList& fields, HeaderToken token) {
  fields.remove_if([name = name_of(token)](std::string_view other, auto) { return other == name; });
}

std::string_view without_query(std::string_view path) {
  return path.substr(0, path.find('?'));
}

uint64_t unix_nanoseconds(std::chrono::system_clock::time_point began, std::chrono::nanoseconds later) {
  return static_cast<uint64_t>((std::chrono::nanoseconds(began.time_since_epoch()) + later).count());
}

}  // namespace

// Once the route is known, or that there is none.
void Exchange::begin_trace(const ListenerSettings& listener) {
  const TracingSettings& tracing = *config_->settings->tracing;
  Received received = receive(request_);
  if (!tracing.follow_clients) received.sender.reset();
  if (!received.sender && received.any) {
    remove(request_, HeaderToken::kTraceparent);
    remove(request_, HeaderToken::kTracestate);
  }
  trace_.id = received.sender ? received.sender->trace : draw_trace_id(worker_.random);
  const SampleRatio ratio = policy_->trace_sample.value_or(listener.trace_sample.value_or(tracing.sample));
  trace_.recorded = decide_sampling(received.sender, trace_.id, ratio);
  // Without a span of our own there is nothing to be said: the sender's fields are passed on.
  if (!trace_.recorded && received.sender && received.sender->plain) return;
  if (!received.state_good) remove(request_, HeaderToken::kTracestate);
  trace_.announced = true;
  trace_.parent = received.sender ? received.sender->span : 0;
  trace_.server = draw_span_id(worker_.random);
  if (trace_.recorded) {
    keep_request_texts();
    trace_.began =
        std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                               std::chrono::steady_clock::now() - began_at_);
  }
}

// Now, as a route may change them.
void Exchange::keep_request_texts() {
  SpanTexts& texts = trace_texts_;
  texts.add(SpanText::kMethod, request_.get(HeaderToken::kMethod));
  texts.add(SpanText::kPath, without_query(request_.get(HeaderToken::kPath)));
  texts.add(SpanText::kScheme, request_.get(HeaderToken::kScheme));
  texts.add(SpanText::kAuthority, request_.get(HeaderToken::kAuthority));
  texts.add(SpanText::kUserAgent, request_.get(HeaderToken::kUserAgent));
  texts.add(SpanText::kTracestate, request_.get(HeaderToken::kTracestate));
  texts.add(SpanText::kListener, client_->listener_name());
  charge();
}

// Tells the endpoint who asks.
void Exchange::begin_try_span() {
  trace_.client = trace_.recorded ? draw_span_id(worker_.random) : trace_.server;
  trace_.try_error = SpanError::kNone;
  trace_.tries_before = tries_ - 1 + moves_;
  trace_.try_began = worker_.loop.now();
  trace_.endpoint = pool_->id();
  const auto text = format_traceparent(trace_.id, trace_.client, trace_.recorded);
  if (request_.overwrite(HeaderToken::kTraceparent, text.view())) return;
  remove(request_, HeaderToken::kTraceparent);
  request_.add(HeaderToken::kTraceparent, text.view());
}

SpanRecord Exchange::begin_span_record(SpanKind kind, Time began) const {
  SpanRecord span;
  span.kind = kind;
  span.trace = trace_.id;
  span.start_ns = unix_nanoseconds(trace_.began, began - began_at_);
  span.end_ns = unix_nanoseconds(trace_.began, worker_.loop.now() - began_at_);
  span.status = status_;
  span.grpc = grpc_;
  if (grpc_status_) span.grpc_status = static_cast<uint8_t>(*grpc_status_);
  return span;
}

void Exchange::end_try_span() {
  SpanRecord span = begin_span_record(SpanKind::kClient, trace_.try_began);
  span.span = trace_.client;
  span.parent = trace_.server;
  span.peer = trace_.endpoint;
  span.secure = upstream_->tls() != nullptr;
  span.http_version = upstream_->codec().is_http2() ? 2 : 1;
  span.tries = trace_.tries_before;
  span.mirror = trace_.mirror;
  span.error = trace_.try_error;
  if (span.error == SpanError::kNone && !response_ended_ && status_ == 0) span.error = SpanError::kCancelled;
  SpanTexts& texts = worker_.span_texts;
  texts.clear();
  texts.add(SpanText::kMethod, request_.get(HeaderToken::kMethod));
  texts.add(SpanText::kPath, without_query(request_.get(HeaderToken::kPath)));
  texts.add(SpanText::kTracestate, request_.get(HeaderToken::kTracestate));
  texts.add(SpanText::kCluster, cluster_->settings().name);
  push_span(*config_->spans, span, texts);
}

void Exchange::end_trace(Outcome outcome) {
  SpanRecord span = begin_span_record(SpanKind::kServer, began_at_);
  span.span = trace_.server;
  span.parent = trace_.parent;
  span.peer = {client_->address(), 0};
  span.outcome = outcome;
  if (!response_begun_) span.status = 0;
  span.http_version = client_->codec().is_http2() ? 2 : 1;
  span.tries = tries_;
  if (route_ != nullptr) {
    trace_texts_.add(SpanText::kVirtualHost, route_->virtual_host());
    trace_texts_.add(SpanText::kRoute, route_->route().name);
  }
  if (cluster_ != nullptr) trace_texts_.add(SpanText::kCluster, cluster_->settings().name);
  push_span(*config_->spans, span, trace_texts_);
}

}  // namespace sluice::l7
