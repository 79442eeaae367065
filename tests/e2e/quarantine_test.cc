// Callers that leave a running call, and calls that do not end: what they cost, and whom.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
import asyncio, ctypes

@slotring.handler
def sleep(request):
    time.sleep(float(bytes(request)))
    return b"slept"

@slotring.handler
def hang(request):
    (folder / "hangs").touch()
    ctypes.PyDLL(None).sleep(1000)  # keeps the GIL

@slotring.handler
async def wait(request):
    (folder / "waits").touch()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        (folder / "cancelled").touch()
        raise
)";

json status_of(const SupervisedPool& pool) {
  const Finished status = run({command_program(), "status", "--json", "--pool", pool.socket()});
  EXPECT_EQ(status.status, 0) << status.err;
  return json::parse(status.out);
}

// What the first worker's call does by status, or null.
json runs(const SupervisedPool& pool) { return status_of(pool)["workers"][0]["runs"]; }

// Calls echo over and over, each call with a text of its own.
class SteadyCaller {
 public:
  explicit SteadyCaller(const SupervisedPool& pool)
      : client_(pool.attach()), thread_([this] { call_until_told(); }) {}
  ~SteadyCaller() { stop(); }

  int calls() const { return calls_.load(); }
  // The calls that did not get their own text back.
  int stop() {
    stopped_ = true;
    if (thread_.joinable()) thread_.join();
    return failed_.load();
  }

 private:
  void call_until_told() {
    while (!stopped_) {
      const std::string text = std::to_string(++calls_);
      const Result<Reply> reply = client_.call("echo", text);
      if (!reply || reply->text() != text) ++failed_;
    }
  }

  Client client_;
  std::atomic<bool> stopped_{false};
  std::atomic<int> calls_{0}, failed_{0};
  std::thread thread_;
};

TEST(Quarantine, ADeadlineOf50MsOnATenSecondSleeperIsKeptAndTheReplyReachesNobody) {
  SupervisedPool pool(kModule, "slots_per_worker = 2\n");
  Client client = pool.attach();
  ASSERT_TRUE(client.call("echo", "warm").ok());
  const auto begin = steady_clock::now();
  const Error late = client.call("sleep", "10", {.timeout = milliseconds(50)}).error();
  const auto took = steady_clock::now() - begin;
  EXPECT_EQ(late.code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(late.retryable);
  EXPECT_GE(took, milliseconds(50));
  EXPECT_LT(took, seconds(5)) << "on a machine under load; the handler sleeps for 10";
  std::printf("returned %.3f ms after the deadline\n",
              std::chrono::duration<double, std::milli>(took).count() - 50);

  int quarantined = -1;
  const json after = status_of(pool)["slots"];
  for (int slot = 0; slot < 2; ++slot) {
    if (after[slot]["state"] == "abandoned") quarantined = slot;
  }
  ASSERT_NE(quarantined, -1);
  const std::uint32_t generation = after[quarantined]["generation"];
  EXPECT_EQ(status_of(pool)["workers"][0]["runs"]["abandoned"], true);
  // Sent meanwhile, answered after the sleeper: with what is its own.
  EXPECT_EQ(client.call("echo", "mine").value().text(), "mine");
  EXPECT_GE(steady_clock::now() - begin, seconds(10));
  ASSERT_TRUE(eventually([&] { return status_of(pool)["slots"][quarantined]["state"] == "free"; }));
  EXPECT_EQ(status_of(pool)["slots"][quarantined]["generation"], generation + 1);
  for (int i = 0; i < 200; ++i) {
    Lease lease = client.claim().value(), other = client.claim().value();
    for (Lease* each : {&lease, &other}) {
      const std::string text = std::to_string(i) + (each == &lease ? "a" : "b");
      std::memcpy(each->request(text.size()).value().data(), text.data(), text.size());
      each->submit("echo", PayloadKind::kBytes, text.size()).value();
      const ReplyView reply = each->wait().value();
      EXPECT_EQ(std::string(reinterpret_cast<const char*>(reply.bytes.data()), reply.bytes.size()),
                text);
    }
  }
}

TEST(Quarantine, ACancelledCallReturnsAtOnceAndItsCoroutineIsTold) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  std::stop_source stop;
  std::optional<Error> cancelled;
  std::thread caller([&] {
    cancelled = client.call("wait", "", {.timeout = kNoTimeout, .stop = stop.get_token()}).error();
  });
  ASSERT_TRUE(eventually([&] { return pool.has("waits"); }));
  stop.request_stop();
  caller.join();
  EXPECT_EQ(cancelled->code, ErrorCode::kCancelled);
  EXPECT_FALSE(cancelled->retryable);
  EXPECT_TRUE(eventually([&] { return pool.has("cancelled"); }));
  EXPECT_EQ(client.call("echo", "next").value().text(), "next");
}

