#include "tests/kill_points/canary.h"

namespace slotring::testing::canary {

using layout::SlotWord;
using shm::SlotState;

namespace {

void nothing(Peers&) {}

SlotWord claimed(SlotWord free) {
  return {free.generation, kOperatingClient, SlotState::kClaimed, free.flags};
}

// First taken, then signed: who dies in between leaves a slot that is nobody's.
bool claim_by_two_stores(Peers& p) {
  SlotWord word = p.pool->word(0);
  word.state = SlotState::kClaimed;
  p.pool->set_word(0, word);
  p.pool->set_word(0, claimed(word));
  return true;
}

// Looks, and then takes: who is stopped in between takes what has become another's.
bool claim_without_comparing(Peers& p) {
  const SlotWord word = p.pool->word(0);
  if (word.state != SlotState::kFree) return true;
  p.pool->set_word(0, claimed(word));
  return p.pool->pool().try_release(0, claimed(word), shm::Actor::kClient);
}

// Frees the word and pushes no hint, though the word says that there is one.
bool release_without_a_hint(Peers& p) {
  return shm::try_free(p.pool->pool().word(0), p.pool->word(0), shm::Actor::kClient).moved;
}

const Experiment kExperiments[] = {
    {.operation = {"ClaimByTwoStores", kClientPeer, kNobody, nothing, claim_by_two_stores},
     .cut = Cut::kKill},
    {.operation = {"ClaimWithoutComparing", kClientPeer, kNobody, nothing, claim_without_comparing},
     .cut = Cut::kPause},
    {.operation = {"ReleaseWithoutAHint", kClientPeer, kNobody, [](Peers& p) { p.claim(); },
                   release_without_a_hint},
     .cut = Cut::kPause},
    {.operation = {"ReaperSkipsAbandoned", kWorkerPeer, kNobody,
                   [](Peers& p) {
                     p.start();
                     p.leases.clear();
                   },
                   [](Peers& p) {
                     p.echo();
                     return true;
                   }},
     .cut = Cut::kKill,
     .reaper_skips_abandoned = true},
};

}  // namespace

std::span<const Experiment> experiments() { return kExperiments; }

void reclaim_worker_but_for_abandoned(const shm::SlotPool& pool, shm::SeatIndex seat,
                                      std::uint32_t generation) {
  const shm::ControlSegment& segment = pool.segment();
  const shm::SlotIndex first = segment.first_slot(seat);
  const std::uint32_t slots = segment.geometry().slots_per_worker;
  std::vector<std::uint64_t> kept(slots);
  for (std::uint32_t i = 0; i < slots; ++i) kept[i] = pool.word(first + i).load();
  shm::reclaim_worker(pool, seat, generation, /*retired=*/false);
  for (std::uint32_t i = 0; i < slots; ++i) {
    const bool abandoned = SlotWord::unpack(kept[i]).state == SlotState::kAbandoned;
    if (abandoned) pool.word(first + i).store(kept[i]);
  }
}

}  // namespace slotring::testing::canary
