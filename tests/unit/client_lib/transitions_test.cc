// Every operation that moves a slot, tried on every state of the word: it goes along the documented
// arrow or leaves the word alone.

#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using layout::Actor;
using layout::kNoOwner;
using layout::kSlotStates;
using layout::SlotState;
using layout::SlotWord;
using shm::SlotIndex;

constexpr std::uint16_t kOwner = 2;
constexpr std::uint32_t kGeneration = 1;

constexpr auto kFree = SlotState::kFree;
constexpr auto kClaimed = SlotState::kClaimed;
constexpr auto kRequested = SlotState::kRequested;
constexpr auto kRunning = SlotState::kRunning;
constexpr auto kReplied = SlotState::kReplied;
constexpr auto kAbandoned = SlotState::kAbandoned;

// A pool of one slot, whose client and worker are about to do something with it.
class Bench {
 public:
  Bench() : client_(pool_.client(kOwner)) { pool_.publish(0); }

  const testing::LocalPool& pool() const { return pool_; }
  shm::WorkerSeat& seat() { return seat_; }
  const shm::RunningCall& running() const { return *running_; }
  Lease& lease() { return *lease_; }

  void set(const SlotWord& word) const { pool_.set_word(0, word); }
  SlotWord word() const { return pool_.word(0); }

  void claim() { lease_ = client_->claim(shm::kNever).value(); }
  void submit(shm::MonotonicNs deadline = shm::kNever) {
    lease_ = testing::submit(*client_, "hi", deadline).value();
  }
  void start() {
    submit();
    running_ = seat_.try_next().value();
  }
  void finish() {
    start();
    testing::EchoWorker::echo(seat_, *running_);
    (void)lease_->wait().value();
  }

 private:
  testing::LocalPool pool_{testing::small_geometry(1, 1)};
  std::unique_ptr<internal::ClientCore> client_;
  shm::WorkerSeat seat_ = pool_.worker();
  std::optional<shm::RunningCall> running_;
  std::optional<Lease> lease_;
};

struct Operation {
  const char* name;
  Actor actor;
  std::function<void(Bench&)> prepare;
  std::function<void(Bench&)> run;
  SlotState expected[kSlotStates];  // from FREE, CLAIMED, REQUESTED, RUNNING, REPLIED, ABANDONED
  bool bound_to_its_call = true;    // else it takes any owner's or generation's
};

std::ostream& operator<<(std::ostream& out, const Operation& o) { return out << o.name; }

void nothing(Bench&) {}

const std::vector<Operation>& operations() {
  static const std::vector<Operation> kAll{
      {"Claim",
       Actor::kClient,
       nothing,
       [](Bench& b) { (void)b.pool().pool().try_claim(kOwner).has_value(); },
       {kClaimed, kClaimed, kRequested, kRunning, kReplied, kAbandoned},
       false},
      {"ClaimLast",
       Actor::kClient,
       nothing,
       [](Bench& b) { (void)b.pool().pool().try_claim(kOwner, 0).has_value(); },
       {kClaimed, kClaimed, kRequested, kRunning, kReplied, kAbandoned},
       false},
      {"ClaimWaiting",
       Actor::kClient,
       nothing,
       [](Bench& b) { (void)b.pool().pool().claim(kOwner, shm::kNoSlot, 1).ok(); },
       {kClaimed, kClaimed, kRequested, kRunning, kReplied, kAbandoned},
       false},
      {"Submit",
       Actor::kClient,
       [](Bench& b) { b.claim(); },
       [](Bench& b) { (void)b.lease().submit("echo", PayloadKind::kEmpty, 0).ok(); },
       {kFree, kRequested, kRequested, kRunning, kReplied, kAbandoned}},
      {"ReleaseClaimed",
       Actor::kClient,
       [](Bench& b) { b.claim(); },
       [](Bench& b) { b.lease().release(); },
       {kFree, kFree, kRequested, kRunning, kReplied, kAbandoned}},
      // REQUESTED goes through CLAIMED.
      {"ReleaseSubmitted",
       Actor::kClient,
       [](Bench& b) { b.submit(); },
       [](Bench& b) { b.lease().release(); },
       {kFree, kClaimed, kFree, kAbandoned, kFree, kAbandoned}},
      {"WaitTooLong",
       Actor::kClient,
       [](Bench& b) { b.submit(1); },
       [](Bench& b) { (void)b.lease().wait().ok(); },
       {kFree, kClaimed, kFree, kAbandoned, kFree, kAbandoned}},
      {"ReleaseReplied",
       Actor::kClient,
       [](Bench& b) { b.finish(); },
       [](Bench& b) { b.lease().release(); },
       {kFree, kClaimed, kRequested, kRunning, kFree, kAbandoned}},
      {"TryNext",
       Actor::kWorker,
       [](Bench& b) { b.submit(); },
       [](Bench& b) { (void)b.seat().try_next().has_value(); },
       {kFree, kClaimed, kRunning, kRunning, kReplied, kAbandoned},
       false},
      {"Reply",
       Actor::kWorker,
       [](Bench& b) { b.start(); },
       [](Bench& b) { (void)b.seat().reply(b.running(), wire::PayloadKind::Empty, 0).ok(); },
       {kFree, kClaimed, kRequested, kReplied, kReplied, kFree}},
      {"Fail",
       Actor::kWorker,
       [](Bench& b) { b.start(); },
       [](Bench& b) {
         b.seat().fail(b.running(), Error{ErrorCode::kHandlerRaised, "no"});
       },
       {kFree, kClaimed, kRequested, kReplied, kReplied, kFree}},
      {"ReclaimClient",
       Actor::kReaper,
       nothing,
       [](Bench& b) { shm::reclaim_client(b.pool().pool(), kOwner); },
       {kFree, kFree, kFree, kAbandoned, kFree, kAbandoned},
       false},
      {"ReclaimWorker",
       Actor::kReaper,
       nothing,
       [](Bench& b) { shm::reclaim_worker(b.pool().pool(), 0, 1, /*retired=*/false); },
       {kFree, kClaimed, kRequested, kReplied, kReplied, kFree},
       false},
      {"ReclaimRetiredWorker",
       Actor::kReaper,
       nothing,
       [](Bench& b) { shm::reclaim_worker(b.pool().pool(), 0, 1, /*retired=*/true); },
       {kFree, kClaimed, kReplied, kReplied, kReplied, kFree},
       false},
  };
  return kAll;
}

