#include "supervisor/wake_meter.h"

#include <gtest/gtest.h>

#include "client_lib/shm/waiting_policy.h"

namespace slotring::supervisor {
namespace {

TEST(WakeMeter, MeasuresOnceAndWithinBounds) {
  const std::uint32_t once = measured_wake_ns();
  EXPECT_GE(once, shm::kLeastWakeNs);
  EXPECT_LE(once, shm::kMostWakeNs);
  EXPECT_EQ(measured_wake_ns(), once);
}

}  // namespace
}  // namespace slotring::supervisor
