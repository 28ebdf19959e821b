// A server's and a client's settings that agree, and contexts made of them.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "dataplane/l7/tls_client_context.h"
#include "dataplane/l7/tls_server_context.h"
#include "tests/unit/tls_files.h"
#include "tests/unit/tls_link.h"

namespace sluice::l7::test {

class TlsContextTest : public testing::Test {
 protected:
  TlsContextTest() {
    server.certificates = {
        authority.issue("site", {.common_name = "site", .alternatives = "DNS:www.example.com,IP:127.0.0.1"})};
    client.ca = authority.file();
  }

  TlsServerContext::Pointer serve() {
    auto made = TlsServerContext::load(server, keys, std::chrono::system_clock::now());
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : nullptr;
  }
  TlsClientContext::Pointer reach() {
    auto made = TlsClientContext::load(client, std::chrono::system_clock::now());
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : nullptr;
  }
  std::string server_refusal() {
    const auto made = TlsServerContext::load(server, keys, std::chrono::system_clock::now());
    return made ? "accepted" : made.error().message;
  }
  std::string client_refusal() {
    const auto made = TlsClientContext::load(client, std::chrono::system_clock::now());
    return made ? "accepted" : made.error().message;
  }
  /// A client that asks for `name` and trusts anything.
  TlsClientContext::Pointer asking_for(const std::string& name) {
    TlsClientSettings settings;
    settings.verify = false;
    settings.server_name = name;
    return *TlsClientContext::load(settings, std::chrono::system_clock::now());
  }
  std::string shown_to(const TlsServerContext::Pointer& context, const std::string& name) {
    Link link(context, asking_for(name));
    return link.shake() ? link.client.tls()->peer_subject() : tls_failure_name(link.server_failure());
  }

  TestFolder folder;
  TestAuthority authority{folder, "authority"};
  TestAuthority stranger{folder, "stranger"};
  std::shared_ptr<TlsTicketKeys> keys = std::make_shared<TlsTicketKeys>(TlsTicketKeys::Clock::now());
  TlsServerSettings server;
  TlsClientSettings client;
};

}  // namespace sluice::l7::test
