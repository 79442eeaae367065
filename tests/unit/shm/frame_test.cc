#include "client_lib/shm/frame.h"

#include <algorithm>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using layout::kPayloadOffset;
using testing::bytes_in_use;
using testing::LocalPool;

constexpr FrameHead kHead{.call_id = 0x1122334455667788,
                          .deadline_ns = 99,
                          .generation = 7,
                          .method = 3,
                          .kind = wire::PayloadKind::Bytes};

class FrameTest : public ::testing::Test {
 protected:
  void write(std::string_view payload, const RareHead& rare = {}) {
    const std::span<std::byte> space = writer_.payload_space(payload.size()).value();
    if (!payload.empty()) std::memcpy(space.data(), payload.data(), payload.size());
    writer_.commit(kHead, payload.size(), rare).value();
  }
  Frame read() { return reader_.read(memory_.area(1), kHead.generation).value(); }
  Error round_trip(const Error& error) {
    write("", {.error = &error});
    return error_of(read()).value();
  }
  static std::string text(std::span<const std::byte> bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::uint64_t most() const { return memory_.area_bytes() - kPayloadOffset; }

  LocalPool pool_;
  const DataMemory& memory_ = pool_.requests();
  FrameWriter writer_{memory_, 1};
  FrameReader reader_{memory_};
};

TEST_F(FrameTest, CarriesASmallPayloadAndItsHead) {
  write("hello");
  const Frame frame = read();
  EXPECT_EQ(text(frame.payload), "hello");
  EXPECT_EQ(frame.head.call_id, kHead.call_id);
  EXPECT_EQ(frame.head.deadline_ns, kHead.deadline_ns);
  EXPECT_EQ(frame.head.generation, kHead.generation);
  EXPECT_EQ(frame.head.method, kHead.method);
  EXPECT_EQ(frame.head.kind, kHead.kind);
  EXPECT_EQ(frame.rare, nullptr);
}

TEST_F(FrameTest, CarriesNoPayload) {
  write("");
  EXPECT_TRUE(read().payload.empty());
  EXPECT_EQ(error_of(read()), std::nullopt);
}

TEST_F(FrameTest, CarriesTheLargestPayload) {
  const std::string payload(most(), 'x');
  write(payload);
  EXPECT_EQ(text(read().payload), payload);
}

TEST_F(FrameTest, PutsThePayloadOnACacheLineOfTheArea) {
  const std::span<std::byte> space = writer_.payload_space(100).value();
  EXPECT_EQ(space.data(), memory_.area(1) + kPayloadOffset);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(space.data()) % 64, 0u);
}

