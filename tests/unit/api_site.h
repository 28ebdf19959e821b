// A server of the API on a thread of its own, as on the control thread of sluiced and of sluice-proxy.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "control/api_server.h"

namespace sluice::test {

class ApiSite {
 public:
  /// Listens at `socket`, or says in error() why not. Routes are added before start().
  explicit ApiSite(std::string socket, const ApiLimits& limits = {})
      : socket_(std::move(socket)), server_(ApiServer::open(io_, socket_, limits)) {}
  ApiSite(const ApiSite&) = delete;
  ApiSite& operator=(const ApiSite&) = delete;
  ~ApiSite() { stop(); }

  const std::string& socket() const { return socket_; }
  std::string error() const { return server_ ? "" : server_.error().message; }
  ApiServer& server() { return **server_; }
  boost::asio::io_context& io() { return io_; }

  void start() {
    thread_ = std::thread([this] { io_.run(); });
  }
  /// Runs `task` on the server's thread and waits for its end.
  void on_thread(const std::function<void()>& task) {
    std::promise<void> done;
    boost::asio::post(io_, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  /// Stops the server and waits until nothing is left to do. What else is at work on io() is ended by `last`.
  void stop(const std::function<void()>& last = [] {}) {
    if (!thread_.joinable()) return;
    on_thread([&] {
      server().stop();
      last();
    });
    work_.reset();
    thread_.join();
  }

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::string socket_;
  Result<std::unique_ptr<ApiServer>> server_;
  std::thread thread_;
};

}  // namespace sluice::test