TEST(Quarantine, ADeadClientsCoroutineIsToldToo) {
  SupervisedPool pool(kModule);
  const pid_t child = ::fork();
  if (child == 0) {
    Client own = pool.attach();
    (void)own.call("wait", "", {.timeout = kNoTimeout}).ok();
    ::_exit(0);
  }
  ASSERT_TRUE(eventually([&] { return pool.has("waits"); }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(eventually([&] { return pool.has("cancelled"); }));
}

TEST(Quarantine, AnOverdueCallCostsItsOwnWorkerAndNoCallOfAnother) {
  SupervisedPool pool(kModule, "workers = 2\ncall_time_limit_s = 2\nrestart_delay_s = 0.01\n");
  Client client = pool.attach();
  ASSERT_TRUE(eventually([&] {
    const json workers = status_of(pool)["workers"];
    return workers[0]["state"] == "ready" && workers[1]["state"] == "ready";
  }));
  const json before = status_of(pool)["workers"];
  SteadyCaller steady(pool);
  const Error lost = client.call("sleep", "1000").error();
  EXPECT_EQ(lost.code, ErrorCode::kWorkerLost);
  EXPECT_FALSE(lost.retryable);
  EXPECT_THAT(lost.message,
              AllOf(HasSubstr("SIGKILL"), HasSubstr("a call of 'sleep' ran for "),
                    HasSubstr("longer than call_time_limit_s = 2"), HasSubstr("busy, not hung")));
  EXPECT_TRUE(pool.logs("a call of 'sleep' ran for "));
  ASSERT_TRUE(eventually([&] {
    const json now = status_of(pool)["workers"];
    return now[0]["state"] == "ready" && now[1]["state"] == "ready" &&
           now[0]["restarts"].get<int>() + now[1]["restarts"].get<int>() == 1;
  }));
  const int calls = steady.calls();
  ASSERT_TRUE(eventually([&] { return steady.calls() > calls + 100; }));
  EXPECT_EQ(steady.stop(), 0) << "of " << steady.calls();
  const json after = status_of(pool)["workers"];
  const int killed = after[0]["restarts"] == 1 ? 0 : 1;
  EXPECT_NE(after[killed]["pid"], before[killed]["pid"]);
  EXPECT_EQ(after[1 - killed]["pid"], before[1 - killed]["pid"]);
  EXPECT_EQ(after[1 - killed]["restarts"], 0);
}

TEST(Quarantine, CallsQueuedBehindAHungOneAreServedByTheSuccessor) {
  SupervisedPool pool(kModule, "call_time_limit_s = 1\nrestart_delay_s = 0.01\n");
  Client client = pool.attach();
  std::optional<Error> lost;
  std::thread hung([&] { lost = client.call("hang", "").error(); });
  ASSERT_TRUE(eventually([&] { return pool.has("hangs"); }));
  std::vector<std::thread> queued;
  for (int i = 0; i < 3; ++i) {
    queued.emplace_back([&, text = std::to_string(i)] {
      EXPECT_EQ(client.call("echo", text).value().text(), text);
    });
  }
  hung.join();
  for (std::thread& call : queued) call.join();
  EXPECT_EQ(lost->code, ErrorCode::kWorkerLost);
  EXPECT_THAT(lost->message, AllOf(HasSubstr("'hang'"), HasSubstr("hung: no thread")));
  EXPECT_TRUE(pool.logs("hung: no thread"));
}

TEST(Quarantine, AnAbandonedCallIsUnderTheLimitToo) {
  SupervisedPool pool(kModule, "call_time_limit_s = 0.3\nrestart_delay_s = 0.01\n");
  Client client = pool.attach();
  ASSERT_TRUE(client.call("echo", "warm").ok());
  EXPECT_EQ(client.call("hang", "", {.timeout = milliseconds(20)}).error().code,
            ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(client.call("echo", "next").value().text(), "next");
  EXPECT_TRUE(pool.logs("longer than call_time_limit_s = 0.3"));
}

TEST(Quarantine, ManyOverdueCallsEndNoSeat) {
  SupervisedPool pool(kModule,
                      "call_time_limit_s = 0.1\nrestart_delay_s = 0.01\ncrash_loop_deaths = 2\n");
  Client client = pool.attach();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(client.call("sleep", "1000").error().code, ErrorCode::kWorkerLost);
  }
  EXPECT_EQ(client.call("echo", "next").value().text(), "next");
}

TEST(Quarantine, CallsWithinTheLimitGoOnAsLongAsTheyLike) {
  SupervisedPool pool(kModule, "call_time_limit_s = 1\n");
  Client client = pool.attach();
  // Together they take longer than one may.
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(client.call("sleep", "0.3").ok());
  EXPECT_EQ(status_of(pool)["workers"][0]["restarts"], 0);
}

TEST(Quarantine, StatusTellsAHungWorkerFromABusyOne) {
  SupervisedPool pool(kModule, "drain_timeout_s = 0\nstop_timeout_s = 0\n");
  Client client = pool.attach();
  ASSERT_TRUE(client.call("echo", "warm").ok());
  EXPECT_TRUE(runs(pool).is_null());
  Lease busy = client.claim().value();
  busy.request(1).value()[0] = std::byte{'5'};
  busy.submit("sleep", PayloadKind::kBytes, 1).value();
  ASSERT_TRUE(eventually([&] {
    const json call = runs(pool);
    return !call.is_null() && call["run_s"] > 3.0;
  }));
  EXPECT_EQ(runs(pool)["method"], "sleep");
  EXPECT_EQ(runs(pool)["interpreter"], "busy");
  EXPECT_TRUE(busy.wait().ok());

  Lease hung = client.claim().value();
  hung.request(0).value();
  hung.submit("hang", PayloadKind::kEmpty, 0).value();
  ASSERT_TRUE(eventually([&] {
    const json call = runs(pool);
    return !call.is_null() && call["interpreter"] == "hung";
  }));
  EXPECT_EQ(runs(pool)["method"], "hang");
  EXPECT_GT(runs(pool)["run_s"], 2.0);
  const Finished text = run({command_program(), "status", "--pool", pool.socket()});
  EXPECT_THAT(text.out, AllOf(HasSubstr("hang for "), HasSubstr(", hung")));
}

}  // namespace
}  // namespace slotring::testing
