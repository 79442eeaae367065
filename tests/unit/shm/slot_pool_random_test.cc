// Random operations on a pool, against a reference that knows who has which slot.

#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/shm/reclaim.h"
#include "client_lib/shm/slot_pool.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using layout::kFlagListed;
using layout::SeatState;
using testing::LocalPool;

constexpr std::uint32_t kWorkers = 3;
constexpr std::uint32_t kSlotsAWorker = 3;
constexpr std::uint32_t kSlots = kWorkers * kSlotsAWorker;

class RandomPool : public ::testing::Test {
 protected:
  RandomPool() : local_(testing::small_geometry(kWorkers, kSlotsAWorker)), generations_(kSlots, 0) {
    local_.publish_all();
  }

  void claim() {
    const auto owner = static_cast<std::uint16_t>(random_.below(5));
    const SlotIndex last = random_.one_in(2) ? random_.below(kSlots) : kNoSlot;
    const auto claim = pool().try_claim(owner, last);
    ASSERT_TRUE(claim || claimable() == 0 || rings_may_be_full_)
        << "a free slot of a ready worker was hidden";
    if (!claim) return;
    ASSERT_EQ(held_.count(claim->slot), 0u);
    ASSERT_TRUE(ready(local_.segment().seat_of(claim->slot)));
    ASSERT_EQ(claim->word.generation, generations_[claim->slot]);
    ASSERT_EQ(claim->word.owner, owner);
    held_[claim->slot] = claim->word;
  }
  void release() {
    if (held_.empty()) return;
    const auto held = std::next(held_.begin(), random_.below(held_.size()));
    ASSERT_TRUE(pool().try_release(held->first, held->second, Actor::kClient));
    ++generations_[held->first];
    held_.erase(held);
  }
  void change_a_seat() {
    const SeatIndex seat = random_.below(kWorkers);
    if (ready(seat)) {
      local_.set_seat(seat, random_.one_in(2) ? SeatState::kLost : SeatState::kDraining);
    } else {
      local_.publish(seat);
    }
  }
  void push_a_wrong_hint() { pool().push_hint(random_.below(kSlots), random_.below(4)); }
  void lose_a_hint() { (void)local_.segment().free_ring(random_.below(4)).try_pop(); }

  bool ready(SeatIndex seat) const {
    return local_.segment().seat_word(seat).state == SeatState::kReady;
  }
  std::uint32_t claimable() const {
    std::uint32_t count = 0;
    for (SlotIndex slot = 0; slot < kSlots; ++slot) {
      count += held_.count(slot) == 0 && ready(local_.segment().seat_of(slot));
    }
    return count;
  }
  std::vector<int> hints() const {
    std::vector<int> found(kSlots, 0);
    for (std::uint32_t depth = 0; depth < local_.segment().free_ring_count(); ++depth) {
      local_.segment().free_ring(depth).for_each([&](std::uint32_t slot) { ++found[slot]; });
    }
    return found;
  }
  // Words are the truth: they say what the reference says.
  void check_words() const {
    for (SlotIndex slot = 0; slot < kSlots; ++slot) {
      const auto held = held_.find(slot);
      const SlotWord word = local_.word(slot);
      ASSERT_EQ(word.generation, generations_[slot]);
      ASSERT_TRUE(held == held_.end() ? word.state == SlotState::kFree
                                      : word.same_step(held->second));
    }
  }
  // A slot that could be claimed has a hint; who says `listed` has one, too.
  void check_hints() const {
    const std::vector<int> found = hints();
    for (SlotIndex slot = 0; slot < kSlots; ++slot) {
      const bool free = local_.state(slot) == SlotState::kFree;
      const bool claimable = free && ready(local_.segment().seat_of(slot));
      ASSERT_TRUE(found[slot] > 0 || !claimable) << slot;
      ASSERT_TRUE(found[slot] > 0 || !local_.word(slot).has(kFlagListed)) << slot;
    }
  }
  void take_one_step() {
    switch (random_.below(8)) {
      case 0:
        return change_a_seat();
      case 1:
      case 2:
      case 3:
        return release();
      default:
        return claim();
    }
  }
  const SlotPool& pool() const { return local_.pool(); }

  LocalPool local_;
  std::vector<std::uint32_t> generations_;
  std::map<SlotIndex, SlotWord> held_;
  testing::RandomSource random_;
  bool rings_may_be_full_ = false;  // a slot released then is left to scans
};

TEST_F(RandomPool, HidesNoFreeSlotOfAReadyWorker) {
  for (int step = 0; step < testing::effort(40'000) && !HasFatalFailure(); ++step) {
    take_one_step();
    check_words();
    check_hints();
  }
}

TEST_F(RandomPool, HasAtMostOneHintASlotWhileNoWorkerComesOrGoes) {
  for (int step = 0; step < testing::effort(40'000) && !HasFatalFailure(); ++step) {
    random_.one_in(2) ? claim() : release();
    for (const int count : hints()) ASSERT_LE(count, 1);
  }
}

TEST_F(RandomPool, IsSoundThoughHintsAreWrong) {
  rings_may_be_full_ = true;
  for (int step = 0; step < testing::effort(40'000) && !HasFatalFailure(); ++step) {
    if (random_.one_in(4)) push_a_wrong_hint();
    take_one_step();
    check_words();
  }
}

TEST_F(RandomPool, FindsEverySlotAgainByAnAuditAfterHintsWereLost) {
  for (int step = 0; step < testing::effort(20'000) && !HasFatalFailure(); ++step) {
    if (random_.one_in(16)) {
      for (std::uint32_t lost = random_.below(6); lost > 0; --lost) lose_a_hint();
      audit_hints(pool());
      check_hints();
    }
    take_one_step();
    check_words();
  }
}

}  // namespace
}  // namespace slotring::shm
