#include "schemas/area_layout.h"

#include <set>

#include <gtest/gtest.h>

#include "schemas/control_layout.h"
#include "tests/support/random_source.h"

namespace slotring::layout {
namespace {

TEST(PayloadExtent, SurvivesPackingAndUnpacking) {
  testing::RandomSource random;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t packed = random.word();
    ASSERT_EQ(PayloadExtent::unpack(packed).pack(), packed);
  }
}

TEST(PayloadExtent, HoldsTheLargestAreaOfAPool) {
  const PayloadExtent extent{kMaxAreaBytes - 64, kMaxAreaBytes};
  const PayloadExtent read = PayloadExtent::unpack(extent.pack());
  EXPECT_EQ(read.offset, extent.offset);
  EXPECT_EQ(read.bytes, extent.bytes);
}

TEST(AreaHeader, DescribesEightFramesBeforeItStartsAgain) {
  AreaHeader header{};
  std::set<const FrameDescriptor*> places;
  for (std::uint32_t frame = 0; frame < kFrameDescriptors; ++frame) {
    places.insert(&header.descriptor(frame));
  }
  EXPECT_EQ(places.size(), kFrameDescriptors);
  EXPECT_EQ(&header.descriptor(kFrameDescriptors), &header.descriptor(0));
}

TEST(AreaHeader, KeepsAPlainFramesDescriptorAndEnvelopeInOneCacheLine) {
  AreaHeader header{};
  const auto* at = reinterpret_cast<const char*>(&header.descriptor(0));
  EXPECT_EQ(at - reinterpret_cast<const char*>(&header), kFrameOffset);
  EXPECT_EQ(kFrameOffset % kCacheLineBytes, 0u);
  EXPECT_EQ(kPayloadOffset - kFrameOffset, kCacheLineBytes);
}

}  // namespace
}  // namespace slotring::layout
