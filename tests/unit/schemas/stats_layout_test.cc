#include "schemas/stats_layout.h"

#include <gtest/gtest.h>

namespace slotring::layout {
namespace {

TEST(LatencyBucket, BeginsWhereItSaysAndEndsBeforeTheNext) {
  for (std::uint32_t bucket = 1; bucket < kLatencyBuckets; ++bucket) {
    const std::uint64_t begin = bucket_begin_ns(bucket);
    EXPECT_EQ(latency_bucket(begin), bucket);
    EXPECT_EQ(latency_bucket(begin - 1), bucket - 1);
  }
}

TEST(LatencyBucket, TakesWhatIsShorterOrLongerThanAll) {
  EXPECT_EQ(latency_bucket(0), 0u);
  EXPECT_EQ(latency_bucket(~std::uint64_t{0}), kLatencyBuckets - 1);
  EXPECT_EQ(bucket_begin_ns(0), 0u);
}

TEST(LatencyBucket, IsAtMostHalfAsLongAgainAsItBegins) {
  for (std::uint32_t bucket = 1; bucket + 1 < kLatencyBuckets; ++bucket) {
    EXPECT_LE(2 * bucket_begin_ns(bucket + 1), 3 * bucket_begin_ns(bucket));
  }
}

}  // namespace
}  // namespace slotring::layout
