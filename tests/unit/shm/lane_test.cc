#include "client_lib/shm/lane.h"

#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using layout::kStreamEntries;
using layout::LaneCount;

constexpr std::uint32_t kGeneration = 7;

// Both ends of the stream lane of one slot, of which the reader's side is the worker's.
class LaneTest : public ::testing::Test {
 protected:
  LaneTest() { begin(kGeneration); }

  void begin(std::uint32_t generation, std::uint64_t window = kMinWindowBytes) {
    area_.begin();
    writer_.begin(pool_.replies().area(0), generation, window);
    reader_.begin(pool_.requests().area(0), pool_.replies().area(0), generation);
  }
  bool try_write(std::string_view text, bool with_envelope = false, const RareHead& rare = {}) {
    if (!writer_.has_room(text.size(), with_envelope)) return false;
    const std::span<std::byte> space = writer_.space(text.size(), with_envelope).value();
    if (!text.empty()) std::memcpy(space.data(), text.data(), text.size());
    const FrameHead head{.generation = kGeneration, .kind = wire::PayloadKind::Bytes};
    writer_.commit(LaneFrameKind::kItem, head, text.size(), rare).value();
    return true;
  }
  bool try_write_plain(std::string_view text) {
    return writer_.try_write(wire::PayloadKind::Bytes, std::as_bytes(std::span(text)));
  }
  // By try_next_item(); nothing where that has nothing.
  std::optional<std::string> read_plain() {
    const auto item = reader_.try_next_item();
    if (!item) return std::nullopt;
    EXPECT_EQ(item->kind, wire::PayloadKind::Bytes);
    return std::string(reinterpret_cast<const char*>(item->payload.data()), item->payload.size());
  }
  std::string read() {
    const LaneFrame frame = reader_.next().value();
    return {reinterpret_cast<const char*>(frame.frame.payload.data()), frame.frame.payload.size()};
  }
  int fill(std::string_view text) {
    int written = 0;
    while (try_write(text)) ++written;
    return written;
  }
  layout::AreaHeader& header() {
    return *reinterpret_cast<layout::AreaHeader*>(pool_.requests().area(0));
  }
  layout::AreaHeader& peer_header() {
    return *reinterpret_cast<layout::AreaHeader*>(pool_.replies().area(0));
  }

  // Memory is made ready ahead of a frame, as it is in a pool, only where it is kept.
  static layout::Geometry geometry() {
    layout::Geometry geometry = testing::small_geometry();
    geometry.kept_bytes = 128 * 1024;
    return geometry;
  }

  testing::LocalPool pool_{geometry()};
  FrameWriter area_{pool_.requests(), 0};
  LaneWriter writer_{area_, Lane::kStream};
  LaneReader reader_{pool_.requests(), Lane::kStream};
};

TEST_F(LaneTest, GivesWhatWasWrittenOnceAndInOrder) {
  EXPECT_FALSE(reader_.ready());
  EXPECT_TRUE(try_write("one") && try_write("") && try_write("three"));
  EXPECT_EQ(read(), "one");
  EXPECT_EQ(read(), "");
  EXPECT_EQ(read(), "three");
  EXPECT_FALSE(reader_.ready());
}

TEST_F(LaneTest, GivesPlainItemsAsItGivesOthersInAnyMixtureOfTheTwo) {
  EXPECT_FALSE(try_write_plain("zero")) << "the window is not open";
  EXPECT_FALSE(read_plain());
  EXPECT_TRUE(try_write("one") && try_write_plain("two") && try_write_plain(""));
  EXPECT_TRUE(try_write("four", /*with_envelope=*/true) && try_write_plain("five"));
  EXPECT_EQ(read(), "one");  // which makes the memory present
  EXPECT_EQ(read_plain(), "two");
  EXPECT_EQ(read(), "");
  EXPECT_FALSE(read_plain()) << "it has an envelope";
  EXPECT_EQ(read(), "four");
  EXPECT_EQ(read_plain(), "five");
  EXPECT_FALSE(read_plain());
  EXPECT_FALSE(reader_.ready());
  int written = 0;
  while (try_write_plain("x")) ++written;
  EXPECT_EQ(written, static_cast<int>(kStreamEntries) - 5) << "nothing was released";
  EXPECT_FALSE(try_write_plain(std::string(kMinWindowBytes + 1, 'x')));
}

