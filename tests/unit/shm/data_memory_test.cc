#include "client_lib/shm/data_memory.h"

#include <gtest/gtest.h>

#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using testing::bytes_in_use;

const Geometry kGeometry = testing::small_geometry(2, 3);

class DataMemoryTest : public ::testing::Test {
 protected:
  Result<DataMemory> open(const Geometry& geometry, Access access = Access::kReadWrite) const {
    return DataMemory::open(shm::duplicate(memory_), geometry, access);
  }

  UniqueFd memory_ = create_data_memory("test", kGeometry).value();
};

TEST_F(DataMemoryTest, BacksTheWarmPartOfEveryAreaAndNoMore) {
  EXPECT_EQ(bytes_in_use(memory_), kGeometry.slots() * kGeometry.warm_bytes);
}

TEST_F(DataMemoryTest, GivesEachSlotAnAreaOfItsOwnAtAPage) {
  const DataMemory memory = open(kGeometry).value();
  for (SlotIndex slot = 0; slot < kGeometry.slots(); ++slot) {
    EXPECT_EQ(memory.area(slot), memory.area(0) + slot * kGeometry.area_bytes);
    EXPECT_EQ(memory.offset(slot) % layout::kPageBytes, 0u);
  }
}

TEST_F(DataMemoryTest, MapsOneAreaOnItsOwn) {
  const DataMemory memory = open(kGeometry).value();
  memory.area(4)[17] = std::byte{42};
  const Mapping area = memory.map_area(4).value();
  EXPECT_EQ(area.size(), kGeometry.area_bytes);
  EXPECT_EQ(area.data()[17], std::byte{42});
}

TEST_F(DataMemoryTest, IsRefusedWithAGeometryOfAnotherSize) {
  EXPECT_EQ(open(testing::small_geometry(2, 4)).error().code, ErrorCode::kBadSegment);
}

TEST_F(DataMemoryTest, IsNotWrittenThroughAReadOnlyDescriptor) {
  const UniqueFd read_only = reopen_read_only(memory_).value();
  EXPECT_TRUE(DataMemory::open(shm::duplicate(read_only), kGeometry, Access::kReadOnly).ok());
  EXPECT_FALSE(DataMemory::open(shm::duplicate(read_only), kGeometry, Access::kReadWrite).ok());
}

}  // namespace
}  // namespace slotring::shm
