#include "supervisor/staffing.h"

#include <set>

#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

constexpr std::uint32_t kSlots = 4;

// Of a pool that wants at least one worker.
std::uint32_t started(const Staff& staff, std::uint32_t waiting, bool still = true,
                      std::uint32_t min = 1) {
  return workers_to_start(staff, min, kSlots, waiting, still);
}

TEST(Staffing, EveryPhaseIsOneThingAtMost) {
  std::set<SeatPhase> nothing;
  for (int i = 0; i < kSeatPhases; ++i) {
    const auto phase = static_cast<SeatPhase>(i);
    Staff staff;
    staff.count(phase);
    EXPECT_LE(staff.serving + staff.coming + staff.dormant, 1u) << to_string(phase);
    if (staff.serving + staff.coming + staff.dormant == 0) nothing.insert(phase);
  }
  EXPECT_EQ(nothing,
            (std::set<SeatPhase>{SeatPhase::kVacant, SeatPhase::kFailed, SeatPhase::kRetiring,
                                 SeatPhase::kDraining, SeatPhase::kStopping, SeatPhase::kStopped}));
}

TEST(Staffing, NobodyWaitsNobodyIsStarted) {
  EXPECT_EQ(started({.dormant = 8}, 0), 0u);
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, 0), 0u);
}

TEST(Staffing, TheFirstCallerOfASleepingPoolGetsItsWorkerAtOnce) {
  EXPECT_EQ(started({.dormant = 8}, 1, /*still=*/false, /*min=*/0), 1u);
  EXPECT_EQ(started({.dormant = 8}, 1, /*still=*/false, /*min=*/3), 3u);
  EXPECT_EQ(started({.dormant = 2}, 1, /*still=*/false, /*min=*/3), 2u);
}

TEST(Staffing, AShortWaitBesideWorkersThatServeStartsNothing) {
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, 9, /*still=*/false), 0u);
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, 1, /*still=*/true), 1u);
}

TEST(Staffing, NoMoreAreStartedThanCallersNeed) {
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, kSlots), 1u);
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, kSlots + 1), 2u);
  EXPECT_EQ(started({.serving = 1, .dormant = 8}, 100 * kSlots), 8u);
}

TEST(Staffing, WorkersOnTheirWayCount) {
  EXPECT_EQ(started({.serving = 1, .coming = 1, .dormant = 8}, kSlots), 0u);
  EXPECT_EQ(started({.serving = 1, .coming = 1, .dormant = 8}, kSlots + 1), 1u);
  EXPECT_EQ(started({.coming = 1, .dormant = 8}, 1, /*still=*/true, /*min=*/3), 2u);
}

}  // namespace
}  // namespace slotring::supervisor