TEST_F(LaneTest, GivesNoPlainItemByACountThatNoWriterHas) {
  EXPECT_TRUE(try_write("x"));
  read();
  for (const std::uint32_t count : {0u, 1u, kStreamEntries + 1, ~0u}) {
    header().produced[0].store(LaneCount{kGeneration, count}.pack());
    EXPECT_FALSE(read_plain()) << count;
  }
  header().produced[0].store(LaneCount{kGeneration + 1, 2}.pack());
  EXPECT_FALSE(read_plain()) << "of another call";
}

TEST_F(LaneTest, CarriesWhatIsRareInAnEnvelope) {
  EXPECT_TRUE(try_write("argument", true, {.method_name = "search"}));
  const LaneFrame frame = reader_.next().value();
  EXPECT_EQ(frame.frame.rare->method_name()->string_view(), "search");
  EXPECT_EQ(frame.frame.payload.size(), 8u);
}

TEST_F(LaneTest, HasRoomForAsManyFramesAsItHasEntriesUntilSomeAreReleased) {
  EXPECT_EQ(fill("x"), static_cast<int>(kStreamEntries));
  EXPECT_EQ(read(), "x");
  EXPECT_FALSE(try_write("y")) << "read, and not released";
  EXPECT_TRUE(reader_.holds());
  reader_.release();
  EXPECT_FALSE(reader_.holds());
  EXPECT_EQ(fill("y"), 1);
  EXPECT_EQ(writer_.unread(), kStreamEntries);
}

TEST_F(LaneTest, HasRoomForItsWindowAndForNoMore) {
  EXPECT_EQ(fill(std::string(kMinWindowBytes / 4, 'x')), 4);
  read();
  reader_.release();
  EXPECT_EQ(fill(std::string(kMinWindowBytes / 8, 'y')), 1) << "never up to the oldest frame";
  for (int i = 0; i < 3; ++i) EXPECT_EQ(read(), std::string(kMinWindowBytes / 4, 'x'));
  EXPECT_EQ(read(), std::string(kMinWindowBytes / 8, 'y'));
}

TEST_F(LaneTest, TakesAFrameOfItsWholeWindowAlsoOfAnOddOne) {
  begin(kGeneration, kMinWindowBytes + 63);
  const std::string largest(writer_.max_bytes(), 'x');
  EXPECT_EQ(fill(largest), 1);
  EXPECT_EQ(read(), largest);
  EXPECT_TRUE(writer_.has_room(writer_.max_bytes() + 1));
  EXPECT_EQ(writer_.space(writer_.max_bytes() + 1).error().code, ErrorCode::kPayloadTooLarge);
}

TEST_F(LaneTest, HoldsNothingOfACallBefore) {
  EXPECT_TRUE(try_write("old"));
  reader_.begin(pool_.requests().area(0), pool_.replies().area(0), kGeneration + 1);
  EXPECT_FALSE(reader_.ready());
  // And what the reader of the call before released is no credit in this.
  begin(kGeneration);
  fill("x");
  read();
  reader_.release();
  area_.begin();
  writer_.begin(pool_.replies().area(0), kGeneration + 1, kMinWindowBytes);
  EXPECT_EQ(fill("y"), static_cast<int>(kStreamEntries));
}

