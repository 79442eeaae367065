#include "slotring/async.h"

#include <poll.h>

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/owner_bell.h"
#include "slotring/client.h"
#include "tests/support/child_process.h"
#include "tests/support/effort.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using layout::SeatState;
using shm::SlotState;
using testing::EchoWorker;
using testing::effort;
using testing::eventually;
using ::testing::HasSubstr;
using testing::LocalPool;
using testing::LocalSupervisor;
using ::testing::StartsWith;
using namespace std::chrono_literals;
using Future = std::future<Result<Reply>>;

constexpr std::uint32_t kSlots = 2;

// What has become of one call with a callback.
struct Outcome {
  std::atomic<int> times{0};
  std::atomic<ErrorCode> code{ErrorCode::kOk};

  OnReply callback() {
    return [this](Result<Reply> reply) {
      if (!reply) code = reply.error().code;
      times += 1;
    };
  }
  [[nodiscard]] bool await() const {
    return eventually([this] { return times.load() != 0; });
  }
};

// A client of one worker's two slots, which the test serves by hand, or an EchoWorker.
class Async : public ::testing::Test {
 protected:
  Async() { pool_.publish_all(); }

  Client attach(const AttachOptions& options = {}) {
    return Client::attach(supervisor_.path(), options).value();
  }
  Future call(std::string_view text, const CallOptions& options = {}) {
    return client_->call_async("echo", text, options);
  }
  std::vector<Future> fill_slots() {
    std::vector<Future> calls;
    for (std::uint32_t i = 0; i < kSlots; ++i) calls.push_back(call("first"));
    return calls;
  }
  // What a callback was given, kept.
  Reply reply_of_callback() {
    std::optional<Reply> kept;
    std::atomic<bool> ended{false};
    client_->call_async("echo", "hello", {}, [&](Result<Reply> reply) {
      kept.emplace(std::move(reply).value());
      ended = true;
    });
    EXPECT_TRUE(eventually([&] { return ended.load(); }));
    return *std::move(kept);
  }
  static ErrorCode code_of(Future& future) {
    const Result<Reply> reply = future.get();
    return reply ? ErrorCode::kOk : reply.error().code;
  }
  static std::string text_of(Future& future) { return std::string(future.get().value().text()); }
  shm::RunningCall next(shm::WorkerSeat& seat) {
    std::optional<shm::RunningCall> call;
    EXPECT_TRUE(eventually([&] { return (call = seat.try_next()).has_value(); }));
    return *call;
  }
  static std::string text_of(const shm::RunningCall& call) {
    return testing::text_of({PayloadKind::kBytes, call.payload});
  }
  bool all_slots_come_back() const {
    return eventually([&] { return pool_.segment().busy_slots(0) == 0; });
  }
  bool await_queue() const {
    return eventually([&] { return pool_.pool().line().count_waiting() == 1; });
  }

  LocalPool pool_{testing::small_geometry(1, kSlots)};
  LocalSupervisor supervisor_{pool_};
  std::optional<Client> client_ = attach();
  std::stop_source stop_;
};

TEST_F(Async, EndsAFutureWithItsReply) {
  const EchoWorker worker(pool_);
  Future future = call("hello");
  EXPECT_EQ(text_of(future), "hello");
}

TEST_F(Async, RunsCallbacksOnTheOneWaitingThread) {
  const EchoWorker worker(pool_);
  std::vector<std::thread::id> threads(20);
  std::atomic<std::size_t> ended{0};
  for (std::size_t i = 0; i < threads.size(); ++i) {
    client_->call_async("echo", "hello", {}, [&, i](Result<Reply> reply) {
      EXPECT_EQ(reply.value().text(), "hello");
      threads[i] = std::this_thread::get_id();
      ++ended;
    });
  }
  EXPECT_TRUE(eventually([&] { return ended == threads.size(); }));
  EXPECT_THAT(threads, ::testing::Each(threads[0]));
  EXPECT_NE(threads[0], std::this_thread::get_id());
}

TEST_F(Async, ServesManyOutstandingCallsOnFewSlots) {
  const EchoWorker worker(pool_);
  std::vector<Future> calls;
  for (int i = 0; i < 500; ++i) calls.push_back(call(std::to_string(i)));
  // The last first: futures that nobody reads hold no slot.
  for (int i = 499; i >= 0; --i) {
    EXPECT_EQ(text_of(calls[static_cast<std::size_t>(i)]), std::to_string(i));
  }
  EXPECT_TRUE(all_slots_come_back());
}

