#include "slotring/asio.h"

#include <string>
#include <thread>
#include <vector>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <gtest/gtest.h>

#include "tests/support/local_supervisor.h"

namespace slotring {
namespace {

namespace asio = boost::asio;
using testing::EchoWorker;
using testing::LocalPool;
using testing::LocalSupervisor;
using namespace std::chrono_literals;

class Asio : public ::testing::Test {
 protected:
  Asio() { pool_.publish_all(); }

  asio::awaitable<void> echo(std::string text) {
    const std::thread::id before = std::this_thread::get_id();
    Result<Reply> reply = co_await async_call(client_, "echo", text, {}, asio::use_awaitable);
    EXPECT_EQ(std::this_thread::get_id(), before);
    EXPECT_EQ(reply.value().text(), text);
    ++ended_;
  }

  LocalPool pool_{testing::small_geometry(1, 2)};
  LocalSupervisor supervisor_{pool_};
  asio::io_context loop_;  // before the client: it outlives what is posted to it
  Client client_ = Client::attach(supervisor_.path()).value();
  int ended_ = 0;
};

TEST_F(Asio, AwaitsReplies) {
  const EchoWorker worker(pool_);
  for (int i = 0; i < 50; ++i) {
    asio::co_spawn(loop_, echo("call " + std::to_string(i)), asio::detached);
  }
  loop_.run();
  EXPECT_EQ(ended_, 50);
}

TEST_F(Asio, AwaitsErrors) {
  std::stop_source stop;
  const auto cancelled = [&]() -> asio::awaitable<void> {
    asio::post(loop_, [&] { stop.request_stop(); });
    const CallOptions options{.stop = stop.get_token()};
    const Result<Reply> reply =
        co_await async_call(client_, "echo", "hello", options, asio::use_awaitable);
    EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
    ++ended_;
  };
  asio::co_spawn(loop_, cancelled, asio::detached);
  loop_.run();
  EXPECT_EQ(ended_, 1);
}

TEST_F(Asio, RunsAHandlerOnItsExecutor) {
  const EchoWorker worker(pool_);
  async_call(client_, "echo", "hello", {}, asio::bind_executor(loop_, [&](Result<Reply> reply) {
               EXPECT_EQ(reply.value().text(), "hello");
               ++ended_;
             }));
  EXPECT_EQ(ended_, 0) << "not before the loop runs";
  EXPECT_EQ(loop_.run(), 1u);
  EXPECT_EQ(ended_, 1);
}

TEST_F(Asio, MakesFutures) {
  const EchoWorker worker(pool_);
  std::future<Result<Reply>> future = async_call(client_, "echo", "hello", {}, asio::use_future);
  EXPECT_EQ(future.get().value().text(), "hello");
}

}  // namespace
}  // namespace slotring