TEST_F(LaneTest, IsBadWithACountThatNoWriterHas) {
  const auto error_with = [&](std::uint32_t generation, std::uint32_t count) {
    header().produced[0].store(LaneCount{generation, count}.pack());
    return reader_.ready() ? reader_.next().error().code : ErrorCode::kOk;
  };
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(try_write("x"));
  read();
  read();
  EXPECT_EQ(error_with(kGeneration, 1), ErrorCode::kBadFrame) << "backwards";
  EXPECT_EQ(error_with(kGeneration + 1, 3), ErrorCode::kBadFrame) << "of another call";
  EXPECT_EQ(error_with(kGeneration, kStreamEntries + 1), ErrorCode::kBadFrame);
  EXPECT_EQ(error_with(kGeneration, ~0u), ErrorCode::kBadFrame);
  EXPECT_EQ(error_with(kGeneration, 2), ErrorCode::kOk);
}

TEST_F(LaneTest, TakesACreditThatNoReaderCanGiveForNone) {
  EXPECT_EQ(fill("x"), static_cast<int>(kStreamEntries));
  for (const std::uint32_t lie : {kStreamEntries + 1, ~0u}) {
    peer_header().consumed[0].store(LaneCount{kGeneration, lie}.pack());
    EXPECT_FALSE(try_write("y"));
  }
}

// Every bit of a frame's descriptor, one at a time: found bad, or harmless.
TEST_F(LaneTest, IsBadOrHarmlessWithAnyBitOfADescriptorFlipped) {
  for (std::size_t bit = 0; bit < 8 * sizeof(layout::FrameDescriptor); ++bit) {
    begin(kGeneration);
    EXPECT_TRUE(try_write("hello", bit % 2 == 0, {}));
    reinterpret_cast<unsigned char*>(&header().stream[0])[bit / 8] ^=
        static_cast<unsigned char>(1 << bit % 8);
    const std::byte* begin = pool_.requests().area(0);
    if (const auto item = reader_.try_next_item()) {
      EXPECT_GE(item->payload.data(), begin);
      EXPECT_LE(item->payload.data() + item->payload.size(), begin + pool_.requests().area_bytes());
      EXPECT_LE(item->kind, wire::PayloadKind::Value);
      continue;
    }
    const Result<LaneFrame> frame = reader_.next();
    if (!frame) continue;
    EXPECT_GE(frame->frame.payload.data(), begin);
    EXPECT_LE(frame->frame.payload.data() + frame->frame.payload.size(),
              begin + pool_.requests().area_bytes());
    EXPECT_LT(static_cast<int>(frame->kind), layout::kLaneFrameKinds);
  }
}

// Frames of all sizes between two threads, released now and then.
TEST_F(LaneTest, KeepsFramesOfAnySizeWholeBetweenTwoThreads) {
  const int frames = testing::effort(20000);
  const auto size_of = [](testing::RandomSource& random) {
    return random.one_in(8) ? random.below(kMinWindowBytes / 2) : random.below(200);
  };
  std::thread writes([&] {
    testing::RandomSource random(1);
    for (int i = 0; i < frames; ++i) {
      const std::uint32_t bytes = size_of(random);
      const bool with_envelope = random.one_in(5);
      const std::string text(bytes, static_cast<char>(i));
      while (!(!with_envelope && try_write_plain(text)) && !try_write(text, with_envelope)) {
        ::sched_yield();
      }
    }
  });
  testing::RandomSource random(1), chance(2);
  for (int i = 0; i < frames; ++i) {
    const std::uint32_t bytes = size_of(random);
    (void)random.one_in(5);
    while (!reader_.ready()) {
      reader_.release();  // whoever waits for room has it
      ::sched_yield();
    }
    const std::optional<std::string> plain = read_plain();
    ASSERT_EQ(plain ? *plain : read(), std::string(bytes, static_cast<char>(i))) << "frame " << i;
    if (chance.one_in(10)) reader_.release();
  }
  writes.join();
}

}  // namespace
}  // namespace slotring::shm
