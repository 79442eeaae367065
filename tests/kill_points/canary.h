// Seeded bugs, each of a kind that the kill points are there to find.

#ifndef SLOTRING_TESTS_KILL_POINTS_CANARY_H_
#define SLOTRING_TESTS_KILL_POINTS_CANARY_H_

#include <span>

#include "tests/kill_points/experiment.h"

namespace slotring::testing::canary {

// Experiments of which each must find damage at some point.
std::span<const Experiment> experiments();

// reclaim_worker(), with the bug that it passes over ABANDONED slots.
void reclaim_worker_but_for_abandoned(const shm::SlotPool& pool, shm::SeatIndex seat,
                                      std::uint32_t generation);

}  // namespace slotring::testing::canary

#endif  // SLOTRING_TESTS_KILL_POINTS_CANARY_H_