class Transition : public ::testing::TestWithParam<Operation> {
 protected:
  // What becomes of `word` when the operation comes upon it.
  static SlotWord run_on(const SlotWord& word) {
    Bench bench;
    GetParam().prepare(bench);
    bench.set(word);
    GetParam().run(bench);
    const SlotWord after = bench.word();
    // A lease that still believes it has the slot must find it gone when it goes.
    bench.set({99, 99, kAbandoned, 0});
    return after;
  }
  static SlotWord word_in(SlotState state) {
    // The first call of a slot has generation 0, the one after finish() generation 0 as well.
    return state == kFree ? SlotWord{0, kNoOwner, kFree, 0} : SlotWord{0, kOwner, state, 0};
  }
};

TEST_P(Transition, GoesAlongItsArrowOrLeavesTheWordAlone) {
  for (int from = 0; from < kSlotStates; ++from) {
    const SlotWord before = word_in(static_cast<SlotState>(from));
    const SlotState expected = GetParam().expected[from];
    const SlotWord after = run_on(before);
    EXPECT_EQ(after.state, expected) << "from " << to_string(before.state);
    if (expected == before.state && GetParam().actor != Actor::kReaper) {
      EXPECT_EQ(after, before) << "from " << to_string(before.state);
    }
  }
}

TEST_P(Transition, GrowsTheGenerationOnItsWayToFreeAndKeepsItElse) {
  for (int from = 0; from < kSlotStates; ++from) {
    const SlotWord before = word_in(static_cast<SlotState>(from));
    const bool freed = before.state != kFree && GetParam().expected[from] == kFree;
    const SlotWord after = run_on(before);
    EXPECT_EQ(after.generation, before.generation + (freed ? 1 : 0)) << to_string(before.state);
    EXPECT_EQ(after.owner == kNoOwner, after.state == kFree) << to_string(before.state);
  }
}

TEST_P(Transition, LeavesAnotherCallsWordAlone) {
  if (!GetParam().bound_to_its_call) return;
  for (int from = 0; from < kSlotStates; ++from) {
    const SlotWord later{kGeneration, kOwner, static_cast<SlotState>(from), 0};
    EXPECT_EQ(run_on(later), later) << to_string(later.state);
    const SlotWord others{0, kOwner + 1, static_cast<SlotState>(from), 0};
    EXPECT_EQ(run_on(others), others) << to_string(others.state);
  }
}

INSTANTIATE_TEST_SUITE_P(OfEachOperation, Transition, ::testing::ValuesIn(operations()),
                         [](const auto& operation) { return std::string(operation.param.name); });

TEST(Transitions, CoverEveryArrowByEveryActor) {
  for (const layout::Arrow& arrow : layout::kArrows) {
    for (const Actor actor : {Actor::kClient, Actor::kWorker, Actor::kReaper}) {
      if (!layout::is_legal(arrow.from, arrow.to, actor)) continue;
      // Taking a request back ends at once, in FREE.
      const SlotState seen_as = arrow.to == kClaimed && arrow.from == kRequested ? kFree : arrow.to;
      bool covered = false;
      for (const Operation& o : operations()) {
        covered =
            covered || (o.actor == actor && o.expected[static_cast<int>(arrow.from)] == seen_as);
      }
      EXPECT_TRUE(covered) << arrow.meaning;
    }
  }
}

TEST(Transitions, AreAllAllowed) {
  for (const Operation& o : operations()) {
    for (int from = 0; from < kSlotStates; ++from) {
      const auto before = static_cast<SlotState>(from);
      const SlotState after = o.expected[from];
      const bool taken_back = before == kRequested && after == kFree;
      EXPECT_TRUE(before == after || taken_back || is_legal(before, after, o.actor)) << o.name;
    }
  }
}

}  // namespace
}  // namespace slotring
