// Workers that serve several calls at once, with real supervisors: under load while workers are
// killed, and when a call takes too long.

#include <signal.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
import asyncio
import time

@slotring.handler
def plain(request):
    return request

@slotring.handler
async def awaits(request):
    await asyncio.sleep(0)
    return request

@slotring.handler(batch=slotring.Batch(8, 0.001))
def batched(requests):
    return [bytes(request) for request in requests]

@slotring.handler
async def hold(request, ctx):
    (folder / bytes(request).decode()).touch()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        (folder / (bytes(request).decode() + "-cancelled")).touch()
        raise

@slotring.handler
def sleep(request):
    time.sleep(60)
)";

class Profiles : public ::testing::TestWithParam<const char*> {};

// Each caller sees its own replies, or that a worker was lost.
TEST_P(Profiles, ServesManyClientsWhileAWorkerIsKilled) {
  const SupervisedPool pool(kModule, std::string(GetParam()) + "workers = 2\n");
  ASSERT_TRUE(pool.logs("ready: 1 pool"));
  Client killer = pool.attach();
  std::atomic<int> answered{0};
  std::atomic<int> lost{0};
  std::atomic<bool> killed{false};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&, caller] {
      Client client = pool.attach();
      const char* methods[] = {"plain", "awaits", "batched"};
      // Until the kill, whenever that is, and for a while after it.
      for (int i = 0, after = 0; after < 50; ++i, after += killed.load() ? 1 : 0) {
        const std::string text = std::to_string(caller) + "/" + std::to_string(i);
        const Result<Reply> reply = client.call(methods[i % 3], text);
        if (reply) {
          EXPECT_EQ(reply->text(), text);
          answered.fetch_add(1);
        } else {
          EXPECT_EQ(reply.error().code, ErrorCode::kWorkerLost) << reply.error().to_string();
          lost.fetch_add(1);
        }
      }
    });
  }
  EXPECT_TRUE(eventually([&] { return answered.load() > 100; }));
  EXPECT_EQ(::kill(SupervisedPool::worker_of(killer), SIGKILL), 0);
  killed = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_LE(lost.load(), 4) << "no more were lost than ran in one worker";
}

TEST_P(Profiles, AWorkerWhoseCallTakesTooLongIsKilledAndFollowed) {
  const SupervisedPool pool(kModule,
                            std::string(GetParam()) + "workers = 1\ncall_time_limit_s = 0.3\n");
  ASSERT_TRUE(pool.logs("ready: 1 pool"));
  Client client = pool.attach();
  EXPECT_EQ(client.call("sleep", {}).error().code, ErrorCode::kWorkerLost);
  EXPECT_TRUE(pool.logs("a call of 'sleep' ran for"));
  EXPECT_EQ(client.call("plain", "again").value().text(), "again");
}

INSTANTIATE_TEST_SUITE_P(All, Profiles,
                         ::testing::Values("profile = \"single\"\n",
                                           "profile = \"threads\"\nthreads = 3\n",
                                           "profile = \"asyncio\"\n"),
                         [](const auto& profile) {
                           const std::string keys = profile.param;
                           return keys.substr(11, keys.find('"', 11) - 11);
                         });

TEST(AsyncioProfile, CancelsOneOfManyTasks) {
  const SupervisedPool pool(kModule, "profile = \"asyncio\"\nworkers = 1\n");
  ASSERT_TRUE(pool.logs("ready: 1 pool"));
  std::vector<std::stop_source> stops(3);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      Client client = pool.attach();
      const auto reply = client.call("hold", "task" + std::to_string(i),
                                     {.stop = stops[static_cast<std::size_t>(i)].get_token()});
      EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
    });
  }
  for (const char* task : {"task0", "task1", "task2"}) {
    EXPECT_TRUE(eventually([&] { return pool.has(task); }));
  }
  stops[1].request_stop();
  EXPECT_TRUE(eventually([&] { return pool.has("task1-cancelled"); }));
  EXPECT_FALSE(pool.has("task0-cancelled"));
  EXPECT_FALSE(pool.has("task2-cancelled"));
  stops[0].request_stop();
  stops[2].request_stop();
  for (std::thread& caller : callers) caller.join();
}

}  // namespace
}  // namespace slotring::testing
