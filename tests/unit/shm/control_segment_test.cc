#include "client_lib/shm/control_segment.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::ControlHeader;

const Geometry kGeometry = testing::small_geometry(3, 5);

class ControlSegmentTest : public ::testing::Test {
 protected:
  ErrorCode open_error(const Geometry& geometry = kGeometry) const {
    const auto opened =
        ControlSegment::open(shm::duplicate(made_.memory()), geometry, Access::kReadOnly);
    return opened ? ErrorCode::kOk : opened.error().code;
  }
  ControlHeader& header() const { return made_.header(); }

  ControlSegment made_ = ControlSegment::create("digits", kGeometry).value();
};

TEST_F(ControlSegmentTest, OpensWithTheGeometryItWasMadeWith) {
  EXPECT_EQ(open_error(), ErrorCode::kOk);
}

TEST_F(ControlSegmentTest, BeginsWithTheLettersOfItsMagic) {
  const auto* text = reinterpret_cast<const char*>(&header());
  EXPECT_EQ(std::string_view(text, 8), "SLTRING1");
}

TEST_F(ControlSegmentTest, SaysWhosePoolItIs) {
  EXPECT_EQ(load_name(header().pool), "digits");
  EXPECT_EQ(header().supervisor_pid, ::getpid());
}

TEST_F(ControlSegmentTest, StartsWithFreeSlotsEmptyRingsAndNobodyWaiting) {
  for (SlotIndex slot = 0; slot < kGeometry.slots(); ++slot) {
    EXPECT_EQ(made_.slot_word(slot).load(), layout::SlotWord{}.pack());
  }
  for (std::uint32_t depth = 0; depth < made_.free_ring_count(); ++depth) {
    EXPECT_TRUE(made_.free_ring(depth).empty());
  }
  EXPECT_TRUE(made_.waiting_line().empty());
}

TEST_F(ControlSegmentTest, IsSharedByWhoOpensIt) {
  const auto opened =
      ControlSegment::open(shm::duplicate(made_.memory()), kGeometry, Access::kReadWrite).value();
  opened.slot_word(14).store(99);
  EXPECT_EQ(made_.slot_word(14).load(), 99u);
}

TEST_F(ControlSegmentTest, IsRefusedWithAnotherMagic) {
  header().magic.store(0);
  EXPECT_EQ(open_error(), ErrorCode::kBadSegment);
}

TEST_F(ControlSegmentTest, IsRefusedWithAnotherLayoutVersion) {
  ++header().layout_version;
  EXPECT_EQ(open_error(), ErrorCode::kVersionMismatch);
}

TEST_F(ControlSegmentTest, IsRefusedWithAnotherLayoutHash) {
  header().layout_hash ^= 1;
  EXPECT_EQ(open_error(), ErrorCode::kVersionMismatch);
}

TEST_F(ControlSegmentTest, IsRefusedWhenItsHeaderContradictsTheSupervisor) {
  header().geometry.max_clients -= 1;
  EXPECT_EQ(open_error(), ErrorCode::kBadSegment);
  header().geometry = kGeometry;
  EXPECT_EQ(open_error(), ErrorCode::kOk);
  header().header_bytes = 0;
  EXPECT_EQ(open_error(), ErrorCode::kBadSegment);
}

TEST_F(ControlSegmentTest, IsRefusedWhenItIsShorterOrLongerThanItsGeometry) {
  EXPECT_EQ(open_error(testing::small_geometry(300, 5)), ErrorCode::kBadSegment);
  EXPECT_EQ(open_error(testing::small_geometry(1, 1)), ErrorCode::kBadSegment);
}

TEST_F(ControlSegmentTest, IsRefusedWithAGeometryOutOfBounds) {
  Geometry geometry = kGeometry;
  geometry.max_workers = 0;
  EXPECT_EQ(open_error(geometry), ErrorCode::kBadSegment);
  geometry.max_workers = geometry.slots_per_worker = ~0u;
  EXPECT_EQ(open_error(geometry), ErrorCode::kBadSegment);
}

TEST_F(ControlSegmentTest, IsRefusedUnsealed) {
  const std::uint64_t bytes = layout::ControlOffsets(kGeometry).total;
  UniqueFd copy(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(copy.get(), static_cast<off_t>(bytes)), 0);
  const Mapping mapping = Mapping::map(copy, Access::kReadWrite, 0, bytes).value();
  std::copy_n(reinterpret_cast<const std::byte*>(&header()), bytes, mapping.data());
  const auto opened = ControlSegment::open(std::move(copy), kGeometry, Access::kReadWrite);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kBadSegment);
}

TEST_F(ControlSegmentTest, KeepsItsOwnGeometryWhateverTheHeaderSaysLater) {
  const auto opened =
      ControlSegment::open(shm::duplicate(made_.memory()), kGeometry, Access::kReadOnly).value();
  header().geometry.max_workers = 1000;
  EXPECT_EQ(opened.geometry(), kGeometry);
}

TEST_F(ControlSegmentTest, GivesEachSlotAWordOfItsOwn) {
  std::set<const AtomicWord*> words;
  for (SlotIndex slot = 0; slot < kGeometry.slots(); ++slot) words.insert(&made_.slot_word(slot));
  EXPECT_EQ(words.size(), kGeometry.slots());
  EXPECT_EQ(made_.seat_of(made_.first_slot(2) + 4), 2u);
}

TEST_F(ControlSegmentTest, CountsTheSlotsOfOneSeatThatAreNotFree) {
  for (const auto state : {layout::SlotState::kClaimed, layout::SlotState::kAbandoned}) {
    made_.slot_word(5 + static_cast<SlotIndex>(state) / 3)
        .store(layout::SlotWord{1, 0, state, 0}.pack());
  }
  EXPECT_EQ(made_.busy_slots(0), 0u);
  EXPECT_EQ(made_.busy_slots(1), 2u);
  EXPECT_EQ(made_.busy_slots(2), 0u);
}

TEST_F(ControlSegmentTest, SharesItsLastRingAmongAllGreaterDepths) {
  EXPECT_TRUE(made_.free_ring(1000).try_push(3));
  EXPECT_EQ(made_.free_ring(made_.free_ring_count() - 1).try_pop(), 3u);
}

TEST(FixedName, KeepsWhatFitsAndCutsTheRest) {
  layout::FixedName name{};
  store_name(name, "echo");
  EXPECT_EQ(load_name(name), "echo");
  store_name(name, std::string(200, 'x'));
  EXPECT_EQ(load_name(name), std::string(layout::kMaxNameBytes, 'x'));
  store_name(name, "");
  EXPECT_EQ(load_name(name), "");
}

TEST(FixedName, IsReadWithinItsBoundsWhateverItsLengthSays) {
  layout::FixedName name{};
  store_name(name, "echo");
  name.bytes = 255;
  EXPECT_EQ(load_name(name).size(), layout::kMaxNameBytes);
}

}  // namespace
}  // namespace slotring::shm