TEST_F(FrameTest, RefusesAPayloadThatIsTooLarge) {
  EXPECT_TRUE(writer_.payload_space(most()).ok());
  EXPECT_EQ(writer_.payload_space(most() + 1).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(writer_.payload_space(~std::uint64_t{0}).error().code, ErrorCode::kPayloadTooLarge);
}

TEST_F(FrameTest, CarriesAMethodNameBehindThePayload) {
  write("hello", {.method_name = "classify"});
  const Frame frame = read();
  EXPECT_EQ(frame.rare->method_name()->string_view(), "classify");
  EXPECT_EQ(text(frame.payload), "hello");
}

TEST_F(FrameTest, RefusesAnEnvelopeThatFindsNoRoomBehindThePayload) {
  ASSERT_TRUE(writer_.payload_space(most()).ok());
  const Status committed = writer_.commit(kHead, most(), {.method_name = "classify"});
  EXPECT_EQ(committed.error().code, ErrorCode::kPayloadTooLarge);
}

TEST_F(FrameTest, RefusesAnEnvelopeThatIsTooLarge) {
  const std::string name(layout::kMaxEnvelopeBytes, 'n');
  EXPECT_EQ(writer_.commit(kHead, 0, {.method_name = name}).error().code,
            ErrorCode::kPayloadTooLarge);
}

TEST_F(FrameTest, CarriesAnErrorWithAllItsParts) {
  const Error read = round_trip({ErrorCode::kHandlerRaised, "no such digit", "builtins.ValueError",
                                 "Traceback (most recent call last)", true});
  EXPECT_EQ(read.code, ErrorCode::kHandlerRaised);
  EXPECT_EQ(read.message, "no such digit");
  EXPECT_EQ(read.python_type, "builtins.ValueError");
  EXPECT_EQ(read.traceback, "Traceback (most recent call last)");
  EXPECT_TRUE(read.retryable);
}

TEST_F(FrameTest, CarriesAnErrorWithoutWords) {
  const Error read = round_trip({.code = ErrorCode::kInternal});
  EXPECT_EQ(read.code, ErrorCode::kInternal);
  EXPECT_EQ(read.message + read.python_type + read.traceback, "");
  EXPECT_FALSE(read.retryable);
}

TEST_F(FrameTest, CutsALongMessageAtItsEndAndATracebackAtItsStart) {
  const Error read = round_trip({ErrorCode::kHandlerRaised, "begin" + std::string(100'000, 'm'),
                                 std::string(100'000, 't'), std::string(100'000, 'x') + "end"});
  EXPECT_EQ(read.message.size(), kMaxMessageBytes);
  EXPECT_EQ(read.message.substr(0, 5), "begin");
  EXPECT_EQ(read.traceback.size(), kMaxTracebackBytes);
  EXPECT_EQ(read.traceback.substr(kMaxTracebackBytes - 3), "end");
}

TEST_F(FrameTest, ReadsOneFrameAfterAnother) {
  for (const std::string name : {"a", "b", "c"}) {
    write("payload " + name, {.method_name = name});
    EXPECT_EQ(read().rare->method_name()->string_view(), name);
    write("plain");
    EXPECT_EQ(read().rare, nullptr);
  }
}

TEST_F(FrameTest, IsWrittenForOneSlotWithoutTouchingItsNeighbours) {
  std::fill_n(memory_.area(0), memory_.area_bytes(), std::byte{1});
  std::fill_n(memory_.area(2), memory_.area_bytes(), std::byte{1});
  write(std::string(most(), 'x'));
  EXPECT_EQ(std::count(memory_.area(0), memory_.area(1), std::byte{1}),
            static_cast<std::ptrdiff_t>(memory_.area_bytes()));
  EXPECT_EQ(std::count(memory_.area(2), memory_.area(3), std::byte{1}),
            static_cast<std::ptrdiff_t>(memory_.area_bytes()));
}

// Memory of large payloads.

TEST_F(FrameTest, TakesNoMemoryForAPayloadInTheWarmPart) {
  const std::uint64_t before = bytes_in_use(memory_.memory());
  write(std::string(memory_.warm_bytes() - kPayloadOffset, 'x'));
  EXPECT_EQ(bytes_in_use(memory_.memory()), before);
  writer_.trim();
  EXPECT_EQ(bytes_in_use(memory_.memory()), before);
}

TEST_F(FrameTest, BacksALargePayloadBeforeItIsWrittenAndGivesItBack) {
  const std::uint64_t before = bytes_in_use(memory_.memory());
  ASSERT_TRUE(writer_.payload_space(200'000).ok());
  EXPECT_GE(bytes_in_use(memory_.memory()), before + 200'000 - memory_.warm_bytes());
  writer_.trim();
  EXPECT_EQ(bytes_in_use(memory_.memory()), before);
}

// Others may have had the slot since, and have given its pages back.
TEST_F(FrameTest, BacksTheLargePayloadOfEachCallAfresh) {
  ASSERT_TRUE(writer_.payload_space(200'000).ok());
  const std::uint64_t backed = bytes_in_use(memory_.memory());
  ASSERT_TRUE(give_back(memory_.memory(), memory_.offset(1) + memory_.warm_bytes(),
                        memory_.area_bytes() - memory_.warm_bytes())
                  .ok());
  writer_.begin();
  ASSERT_TRUE(writer_.payload_space(200'000).ok());
  EXPECT_EQ(bytes_in_use(memory_.memory()), backed);
}

TEST_F(FrameTest, GivesBackTheMostThatOneCallTook) {
  const std::uint64_t before = bytes_in_use(memory_.memory());
  ASSERT_TRUE(writer_.payload_space(100'000).ok());
  ASSERT_TRUE(writer_.payload_space(200'000).ok());
  ASSERT_TRUE(writer_.payload_space(10).ok());
  writer_.trim();
  EXPECT_EQ(bytes_in_use(memory_.memory()), before);
}

TEST_F(FrameTest, GivesBackAnEnvelopeThatLayAboveTheWarmPart) {
  const std::uint64_t before = bytes_in_use(memory_.memory());
  write(std::string(memory_.warm_bytes() - kPayloadOffset, 'x'), {.method_name = "classify"});
  EXPECT_GT(bytes_in_use(memory_.memory()), before);
  writer_.trim();
  EXPECT_EQ(bytes_in_use(memory_.memory()), before);
}

TEST_F(FrameTest, TakesALargePayloadAgainAfterItWasGivenBack) {
  for (int i = 0; i < 3; ++i) {
    const std::string payload(150'000, static_cast<char>('a' + i));
    write(payload);
    EXPECT_EQ(text(read().payload), payload);
    writer_.trim();
  }
}

// What is kept between the warm part and a bound.

class KeptMemoryTest : public ::testing::Test {
 protected:
  static layout::Geometry geometry() {
    layout::Geometry kept = testing::small_geometry();
    kept.area_bytes = 1 << 20;
    kept.kept_bytes = 512 * 1024;
    return kept;
  }
  std::uint64_t in_use() const { return bytes_in_use(memory_.memory()); }

  LocalPool pool_{geometry()};
  const DataMemory& memory_ = pool_.requests();
  FrameWriter writer_{memory_, 1};
};

TEST_F(KeptMemoryTest, StaysBehindForTheNextCall) {
  const std::uint64_t before = in_use();
  ASSERT_TRUE(writer_.payload_space(300'000).ok());
  const std::uint64_t backed = in_use();
  EXPECT_GE(backed, before + 300'000 - memory_.warm_bytes());
  writer_.trim();
  writer_.begin();
  ASSERT_TRUE(writer_.payload_space(300'000).ok());
  EXPECT_EQ(in_use(), backed);
}

TEST_F(KeptMemoryTest, IsNoMoreThanTheBoundAfterACall) {
  const std::uint64_t before = in_use();
  ASSERT_TRUE(writer_.payload_space(1'000'000).ok());
  EXPECT_GE(in_use(), before + 1'000'000 - memory_.warm_bytes());
  writer_.trim();
  EXPECT_EQ(in_use(), before + memory_.kept_bytes() - memory_.warm_bytes());
}

// One that was abandoned is still being read when its caller leaves.
TEST_F(KeptMemoryTest, IsNoMoreThanTheBoundOnceTheCallAfterAnAbandonedOneBegins) {
  const std::uint64_t before = in_use();
  ASSERT_TRUE(writer_.payload_space(1'000'000).ok());
  writer_.begin();
  EXPECT_EQ(in_use(), before + memory_.kept_bytes() - memory_.warm_bytes());
}

// More than that would fail where memory for the call itself is there.
TEST_F(KeptMemoryTest, IsMadeReadyNoFurtherThanTheBound) {
  const std::uint64_t before = in_use();
  ASSERT_TRUE(writer_.payload_space(memory_.kept_bytes() - kPayloadOffset - 10).ok());
  EXPECT_EQ(in_use(), before + memory_.kept_bytes() - memory_.warm_bytes());
}

// Behind 4 GiB, in memory that is never touched before it.
TEST(Envelope, IsFoundBehindThePayloadInAnAreaOfManyGibibytes) {
  constexpr std::uint64_t kAreaBytes = std::uint64_t{8} << 30, kAt = std::uint64_t{5} << 30;
  const UniqueFd memory = create_memory("test", kAreaBytes).value();
  const Mapping area = Mapping::map(memory, Access::kReadWrite, 0, kAreaBytes).value();
  const RareHead rare{.method_name = "classify"};
  const EnvelopeImage image = EnvelopeImage::build(kHead, rare).value();
  std::memcpy(area.data() + kAt, image.bytes().data(), image.bytes().size());
  describe(reinterpret_cast<layout::AreaHeader*>(area.data())->first,
           {kPayloadOffset, kAt - kPayloadOffset}, kAt, image.bytes().size(), 0);
  FrameReader reader(kAreaBytes);
  const Frame frame = reader.read(area.data(), kHead.generation).value();
  EXPECT_EQ(frame.rare->method_name()->string_view(), "classify");
  EXPECT_EQ(frame.payload.size(), kAt - kPayloadOffset);
}

}  // namespace
}  // namespace slotring::shm
