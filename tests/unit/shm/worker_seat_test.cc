#include "client_lib/shm/worker_seat.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/descriptors.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using testing::bytes_in_use;
using testing::EchoWorker;
using testing::eventually;
using testing::LocalPool;
using testing::soon;
using testing::submit;
using testing::text_of;

class WorkerSeatTest : public ::testing::Test {
 protected:
  explicit WorkerSeatTest(std::uint32_t slots = 4) : pool_(testing::small_geometry(1, slots)) {
    pool_.publish_all();
    pool_.intern("echo");
  }

  Lease request(std::string_view text, MonotonicNs deadline = kNever,
                std::string_view method = "echo") {
    return submit(*client_, text, deadline, method).value();
  }
  static std::string text(const RunningCall& call) { return testing::text_of(call); }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  WorkerSeat seat_ = pool_.worker();
};

TEST_F(WorkerSeatTest, FindsNothingWhenNothingIsRequested) {
  EXPECT_FALSE(seat_.try_next().has_value());
  EXPECT_FALSE(seat_.pending());
  EXPECT_EQ(seat_.busy_slots(), 0u);
}

TEST_F(WorkerSeatTest, RunsARequestAsItWasSent) {
  const Lease lease = request("hello", soon(10'000));
  EXPECT_TRUE(seat_.pending());
  const RunningCall call = seat_.try_next().value();
  EXPECT_EQ(text(call), "hello");
  EXPECT_EQ(call.head.method, 1);
  EXPECT_EQ(call.head.kind, wire::PayloadKind::Bytes);
  EXPECT_GT(call.head.deadline_ns, monotonic_now());
  EXPECT_EQ(pool_.state(call.slot), SlotState::kRunning);
}

TEST_F(WorkerSeatTest, RunsEachRequestOnce) {
  const Lease lease = request("hello");
  EXPECT_TRUE(seat_.try_next().has_value());
  EXPECT_FALSE(seat_.try_next().has_value());
}

TEST_F(WorkerSeatTest, RunsSeveralRequestsAtATime) {
  std::set<std::string> sent{"a", "b", "c", "d"}, run;
  std::vector<Lease> leases;
  for (const std::string& text : sent) leases.push_back(request(text));
  while (const auto call = seat_.try_next()) run.insert(text(*call));
  EXPECT_EQ(run, sent);
}

TEST_F(WorkerSeatTest, ReadsAMethodsNameOnlyWhenItHasNoId) {
  const Lease known = request("x", kNever, "echo"), unknown = request("y", kNever, "classify");
  for (int i = 0; i < 2; ++i) {
    const RunningCall call = seat_.try_next().value();
    EXPECT_EQ(call.method_name, call.head.method == 0 ? "classify" : "");
  }
}

TEST_F(WorkerSeatTest, TakesItsPredecessorsRequestsThoughNobodyRingsAgain) {
  const Lease lease = request("hello");
  EXPECT_EQ(pool_.segment().seat(0).bell.exchange(0), 1u) << "taken by the one that died";
  WorkerSeat successor = pool_.worker();
  EXPECT_EQ(text(successor.try_next().value()), "hello");
}

TEST_F(WorkerSeatTest, AnswersALateRequestItselfSoThatNoHandlerSeesIt) {
  const MonotonicNs deadline = soon(1);
  Lease lease = request("hello", deadline);
  EXPECT_TRUE(eventually([&] { return coarse_now() > deadline; }));
  EXPECT_FALSE(seat_.try_next().has_value());
  EXPECT_EQ(pool_.state(0), SlotState::kReplied);
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(WorkerSeatTest, CountsItsCallsByOutcomeAndServiceTime) {
  const layout::CallStats& stats = pool_.segment().seat_stats(0);
  const MonotonicNs deadline = soon(1);
  const Lease good = request("a"), bad = request("b"), late = request("c", deadline);
  EXPECT_TRUE(eventually([&] { return monotonic_now() > deadline; }));
  std::vector<RunningCall> calls;
  while (const auto call = seat_.try_next()) calls.push_back(*call);
  ASSERT_EQ(calls.size(), 2u);
  const MonotonicNs begin = monotonic_now();
  EXPECT_TRUE(eventually([&] { return monotonic_now() > begin + 2'000'000; }));
  ASSERT_TRUE(seat_.reply(calls[0], wire::PayloadKind::Empty, 0).ok());
  EXPECT_GE(stats.total_ns.load(), 2'000'000u);
  EXPECT_EQ(stats.latency[0].load(), 1u) << "the one that was refused took no time";
  seat_.fail(calls[1], Error{ErrorCode::kHandlerRaised, "no"});
  EXPECT_EQ(stats.ended[0].load(), 1u);
  EXPECT_EQ(stats.ended[static_cast<int>(ErrorCategory::kHandler)].load(), 1u);
  EXPECT_EQ(stats.ended[static_cast<int>(ErrorCategory::kTimeout)].load(), 1u);
  EXPECT_GE(stats.total_ns.load(), 4'000'000u) << "both ran all the while";
}

TEST_F(WorkerSeatTest, AnswersABadRequestItselfSoThatNoHandlerSeesIt) {
  Lease lease = request("hello");
  std::memset(pool_.requests().area(0), 0xFF, layout::kPayloadOffset);
  EXPECT_FALSE(seat_.try_next().has_value());
  const Error error = lease.wait().error();
  EXPECT_EQ(error.code, ErrorCode::kBadFrame);
  EXPECT_EQ(error.message, "the frame's payload lies outside the slot's area");
  EXPECT_EQ(seat_.segment().seat(0).errors.load(), 1u);
}

TEST_F(WorkerSeatTest, AnswersARequestOfAnOldGenerationAsBad) {
  Lease lease = request("hello");
  FrameWriter(pool_.requests(), 0).commit({.generation = 99}, 0).value();
  EXPECT_FALSE(seat_.try_next().has_value());
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kBadFrame);
}

TEST_F(WorkerSeatTest, GoesOnAfterABadRequest) {
  const Lease bad = request("bad"), good = request("good");
  std::memset(pool_.requests().area(0), 0xFF, layout::kPayloadOffset);
  EXPECT_EQ(text(seat_.try_next().value()), "good");
}

TEST_F(WorkerSeatTest, GivesSpaceForTheLargestReplyAndNoMore) {
  const Lease lease = request("hello");
  const RunningCall call = seat_.try_next().value();
  EXPECT_EQ(seat_.reply_space(call, seat_.max_reply_bytes()).value().size(),
            seat_.max_reply_bytes());
  EXPECT_EQ(seat_.reply_space(call, seat_.max_reply_bytes() + 1).error().code,
            ErrorCode::kPayloadTooLarge);
}

TEST_F(WorkerSeatTest, SaysWhetherItsCallerHasGone) {
  Lease lease = request("hello");
  const RunningCall call = seat_.try_next().value();
  EXPECT_FALSE(seat_.cancelled(call));
  lease.release();
  EXPECT_TRUE(seat_.cancelled(call));
}

TEST_F(WorkerSeatTest, FreesASlotThatItsCallerAbandonedOnce) {
  Lease lease = request("hello");
  const RunningCall call = seat_.try_next().value();
  lease.release();
  EXPECT_TRUE(seat_.reply(call, wire::PayloadKind::Empty, 0).ok());
  const SlotWord freed = pool_.word(call.slot);
  EXPECT_EQ(freed.state, SlotState::kFree);
  EXPECT_EQ(freed.generation, call.word.generation + 1);
  EXPECT_TRUE(seat_.reply(call, wire::PayloadKind::Empty, 0).ok());
  EXPECT_EQ(pool_.word(call.slot), freed) << "a second reply reaches nobody";
}

TEST_F(WorkerSeatTest, CountsItsCallsAndItsErrors) {
  std::vector<Lease> leases;
  for (int i = 0; i < 3; ++i) leases.push_back(request("hello"));
  EchoWorker::echo(seat_, seat_.try_next().value());
  EchoWorker::echo(seat_, seat_.try_next().value());
  seat_.fail(seat_.try_next().value(), Error{ErrorCode::kHandlerRaised, "no"});
  EXPECT_EQ(seat_.segment().seat(0).calls.load(), 3u);
  EXPECT_EQ(seat_.segment().seat(0).errors.load(), 1u);
}

TEST_F(WorkerSeatTest, GivesARequestAreaAwayAndReadsLaterRequestsInAnother) {
  Lease first = request("first");
  const RunningCall call = seat_.try_next().value();
  Mapping kept = seat_.give_request_area(call).value();
  EXPECT_TRUE(kept.make_private(layout::kPayloadOffset + 1000, Mapping::Contents::kSame).ok());
  EXPECT_TRUE(seat_.reply(call, wire::PayloadKind::Empty, 0).ok());
  first.release();
  const Lease second = request("other");
  EXPECT_EQ(text(seat_.try_next().value()), "other");
  EXPECT_EQ(text(call), "first") << "whoever still looks at it sees what it saw";
}

TEST_F(WorkerSeatTest, GivesAwayNoAreaOfAnotherSlot) {
  const Lease lease = request("hello");
  const RunningCall call = seat_.try_next().value();
  const Mapping kept = seat_.give_request_area(call).value();
  EXPECT_LE(kept.data(), call.payload.data());
  EXPECT_GT(kept.data() + kept.size(), call.payload.data());
}

// Memory of large replies, which only the worker can give back.

TEST_F(WorkerSeatTest, GivesBackWhatALargeReplyTookOnceItIsRead) {
  const UniqueFd& replies = pool_.replies().memory();
  const std::uint64_t before = bytes_in_use(replies);
  EchoWorker worker(pool_);
  Lease lease = request(std::string(200'000, 'x'));
  EXPECT_EQ(text_of(lease.wait().value()).size(), 200'000u);
  EXPECT_GE(bytes_in_use(replies), before + 200'000 - pool_.replies().kept_bytes());
  lease.release();
  EXPECT_TRUE(eventually([&] { return bytes_in_use(replies) == before; }));
}

TEST_F(WorkerSeatTest, LeavesALargeReplyAloneUntilItIsRead) {
  const std::string large(200'000, 'x');
  Lease lease = request(large);
  EchoWorker::echo(seat_, seat_.try_next().value());
  seat_.wait(soon(1));  // it looks what there is to give back
  EXPECT_EQ(text_of(lease.wait().value()), large);
}

TEST_F(WorkerSeatTest, HasTheSupervisorLookForWhatAnAbandonedLargeRequestTook) {
  const auto bell = [&] { return pool_.segment().header().audit_bell.load(); };
  for (const std::size_t bytes : {std::size_t{10}, std::size_t{200'000}}) {
    const std::uint32_t before = bell();
    {
      const Lease lease = request(std::string(bytes, 'x'));
      const RunningCall call = seat_.try_next().value();
      ASSERT_TRUE(pool_.pool().try_abandon(call.slot, call.word, Actor::kClient));
      EchoWorker::echo(seat_, call);
    }
    EXPECT_EQ(bell() != before, bytes > pool_.requests().kept_bytes());
  }
}

// Waiting.

TEST_F(WorkerSeatTest, WaitsUntilItsDeadline) {
  (void)seat_.try_next();
  const MonotonicNs deadline = soon(5);
  seat_.wait(deadline);
  EXPECT_GE(monotonic_now(), deadline);
}

TEST_F(WorkerSeatTest, DoesNotWaitWhileSomethingIsPending) {
  const Lease lease = request("hello");
  seat_.wait(kNever);
  EXPECT_TRUE(seat_.try_next().has_value());
}

TEST_F(WorkerSeatTest, IsWokenByARequest) {
  (void)seat_.try_next();
  std::thread worker([&] {
    seat_.wait(kNever);
    EXPECT_EQ(text(seat_.try_next().value()), "hello");
  });
  EXPECT_TRUE(eventually([&] { return pool_.segment().seat(0).bell.load() != 0; })) << "asleep";
  const Lease lease = request("hello");
  worker.join();
}

TEST_F(WorkerSeatTest, IsWokenByAnInterrupt) {
  (void)seat_.try_next();
  std::thread worker([&] { seat_.wait(kNever); });
  seat_.interrupt();
  worker.join();
}

TEST_F(WorkerSeatTest, EndsItsNextWaitByAnInterruptThatCameBefore) {
  (void)seat_.try_next();
  seat_.interrupt();
  seat_.wait(kNever);
}

TEST_F(WorkerSeatTest, EndsItsNextWaitThoughTheInterruptCameWithARequest) {
  const Lease lease = request("hello");
  seat_.interrupt();
  EXPECT_TRUE(seat_.try_next().has_value());
  EXPECT_FALSE(seat_.try_next().has_value());
  seat_.wait(kNever);
}

TEST_F(WorkerSeatTest, WaitsAgainAfterAnInterrupt) {
  seat_.interrupt();
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(seat_.try_next().has_value());
    seat_.wait(soon(1));
  }
  const MonotonicNs deadline = soon(5);
  seat_.wait(deadline);
  EXPECT_GE(monotonic_now(), deadline) << "an interrupt is no busy loop";
}

// More slots than the bell has bits.

class WideSeat : public WorkerSeatTest {
 protected:
  WideSeat() : WorkerSeatTest(layout::kMaxSlotsPerWorker) {}
};

TEST_F(WideSeat, RunsEveryRequestThoughSlotsShareBits) {
  std::vector<Lease> leases;
  for (std::uint32_t i = 0; i < layout::kMaxSlotsPerWorker; ++i) leases.push_back(request("x"));
  std::set<SlotIndex> run;
  while (const auto call = seat_.try_next()) EXPECT_TRUE(run.insert(call->slot).second);
  EXPECT_EQ(run.size(), layout::kMaxSlotsPerWorker);
}

TEST_F(WideSeat, StarvesNoSlotWhileOthersAreAlwaysRequested) {
  const Lease patient = request("patient");
  std::vector<Lease> busy;
  for (int i = 0; i < 20; ++i) busy.push_back(request("busy"));
  bool served = false;
  for (std::uint32_t i = 0; i < 2 * layout::kMaxSlotsPerWorker && !served; ++i) {
    const RunningCall call = seat_.try_next().value();
    served = text(call) == "patient";
    EchoWorker::echo(seat_, call);
    busy.push_back(request("busy"));
  }
  EXPECT_TRUE(served);
}

}  // namespace
}  // namespace slotring::shm
