#include "schemas/control_layout.h"

#include <algorithm>
#include <bit>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/random_source.h"

namespace slotring::layout {
namespace {

constexpr Geometry kGood{.max_workers = 4,
                         .slots_per_worker = 4,
                         .max_clients = 16,
                         .max_waiters = 64,
                         .area_bytes = 1 << 20,
                         .warm_bytes = 1 << 16,
                         .kept_bytes = 1 << 17};

template <class Change>
Geometry with(Change change) {
  Geometry geometry = kGood;
  change(geometry);
  return geometry;
}

TEST(Geometry, IsValidWithinItsBounds) {
  EXPECT_TRUE(is_valid(kGood));
  EXPECT_TRUE(is_valid(with([](Geometry& g) { g.max_workers = g.slots_per_worker = 1; })));
  EXPECT_TRUE(is_valid(with([](Geometry& g) { g.warm_bytes = g.kept_bytes = g.area_bytes; })));
  EXPECT_TRUE(is_valid(with([](Geometry& g) { g.area_bytes = kMaxAreaBytes; })));
  EXPECT_TRUE(is_valid(with([](Geometry& g) {
    g.max_workers = kMaxSlots / kMaxSlotsPerWorker;
    g.slots_per_worker = kMaxSlotsPerWorker;
  })));
}

TEST(Geometry, IsInvalidWithANumberOutOfItsBounds) {
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_workers = 0; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_workers = kMaxWorkers + 1; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.slots_per_worker = 0; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.slots_per_worker = kMaxSlotsPerWorker + 1; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_clients = 0; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_clients = kMaxClients + 1; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_waiters = 0; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_waiters = kMaxWaiters + 1; })));
}

TEST(Geometry, IsInvalidWithMoreSlotsThanAHintCanName) {
  EXPECT_FALSE(is_valid(with([](Geometry& g) {
    g.max_workers = kMaxWorkers;
    g.slots_per_worker = kMaxSlotsPerWorker;
  })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.max_workers = g.slots_per_worker = ~0u; })));
}

TEST(Geometry, IsInvalidWithAreasThatAreNoWholePages) {
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.area_bytes += 1; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.warm_bytes += 1; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.warm_bytes = 0; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.warm_bytes = g.area_bytes + kPageBytes; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.area_bytes = kMinAreaBytes - kPageBytes; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.area_bytes = kMaxAreaBytes + kPageBytes; })));
  EXPECT_FALSE(is_valid(with([](Geometry& g) { g.area_bytes = ~std::uint64_t{0}; })));
}

Geometry random_geometry(testing::RandomSource& random) {
  Geometry geometry = kGood;
  geometry.max_workers = 1 + random.below(kMaxWorkers);
  geometry.slots_per_worker =
      1 + random.below(std::min(kMaxSlotsPerWorker, kMaxSlots / geometry.max_workers));
  geometry.max_clients = 1 + random.below(kMaxClients);
  geometry.max_waiters = 1 + random.below(kMaxWaiters);
  return geometry;
}

TEST(ControlOffsets, GiveEverySectionRoomOfItsOwn) {
  testing::RandomSource random;
  for (int i = 0; i < 1000; ++i) {
    const Geometry g = random_geometry(random);
    ASSERT_TRUE(is_valid(g));
    const ControlOffsets at(g);
    const std::uint64_t slot_words = std::uint64_t{8} * at.words_stride * g.max_workers;
    ASSERT_GE(at.methods, sizeof(ControlHeader));
    ASSERT_GE(at.seats, at.methods + sizeof(MethodRecord) * kMaxMethods);
    ASSERT_GE(at.obituaries, at.seats + sizeof(SeatRecord) * g.max_workers);
    ASSERT_GE(at.words, at.obituaries + sizeof(Obituary) * kObituariesPerSeat * g.max_workers);
    ASSERT_GE(at.clients, at.words + slot_words);
    ASSERT_GE(at.waiters, at.clients + sizeof(ClientRecord) * g.max_clients);
    ASSERT_GE(at.waiting_line, at.waiters + 8 * std::uint64_t{g.max_waiters});
    ASSERT_GE(at.free_rings,
              at.waiting_line + sizeof(RingHeader) + 8 * std::uint64_t{at.waiting_line_cells});
    ASSERT_GE(at.total, at.free_rings + at.free_ring_bytes * at.free_ring_count);
  }
}

TEST(ControlOffsets, BeginEverySectionOnACacheLineAndEndOnAPage) {
  testing::RandomSource random;
  for (int i = 0; i < 1000; ++i) {
    const ControlOffsets at(random_geometry(random));
    for (const std::uint64_t begin : {at.methods, at.seats, at.obituaries, at.words, at.clients,
                                      at.waiters, at.waiting_line, at.free_rings}) {
      ASSERT_EQ(begin % kCacheLineBytes, 0u);
    }
    ASSERT_EQ(at.free_ring_bytes % kCacheLineBytes, 0u);
    ASSERT_EQ(at.total % kPageBytes, 0u);
  }
}

TEST(ControlOffsets, KeepTheWordsOfTwoSeatsOnDifferentCacheLines) {
  for (std::uint32_t slots = 1; slots <= kMaxSlotsPerWorker; ++slots) {
    const ControlOffsets at(with([&](Geometry& g) { g.slots_per_worker = slots; }));
    ASSERT_GE(at.words_stride, slots);
    ASSERT_EQ(at.words_stride * 8 % kCacheLineBytes, 0u);
  }
}

TEST(ControlOffsets, MakeEachRingTwiceAsLargeAsWhatItLists) {
  testing::RandomSource random;
  for (int i = 0; i < 1000; ++i) {
    const Geometry g = random_geometry(random);
    const ControlOffsets at(g);
    ASSERT_TRUE(std::has_single_bit(at.free_ring_cells));
    ASSERT_TRUE(std::has_single_bit(at.waiting_line_cells));
    ASSERT_GE(at.free_ring_cells, 2 * g.slots());
    ASSERT_GE(at.waiting_line_cells, 2 * g.max_waiters);
  }
}

TEST(ControlOffsets, HaveARingADepthUpToEight) {
  EXPECT_EQ(ControlOffsets(kGood).free_ring_count, 4u);
  EXPECT_EQ(ControlOffsets(with([](Geometry& g) { g.slots_per_worker = 1; })).free_ring_count, 1u);
  EXPECT_EQ(ControlOffsets(with([](Geometry& g) { g.slots_per_worker = 9; })).free_ring_count, 8u);
}

TEST(SeatWord, SurvivesPackingAndUnpacking) {
  const SeatWord word{0xDEADBEEF, SeatState::kDraining};
  EXPECT_EQ(SeatWord::unpack(word.pack()), word);
  const SeatWord returning{0xDEADBEEF, SeatState::kDraining, /*returns=*/true};
  EXPECT_EQ(SeatWord::unpack(returning.pack()), returning);
}

TEST(WaiterWord, SurvivesPackingAndUnpacking) {
  testing::RandomSource random;
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t packed = random.word();
    ASSERT_EQ(WaiterWord::unpack(packed).pack(), packed);
  }
}

TEST(WaiterWord, ChangesItsLowHalfWithItsState) {
  const auto low = [](WaiterState state) {
    return static_cast<std::uint32_t>(WaiterWord{9, 3, state, 0}.pack());
  };
  EXPECT_NE(low(WaiterState::kWaiting), low(WaiterState::kWoken)) << "a futex sleeps on it";
}

}  // namespace
}  // namespace slotring::layout
