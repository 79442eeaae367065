// The pages of a pool's memory, after peers that died or broke the rules.

#include "supervisor/pool_memory.h"

#include <gtest/gtest.h>

#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/frame.h"
#include "tests/support/descriptors.h"

namespace slotring::supervisor {
namespace {

using shm::SlotState;
using shm::SlotWord;
using testing::bytes_in_use;

constexpr std::uint64_t kWarm = 4 * layout::kPageBytes;
constexpr std::uint64_t kKept = 16 * layout::kPageBytes;
constexpr layout::Geometry kGeometry{1, 2, 2, 4, 64 * layout::kPageBytes, kWarm, kKept};
constexpr std::uint64_t kLarge = 32 * layout::kPageBytes;

class PoolMemoryTest : public ::testing::Test {
 protected:
  PoolMemoryTest() {
    memory_->segment().seat(0).word.store(layout::SeatWord{1, layout::SeatState::kReady}.pack());
    slots_.publish(0);
  }

  static Log make_log() {
    auto output = LogOutput::open({"error", "/dev/null", LogFormat::kText});
    static const std::unique_ptr<LogOutput> kept = std::move(output).value();
    return kept->make_log("test");
  }
  // What a client has, and what it does with it: as it gets it from the supervisor.
  shm::DataMemory data(wire::Role role) const {
    const bool client = role == wire::Role::Client;
    return shm::DataMemory::open(
               shm::UniqueFd(::dup(memory_->descriptors_for(role)[client ? 1 : 2])), kGeometry,
               shm::Access::kReadWrite)
        .value();
  }
  std::uint64_t pages() const {
    return bytes_in_use(requests_.memory()) + bytes_in_use(replies_.memory());
  }
  void mend() const { memory_->mend(slots_, log_); }

  std::unique_ptr<PoolMemory> memory_ = PoolMemory::create("tested", kGeometry).value();
  shm::SlotPool slots_{memory_->segment()};
  shm::DataMemory requests_ = data(wire::Role::Client);
  shm::DataMemory replies_ = data(wire::Role::Worker);
  Log log_ = make_log();
};

TEST_F(PoolMemoryTest, GivesBackWhatTheDeadReservedForFreeSlots) {
  const std::uint64_t warm = pages();
  (void)shm::FrameWriter(requests_, 0).payload_space(kLarge).value();
  (void)shm::FrameWriter(replies_, 1).payload_space(kLarge).value();
  ASSERT_GE(pages(), warm + 2 * (kLarge - kWarm));
  mend();
  EXPECT_EQ(pages(), warm + 2 * (kKept - kWarm));
  EXPECT_TRUE(slots_.try_claim(0).has_value());
  EXPECT_TRUE(slots_.try_claim(0).has_value());
}

TEST_F(PoolMemoryTest, LeavesThePagesOfSlotsThatAreInUse) {
  const std::optional<shm::Claim> claim = slots_.try_claim(0);
  (void)shm::FrameWriter(requests_, claim->slot).payload_space(kLarge).value();
  const std::uint64_t used = pages();
  mend();
  EXPECT_EQ(pages(), used);
  EXPECT_EQ(shm::load_slot(slots_.word(claim->slot)), claim->word);
}

TEST_F(PoolMemoryTest, ReservesWarmPagesAgainThatAPeerGaveBack) {
  const std::uint64_t warm = pages();
  const shm::UniqueFd& control = memory_->segment().memory();
  const std::uint64_t control_bytes = bytes_in_use(control);
  ASSERT_TRUE(shm::give_back(requests_.memory(), 0, kWarm).ok());
  ASSERT_TRUE(shm::give_back(replies_.memory(), replies_.offset(1), layout::kPageBytes).ok());
  ASSERT_TRUE(shm::give_back(control, layout::kPageBytes, layout::kPageBytes).ok());
  ASSERT_LT(pages(), warm);
  mend();
  EXPECT_EQ(pages(), warm);
  EXPECT_EQ(bytes_in_use(control), control_bytes);
}

// The clients and workers that know of it do not reserve it again.
TEST_F(PoolMemoryTest, LeavesWhatIsKeptBehindTheWarmPart) {
  (void)shm::FrameWriter(requests_, 0).payload_space(kKept / 2).value();
  const std::uint64_t kept = pages();
  mend();
  mend();
  EXPECT_EQ(pages(), kept);
}

TEST_F(PoolMemoryTest, SeesWhatAPeerGaveBackAlsoWhenMemoryIsKept) {
  (void)shm::FrameWriter(requests_, 0).payload_space(kKept / 2).value();
  mend();
  mend();
  const std::uint64_t kept = pages();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(shm::give_back(requests_.memory(), requests_.offset(1), kWarm).ok());
    mend();
    EXPECT_EQ(pages(), kept);
  }
}

}  // namespace
}  // namespace slotring::supervisor
