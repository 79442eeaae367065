#include "client_lib/shm/data_memory.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "client_lib/shm/frame.h"
#include "client_lib/shm/huge_pages.h"
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

// Huge pages.

constexpr char kNever[] = "always within_size advise [never] deny force";
constexpr char kAdvise[] = "always within_size [advise] never deny force";
constexpr char kInherit[] = "always [inherit] within_size advise never";

TEST(HugePages, AreOfferedWhereTheSettingForAllSizesGivesThem) {
  EXPECT_FALSE(offers_huge_pages(kNever, ""));
  EXPECT_FALSE(offers_huge_pages(kNever, kInherit));
  EXPECT_TRUE(offers_huge_pages(kAdvise, ""));
  EXPECT_TRUE(offers_huge_pages(kAdvise, kInherit));
  EXPECT_TRUE(offers_huge_pages("[always] within_size advise never deny force", kInherit));
}

TEST(HugePages, AreOfferedWhereTheSettingForTheirSizeGivesThem) {
  EXPECT_TRUE(offers_huge_pages(kNever, "always inherit within_size [advise] never"));
  EXPECT_FALSE(offers_huge_pages(kAdvise, "always inherit within_size advise [never]"));
  EXPECT_FALSE(offers_huge_pages("always within_size advise never [deny] force",
                                 "[always] inherit within_size advise never"));
}

TEST(HugePages, AreNotOfferedWhereTheKernelSaysNothing) {
  EXPECT_FALSE(offers_huge_pages("", ""));
  EXPECT_FALSE(offers_huge_pages("advise", "]advise["));
}

// Whatever the system offers.
TEST(HugePages, ChangeNothingForThoseWhoUseTheMemory) {
  Geometry large = testing::small_geometry(1, 2);
  large.area_bytes = 8 << 20;
  const DataMemory memory =
      DataMemory::open(create_data_memory("test", large).value(), large, Access::kReadWrite)
          .value();
  const std::uint64_t before = bytes_in_use(memory.memory());
  FrameWriter writer(memory, 1);
  const std::span<std::byte> space = writer.payload_space(7 << 20).value();
  std::fill(space.begin(), space.end(), std::byte{1});
  writer.trim();
  EXPECT_EQ(bytes_in_use(memory.memory()), before);
}

}  // namespace
}  // namespace slotring::shm
