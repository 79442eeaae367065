#include "supervisor/client_table.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace slotring::supervisor {
namespace {

constexpr layout::Geometry kGeometry{
    1, 2, 3, 4, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};

class ClientTableTest : public ::testing::Test {
 protected:
  layout::ClientRecord& record(std::uint32_t index) const { return segment_.client(index); }
  void set_state(std::uint32_t index, std::uint32_t state) const {
    record(index).state.store(state);
  }

  shm::ControlSegment segment_ = shm::ControlSegment::create("p", kGeometry).value();
  shm::SlotPool pool_{segment_};
  ClientTable table_{pool_};
};

TEST_F(ClientTableTest, TheNextSupervisorFindsPlacesEpochsAndProcesses) {
  ASSERT_TRUE(table_.try_attach("first", 100, 1).has_value());
  ASSERT_TRUE(table_.try_attach("second", 200, 2).has_value());
  table_.reclaim(0);
  ClientTable next(pool_);
  const std::vector<ClientTable::Adopted> adopted = next.adopt();
  ASSERT_EQ(adopted.size(), 1u);
  EXPECT_EQ(adopted[0].index, 1);
  EXPECT_EQ(adopted[0].name, "second");
  EXPECT_EQ(adopted[0].process.pid, 200);
  EXPECT_EQ(adopted[0].process.start_time, 2u);
  EXPECT_FALSE(adopted[0].left);
  EXPECT_EQ(next.attached(), 1u);
  EXPECT_TRUE(next.is_attached(1, 1));
  EXPECT_FALSE(next.is_attached(1, 2));
  EXPECT_FALSE(next.is_attached(0, 1));
  EXPECT_FALSE(next.is_attached(3, 1)) << "there is no such place";
  EXPECT_EQ(next.try_attach("third", 300, 3)->epoch, 2u) << "the place's second client";
}

TEST_F(ClientTableTest, WhoLeftOrWasBeingReclaimedIsReclaimedAgain) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(table_.try_attach("c", 100 + i, 1).has_value());
  set_state(0, static_cast<std::uint32_t>(layout::ClientState::kLeft));
  set_state(1, static_cast<std::uint32_t>(layout::ClientState::kReclaiming));
  set_state(2, 4711);  // scribbled over
  EXPECT_TRUE(table_.has_left(0));
  EXPECT_FALSE(table_.has_left(1));
  ClientTable next(pool_);
  for (const ClientTable::Adopted& adopted : next.adopt()) {
    EXPECT_TRUE(adopted.left) << adopted.index;
    next.reclaim(adopted.index);
  }
  EXPECT_EQ(next.attached(), 0u);
}

TEST_F(ClientTableTest, AScribbledRecordIsReadWithinItsBounds) {
  ASSERT_TRUE(table_.try_attach("c", 100, 1).has_value());
  record(0).name.bytes = 255;
  record(0).pid.store(-1);
  record(0).epoch.store(UINT32_MAX);
  ClientTable next(pool_);
  const std::vector<ClientTable::Adopted> adopted = next.adopt();
  ASSERT_EQ(adopted.size(), 1u);
  EXPECT_EQ(shm::is_alive(adopted[0].process), false);
  next.reclaim(0);
  EXPECT_EQ(next.try_attach("d", 100, 1)->epoch, 0u);
}

}  // namespace
}  // namespace slotring::supervisor
