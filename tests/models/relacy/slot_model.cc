// client_lib/shm/slot.h under weak memory orders: one owner at a time, and each sees what the one
// before wrote: the request, the reply, and its being done with the areas.

#include "client_lib/shm/slot.h"
#include "tests/models/relacy/verdict.h"

namespace slotring::models {
namespace {

using shm::Actor;
using shm::load_slot;
using shm::MoveResult;
using shm::SlotState;
using shm::SlotWord;
using shm::try_claim_slot;
using shm::try_free;
using shm::try_move;
using shm::try_set_flags;

template <class Policy>
struct Slot {
  ModelAtomic<std::uint64_t, Policy> word;
  rl::var<int> request;
  rl::var<int> reply;

  void format() {
    word.store(SlotWord{}.pack(), std::memory_order_relaxed);
    request($) = -1;
    reply($) = -1;
  }
};

SlotWord step(SlotWord word, SlotState state) {
  word.state = state;
  return word;
}

// Three claim; who wins writes the request area and frees the slot again. Two owners at once, or
// one that does not see the other gone, are a data race on the area.
template <class Policy>
struct ClaimRace : rl::test_suite<ClaimRace<Policy>, 3> {
  Slot<Policy> slot;

  void before() { slot.format(); }
  void thread(unsigned index) {
    for (int i = 0; i < 2; ++i) {
      const SlotWord seen = load_slot(slot.word);
      if (seen.state != SlotState::kFree) continue;
      const auto owner = static_cast<std::uint16_t>(index);
      const MoveResult claimed = try_claim_slot(slot.word, seen, owner, (index & 1) != 0);
      if (!claimed.moved) continue;
      slot.request($) = static_cast<int>(index);
      RL_ASSERT(slot.request($) == static_cast<int>(index));
      RL_ASSERT(try_free(slot.word, claimed.after, Actor::kClient).moved);
    }
  }
  void after() { RL_ASSERT(load_slot(slot.word).state == SlotState::kFree); }
};

// A call: request there, reply back; the caller may be impatient, and both may find that the other
// was first. A third sets flags meanwhile, as who pops a stale hint does.
template <class Policy>
struct Call : rl::test_suite<Call<Policy>, 3> {
  Slot<Policy> slot;
  SlotWord claimed;
  rl::var<int> frees;

  void before() {
    slot.format();
    frees($) = 0;
    claimed = try_claim_slot(slot.word, SlotWord{}, 7, true).after;
  }
  void thread(unsigned index) {
    if (index == 0) {
      client();
    } else if (index == 1) {
      worker();
    } else {
      SlotWord seen = load_slot(slot.word);
      (void)try_set_flags(slot.word, seen, seen.flags ^ layout::kFlagListed);
    }
  }
  void after() {
    RL_ASSERT(frees($) == 1);
    const SlotWord word = load_slot(slot.word);
    RL_ASSERT(word.state == SlotState::kFree && word.generation == claimed.generation + 1);
  }

  void client() {
    slot.request($) = 1;
    RL_ASSERT(try_move(slot.word, claimed, SlotState::kRequested, Actor::kClient).moved);
    for (int patience = 0; patience < 3; ++patience) {
      const SlotWord seen = load_slot(slot.word);
      if (seen.state == SlotState::kReplied) return take_reply();
      rl::yield(1, $);
    }
    const SlotWord requested = step(claimed, SlotState::kRequested);
    const SlotWord running = step(claimed, SlotState::kRunning);
    if (try_move(slot.word, requested, SlotState::kClaimed, Actor::kClient).moved) {
      slot.request($) = 2;
      return free(claimed, Actor::kClient);
    }
    if (try_move(slot.word, running, SlotState::kAbandoned, Actor::kClient).moved) return;
    take_reply();
  }
  void take_reply() {
    RL_ASSERT(load_slot(slot.word).same_step(step(claimed, SlotState::kReplied)));
    RL_ASSERT(slot.reply($) == 2);
    free(step(claimed, SlotState::kReplied), Actor::kClient);
  }
  void worker() {
    for (int i = 0; i < 6; ++i) {
      const SlotWord seen = load_slot(slot.word);
      if (seen.state == SlotState::kFree) return;
      if (seen.state == SlotState::kRequested) {
        const MoveResult started = try_move(slot.word, seen, SlotState::kRunning, Actor::kWorker);
        if (started.moved) return serve(started.after);
      }
      rl::yield(1, $);
    }
  }
  void serve(const SlotWord& running) {
    slot.reply($) = slot.request($) + 1;
    const MoveResult replied = try_move(slot.word, running, SlotState::kReplied, Actor::kWorker);
    if (replied.moved) return;
    RL_ASSERT(replied.before.same_step(step(running, SlotState::kAbandoned)));
    free(replied.before, Actor::kWorker);
  }
  void free(const SlotWord& held, Actor actor) {
    // Before the word says so: afterwards another may count.
    frees($) = frees($) + 1;
    RL_ASSERT(try_free(slot.word, held, actor).moved);
  }
};

// The next owner of an area, after a caller that left its call and a worker that let go of it.
template <class Policy>
struct NextOwner : rl::test_suite<NextOwner<Policy>, 2> {
  Slot<Policy> slot;
  SlotWord running;

  void before() {
    slot.format();
    const SlotWord claimed = try_claim_slot(slot.word, SlotWord{}, 7, true).after;
    slot.request($) = 1;
    const SlotWord requested =
        try_move(slot.word, claimed, SlotState::kRequested, Actor::kClient).after;
    running = try_move(slot.word, requested, SlotState::kRunning, Actor::kWorker).after;
  }
  void thread(unsigned index) {
    if (index == 0) {
      RL_ASSERT(slot.request($) == 1);
      const MoveResult replied = try_move(slot.word, running, SlotState::kReplied, Actor::kWorker);
      if (!replied.moved) RL_ASSERT(try_free(slot.word, replied.before, Actor::kWorker).moved);
    } else {
      (void)try_move(slot.word, running, SlotState::kAbandoned, Actor::kClient).moved;
      const SlotWord seen = load_slot(slot.word);
      if (seen.state == SlotState::kFree && try_claim_slot(slot.word, seen, 8, true).moved) {
        slot.request($) = 2;
      }
    }
  }
};

}  // namespace
}  // namespace slotring::models

int main() {
  using namespace slotring::models;
  Verdict verdict;
  verdict.holds<ClaimRace<AsWritten>>("one owner at a time");
  verdict.holds<Call<AsWritten>>("request and reply are seen, and the slot is freed once");
  verdict.holds<NextOwner<AsWritten>>("the next owner comes after the worker let go");
  verdict.is_found<ClaimRace<AllRelaxed>>("canary: claims with relaxed orders");
  verdict.is_found<Call<AllRelaxed>>("canary: calls with relaxed orders");
  verdict.is_found<NextOwner<AllRelaxed>>("canary: abandoned calls with relaxed orders");
  return verdict.exit_status();
}
