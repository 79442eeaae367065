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

TEST(AreaHeader, DescribesAsManyFramesOfALaneAsItHasEntriesBeforeItStartsAgain) {
  AreaHeader header{};
  std::set<const FrameDescriptor*> places;
  for (const Lane lane : {Lane::kStream, Lane::kTools}) {
    const std::uint32_t entries = lane_entries(lane);
    for (std::uint32_t frame = 0; frame < entries; ++frame) {
      places.insert(&header.descriptor(lane, frame));
    }
    EXPECT_EQ(&header.descriptor(lane, entries), &header.descriptor(lane, 0));
  }
  EXPECT_EQ(places.size(), kStreamEntries + kToolEntries);
}

TEST(LaneCount, OfAnotherCallCountsAsNothing) {
  const LaneCount count = LaneCount::unpack(LaneCount{7, 12}.pack());
  EXPECT_EQ(count.in(7), 12u);
  EXPECT_EQ(count.in(8), 0u);
}

TEST(AreaHeader, KeepsAPlainFramesDescriptorAndEnvelopeInOneCacheLine) {
  AreaHeader header{};
  const auto* at = reinterpret_cast<const char*>(&header.first);
  EXPECT_EQ(at - reinterpret_cast<const char*>(&header), kFrameOffset);
  EXPECT_EQ(kFrameOffset % kCacheLineBytes, 0u);
  EXPECT_EQ(kPayloadOffset - kFrameOffset, kCacheLineBytes);
}

}  // namespace
}  // namespace slotring::layout
