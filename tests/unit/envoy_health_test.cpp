// Health checks and outlier detection as an Envoy bootstrap says them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/unit/envoy_text.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using test::Bootstrap;
using test::config_of;
using test::only_cluster;
using testing::HasSubstr;

TEST(EnvoyBootstrap, HealthChecks) {
  const std::string numbers = "timeout: 1s, interval: 5s, unhealthy_threshold: 2, healthy_threshold: 3";
  Bootstrap text;
  text.cluster = "health_checks: [{" + numbers +
                 ", event_log_path: /var/log/hc.log, always_log_health_check_failures: true, "
                 "unhealthy_edge_interval: 2s, "
                 "http_health_check: {path: /healthz, expected_statuses: [{start: 200, end: 300}, {start: "
                 "'404', end: '405'}]}}]";
  const ProxyConfig http = config_of(text);
  const ClusterCare& care = http.care.at(0);
  EXPECT_EQ(care.health.kind, HealthCheckKind::kHttp);
  EXPECT_EQ(care.health.path, "/healthz");
  EXPECT_EQ(care.health.host, "app");
  EXPECT_EQ(care.health.expected_status, (std::vector<StatusRange>{{200, 299}, {404, 404}}));
  EXPECT_EQ(care.health.timeout, seconds(1));
  EXPECT_EQ(care.health.interval, seconds(5));
  EXPECT_EQ(care.health.fast_interval, seconds(2));
  EXPECT_EQ(care.health.fall, 2u);
  EXPECT_EQ(care.health.rise, 3u);
  EXPECT_TRUE(care.health.answer_decides);
  EXPECT_EQ(care.event_log, "/var/log/hc.log");
  EXPECT_TRUE(care.log_every_failure);
  text.cluster =
      "health_checks: [{" + numbers + ", http_health_check: {path: /, host: h, codec_client_type: HTTP2}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kHttp2);
  EXPECT_EQ(config_of(text).care.at(0).health.host, "h");
  EXPECT_EQ(config_of(text).care.at(0).health.expected_status, (std::vector<StatusRange>{{200, 200}}));
  EXPECT_EQ(config_of(text).care.at(0).health.fast_interval, seconds(5));
  text.cluster = "health_checks: [{" + numbers + ", tcp_health_check: {}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kTcp);
  text.cluster = "health_checks: [{" + numbers + ", grpc_health_check: {service_name: s, authority: a}}]";
  EXPECT_EQ(config_of(text).care.at(0).health.kind, HealthCheckKind::kGrpc);
  EXPECT_EQ(config_of(text).care.at(0).health.grpc_service, "s");
  EXPECT_EQ(config_of(text).care.at(0).health.host, "a");
  const std::map<std::string, std::string> wrong{
      {"{tcp_health_check: {}}", "health_checks[0].timeout: found nothing; Envoy wants this field"},
      {"{" + numbers + "}",
       "found no check; accepted: http_health_check, tcp_health_check or grpc_health_check"},
      {"{" + numbers + ", tcp_health_check: {send: {text: '00'}}}", "tcp_health_check.send: not supported"},
      {"{" + numbers + ", custom_health_check: {}}", "custom_health_check: not supported"},
      {"{" + numbers + ", http_health_check: {}}", "http_health_check.path: found nothing"},
      {"{" + numbers + ", http_health_check: {path: /, expected_statuses: [{start: 200, end: 200}]}}",
       "expected_statuses[0]: accepted: start from 100 to 599"},
      {"{" + numbers + ", tcp_health_check: {}}, {" + numbers + ", tcp_health_check: {}}",
       "health_checks[1]: found a second health check"}};
  for (const auto& [check, expected] : wrong) {
    text.cluster = "health_checks: [" + check + "]";
    EXPECT_THAT(error_of(text), HasSubstr(expected));
  }
}

TEST(EnvoyBootstrap, OutlierDetection) {
  Bootstrap text;
  text.cluster = "outlier_detection: {}";
  text.top = "cluster_manager: {outlier_detection: {event_log_path: /var/log/out.log}}\n";
  const ProxyConfig defaults = config_of(text);
  ASSERT_TRUE(defaults.care.at(0).outlier);
  OutlierSettings expected;
  expected.streaks = {5, 0, 5};
  expected.success_rate_min_gap = 0;
  EXPECT_EQ(*defaults.care[0].outlier, expected);
  EXPECT_EQ(only_cluster(defaults).streaks, expected.streaks);
  EXPECT_EQ(defaults.care[0].outlier_event_log, "/var/log/out.log");
  text.cluster =
      "outlier_detection: {consecutive_5xx: 3, consecutive_gateway_failure: 4, "
      "enforcing_consecutive_gateway_failure: 100, "
      "split_external_local_origin_errors: true, consecutive_local_origin_failure: 6, "
      "enforcing_success_rate: 0, "
      "success_rate_minimum_hosts: 7, success_rate_request_volume: 8, success_rate_stdev_factor: 2500, "
      "enforcing_failure_percentage: 100, failure_percentage_threshold: 50, "
      "failure_percentage_minimum_hosts: 9, "
      "failure_percentage_request_volume: 10, interval: 1s, base_ejection_time: 600s, max_ejection_percent: "
      "100}";
  OutlierSettings all;
  all.streaks = {3, 4, 6};
  all.success_rate = false;
  all.success_rate_factor = 2.5;
  all.success_rate_min_gap = 0;
  all.success_rate_endpoints = 7;
  all.success_rate_requests = 8;
  all.failure_percentage = 50;
  all.failure_percentage_endpoints = 9;
  all.failure_percentage_requests = 10;
  all.interval = seconds(1);
  all.base_ejection = seconds(600);
  all.max_ejection = seconds(600);
  all.max_ejection_percent = 100;
  EXPECT_EQ(*config_of(text).care.at(0).outlier, all);
  // Not split, a failure to connect is one of the errors in a row.
  text.cluster = "outlier_detection: {consecutive_5xx: 3, consecutive_local_origin_failure: 6}";
  EXPECT_EQ(config_of(text).care.at(0).outlier->streaks, (StreakLimits{3, 0, 3}));
  text.cluster =
      "outlier_detection: {split_external_local_origin_errors: true, "
      "enforcing_consecutive_local_origin_failure: 0, "
      "enforcing_consecutive_5xx: 0}";
  EXPECT_EQ(config_of(text).care.at(0).outlier->streaks, (StreakLimits{0, 0, 0}));
  text.cluster = "outlier_detection: {enforcing_consecutive_5xx: 50}";
  EXPECT_THAT(error_of(text), HasSubstr("found '50'; accepted: 0 or 100"));
}

}  // namespace
}  // namespace sluice