TEST_F(Async, SendsWhatWaitsInItsOrder) {
  shm::WorkerSeat seat = pool_.worker();
  std::vector<Future> calls;
  for (int i = 0; i < 9; ++i) calls.push_back(call(std::to_string(i)));
  for (std::size_t i = 0; i < calls.size(); ++i) {
    // One slot is enough, so that the order is the worker's to see.
    const shm::RunningCall running = next(seat);
    const std::string text = text_of(running);
    EchoWorker::echo(seat, running);
    EXPECT_LT(std::stoul(text), i + kSlots) << "overtook another";
  }
  for (std::size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(text_of(calls[i]), std::to_string(i));
}

TEST_F(Async, GivesAWaitingCallTheSlotThatAnotherClientFrees) {
  constexpr std::uint16_t kOther = 9;
  std::vector<shm::Claim> held;
  for (std::uint32_t i = 0; i < kSlots; ++i) held.push_back(*pool_.pool().try_claim(kOther));
  Future future = call("hello");
  EXPECT_TRUE(await_queue());
  const EchoWorker worker(pool_);
  EXPECT_TRUE(pool_.pool().try_release(held[1].slot, held[1].word, shm::Actor::kClient));
  EXPECT_EQ(text_of(future), "hello");
}

TEST_F(Async, KeepsACallbacksReplyInItsSlotForAnyThread) {
  const EchoWorker worker(pool_);
  std::optional<Reply> kept = reply_of_callback();
  EXPECT_EQ(pool_.segment().busy_slots(0), 1u);
  std::thread([reply = *std::move(kept)] { EXPECT_EQ(reply.text(), "hello"); }).join();
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(Async, LetsACallbacksReplyOutliveTheClient) {
  const EchoWorker worker(pool_);
  std::optional<Reply> kept = reply_of_callback();
  client_.reset();
  EXPECT_EQ(supervisor_.goodbyes(), 0);
  EXPECT_EQ(kept->text(), "hello");
  kept.reset();
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
  EXPECT_TRUE(eventually([&] { return supervisor_.goodbyes() == 1; }));
}

TEST_F(Async, CallsAgainFromACallback) {
  const EchoWorker worker(pool_);
  std::atomic<int> left{effort(1000)};
  std::function<void(Result<Reply>)> again = [&](Result<Reply> reply) {
    EXPECT_TRUE(reply.ok());
    if (--left > 0) client_->call_async("echo", "hello", {}, again);
  };
  client_->call_async("echo", "hello", {}, again);
  EXPECT_TRUE(eventually([&] { return left == 0; }));
}

// Deadlines and stops.

TEST_F(Async, CancelsACallThatAWorkerRuns) {
  shm::WorkerSeat seat = pool_.worker();
  Future future = call("hello", {.stop = stop_.get_token()});
  const shm::RunningCall running = next(seat);
  stop_.request_stop();
  const Error error = future.get().error();
  EXPECT_EQ(error.code, ErrorCode::kCancelled);
  EXPECT_FALSE(error.retryable) << "it may have run";
  EXPECT_TRUE(seat.cancelled(running));
}

TEST_F(Async, CancelsCallsThatWaitForASlotAndNoOthers) {
  std::vector<Future> sent = fill_slots();
  Future cancelled = call("cancelled", {.stop = stop_.get_token()}), other = call("other");
  EXPECT_TRUE(await_queue());
  stop_.request_stop();
  EXPECT_TRUE(cancelled.get().error().retryable) << "nothing ran";
  const EchoWorker worker(pool_);
  EXPECT_EQ(text_of(other), "other");
}

TEST_F(Async, RefusesACallThatWasCancelledBefore) {
  stop_.request_stop();
  Future future = call("hello", {.stop = stop_.get_token()});
  EXPECT_EQ(code_of(future), ErrorCode::kCancelled);
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(Async, EndsEachCallAtItsOwnDeadline) {
  Future slow = call("slow", {.timeout = kNoTimeout});
  Future quick = call("quick", {.timeout = 20ms});
  Future queued = call("queued", {.timeout = 10ms});
  EXPECT_EQ(code_of(queued), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(code_of(quick), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(slow.wait_for(0s), std::future_status::timeout);
  EXPECT_EQ(pool_.segment().busy_slots(0), 1u);
}

// Whatever comes first: one outcome each, and every slot comes back.
TEST_F(Async, EndsEachCallOnceWhateverRaces) {
  const EchoWorker worker(pool_);
  testing::RandomSource random;
  for (int round = 0; round < effort(400); ++round) {
    std::vector<std::stop_source> stops(6);
    std::vector<Outcome> outcomes(stops.size());
    for (std::size_t i = 0; i < stops.size(); ++i) {
      const std::uint64_t us = random.below(4) == 0 ? random.below(200) : 10'000'000;
      const auto timeout = std::chrono::microseconds(static_cast<std::int64_t>(us));
      client_->call_async("echo", "hello", {.timeout = timeout, .stop = stops[i].get_token()},
                          outcomes[i].callback());
    }
    for (std::uint64_t spins = random.below(300); spins > 0; --spins) shm::cpu_pause();
    for (std::stop_source& stop : stops) stop.request_stop();
    for (const Outcome& outcome : outcomes) ASSERT_TRUE(outcome.await());
    for (const Outcome& outcome : outcomes) {
      ASSERT_EQ(outcome.times, 1);
      ASSERT_THAT(outcome.code.load(), ::testing::AnyOf(ErrorCode::kOk, ErrorCode::kCancelled,
                                                        ErrorCode::kDeadlineExceeded));
    }
  }
  EXPECT_TRUE(all_slots_come_back());
}

// The end of the client, and of others.

TEST_F(Async, CancelsWhatIsUnderWayWhenTheClientGoes) {
  shm::WorkerSeat seat = pool_.worker();
  Outcome running, sent, queued;
  client_->call_async("echo", "running", {}, running.callback());
  const shm::RunningCall call = next(seat);
  client_->call_async("echo", "sent", {}, sent.callback());
  client_->call_async("echo", "queued", {}, queued.callback());
  client_.reset();
  for (const Outcome* outcome : {&running, &sent, &queued}) {
    EXPECT_EQ(outcome->times, 1);
    EXPECT_EQ(outcome->code, ErrorCode::kCancelled);
  }
  EXPECT_TRUE(seat.cancelled(call));
  EXPECT_EQ(pool_.segment().busy_slots(0), 1u) << "but for what the worker has";
  EXPECT_EQ(pool_.pool().line().count_waiting(), 0u);
}

TEST_F(Async, CancelsWhatACallbackBeginsWhenTheClientGoes) {
  Outcome second;
  Client* client = &*client_;
  client->call_async("echo", "first", {}, [&](Result<Reply>) {
    client->call_async("echo", "second", {}, second.callback());
  });
  client_.reset();
  EXPECT_EQ(second.times, 1);
  EXPECT_EQ(second.code, ErrorCode::kCancelled);
}

TEST_F(Async, EndsTheCallOfAWorkerThatDies) {
  shm::WorkerSeat seat = pool_.worker();
  Future future = call("hello");
  (void)next(seat);
  pool_.set_seat(0, SeatState::kLost);
  shm::write_obituary(pool_.segment(), 0, 1, 4242, SIGKILL, "");
  shm::reclaim_worker(pool_.pool(), 0, 1, /*retired=*/false);
  EXPECT_EQ(code_of(future), ErrorCode::kWorkerLost);
}

TEST_F(Async, EndsWhatWaitsForASlotWhenNoWorkerIsLeft) {
  std::vector<Future> sent = fill_slots();
  Future queued = call("queued");
  EXPECT_TRUE(await_queue());
  pool_.set_seat(0, SeatState::kRetired);
  shm::reclaim_worker(pool_.pool(), 0, 1, /*retired=*/true);
  for (Future& future : sent) EXPECT_TRUE(future.get().error().retryable) << "nothing ran";
  EXPECT_EQ(code_of(queued), ErrorCode::kWorkerUnavailable);
}

TEST_F(Async, LooksByItselfBehindABellThatWasScribbledOver) {
  shm::WorkerSeat seat = pool_.worker();
  std::atomic<std::uint32_t>& bell = pool_.segment().client(0).bell;
  Future future = call("hello");
  const shm::RunningCall running = next(seat);
  EXPECT_TRUE(eventually([&] { return bell.load() == shm::OwnerBell::kSleeps; }));
  bell.store(0);
  EchoWorker::echo(seat, running);
  EXPECT_EQ(text_of(future), "hello");
}

TEST_F(Async, GetsForkedInAChild) {
  const EchoWorker worker(pool_);
  Future before = call("hello");
  EXPECT_EQ(text_of(before), "hello");
  testing::ChildProcess child([&] {
    Future future = call("hello");
    const bool forked = code_of(future) == ErrorCode::kForked;
    client_.reset();
    return forked;
  });
  EXPECT_TRUE(child.succeeded());
  Future after = call("hello");
  EXPECT_EQ(text_of(after), "hello");
}

// Refusals.

TEST_F(Async, SaysWhatItDoesNotDo) {
  const Error retried = call("hello", {.idempotent = true, .retry = RetryOptions{}}).get().error();
  EXPECT_EQ(retried.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(retried.message, HasSubstr("leave CallOptions::retry out, and call again"));
  const Error in_session = call("hello", {.session = "user"}).get().error();
  EXPECT_EQ(in_session.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(in_session.message, HasSubstr("use Session::call()"));
  Future nameless = client_->call_async("", "hello");
  EXPECT_EQ(code_of(nameless), ErrorCode::kInvalidArgument);
}

TEST_F(Async, TellsThatAPayloadIsTooLargeWhetherASlotIsFreeOrNot) {
  const std::string large(300 * 1024, 'x');
  Future at_once = call(large);
  EXPECT_EQ(code_of(at_once), ErrorCode::kPayloadTooLarge);
  std::vector<Future> sent = fill_slots();
  Future queued = call(large);
  EXPECT_EQ(code_of(queued), ErrorCode::kPayloadTooLarge);
}

TEST_F(Async, LetsABoundedNumberWaitForASlot) {
  std::vector<Future> calls = fill_slots();
  for (std::size_t i = 0; i < kMaxQueuedCalls; ++i) calls.push_back(call("queued"));
  Future more = call("more");
  EXPECT_EQ(code_of(more), ErrorCode::kPoolSaturated);
  const EchoWorker worker(pool_);
  for (Future& future : calls) EXPECT_EQ(code_of(future), ErrorCode::kOk);
}

TEST_F(Async, AsksTheBreaker) {
  pool_.intern("echo");
  client_.reset();
  client_ = attach({.breaker = BreakerOptions{.failures = 1}});
  Future late = call("late", {.timeout = 1ms});
  EXPECT_EQ(code_of(late), ErrorCode::kDeadlineExceeded);
  const Error refused = call("refused").get().error();
  EXPECT_EQ(refused.code, ErrorCode::kCircuitOpen);
  // The same that call() says, but for how long it takes.
  const std::string said = "the method 'echo' kept failing, and is not called now; ";
  EXPECT_THAT(refused.message, StartsWith(said));
  EXPECT_THAT(client_->call("echo", "refused").error().message, StartsWith(said));
}

TEST_F(Async, CountsEachCallOnce) {
  const EchoWorker worker(pool_);
  Future good = call("hello"), bad = call("hello", {.session = "user"});
  (void)code_of(good), (void)code_of(bad);
  std::uint64_t ended = 0, errors = 0;
  for (const MethodFigures& method : client_->statistics().methods) {
    ended += method.figures.calls;
    errors += method.figures.errors();
  }
  EXPECT_EQ(ended, 2u);
  EXPECT_EQ(errors, 1u);
}

// Other loops.

class Completions : public Async {
 protected:
  bool readable(int timeout_ms = 0) const {
    pollfd waited{queue_.fd(), POLLIN, 0};
    return ::poll(&waited, 1, timeout_ms) == 1;
  }

  CompletionQueue queue_ = CompletionQueue::create().value();
  const EchoWorker worker_{pool_};
};

TEST_F(Completions, RunOnTheThreadThatFindsTheQueueReadable) {
  EXPECT_FALSE(readable());
  std::thread::id ran;
  client_->call_async("echo", "hello", {}, queue_.wrap([&](Result<Reply> reply) {
    EXPECT_EQ(reply.value().text(), "hello");
    ran = std::this_thread::get_id();
  }));
  ASSERT_TRUE(readable(/*timeout_ms=*/50'000));
  EXPECT_EQ(queue_.run_ready(), 1u);
  EXPECT_EQ(ran, std::this_thread::get_id());
  EXPECT_FALSE(readable());
  EXPECT_EQ(queue_.run_ready(), 0u);
}

TEST_F(Completions, OfManyCallsAllRun) {
  int ran = 0;
  for (int i = 0; i < 100; ++i) {
    client_->call_async("echo", "hello", {}, queue_.wrap([&](Result<Reply>) { ++ran; }));
  }
  while (ran < 100) {
    ASSERT_TRUE(readable(/*timeout_ms=*/50'000));
    queue_.run_ready();
  }
}

TEST_F(Completions, AreDroppedWithTheirQueue) {
  auto witness = std::make_shared<int>(0);
  client_->call_async("echo", "hello", {},
                      queue_.wrap([witness](Result<Reply>) { FAIL() << "it ran"; }));
  ASSERT_TRUE(readable(/*timeout_ms=*/50'000));
  queue_ = CompletionQueue::create().value();
  EXPECT_EQ(witness.use_count(), 1);
  EXPECT_TRUE(all_slots_come_back());
}

}  // namespace
}  // namespace slotring
