// Frames that no correct peer writes: each is BAD_FRAME or harmless, never a read outside the area.

#include <cstring>
#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "client_lib/shm/frame.h"
#include "tests/support/child_process.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring::shm {
namespace {

using layout::AreaHeader;
using layout::FrameDescriptor;
using layout::kEnvelopeOffset;
using layout::kPayloadOffset;
using layout::PayloadExtent;
using testing::effort;

constexpr std::uint64_t kAreaBytes = 8192;
constexpr std::uint32_t kGeneration = 7;

// An area in private memory of exactly its size, so that a sanitizer sees every read outside it.
class Area {
 public:
  Area() : bytes_(new (std::align_val_t{64}) std::byte[kAreaBytes]) {}
  Area(const Area& other) : Area() { std::memcpy(bytes_, other.bytes_, kAreaBytes); }
  Area& operator=(const Area&) = delete;
  ~Area() { ::operator delete[](bytes_, std::align_val_t{64}); }

  std::byte* data() const { return bytes_; }
  FrameDescriptor& descriptor() const { return reinterpret_cast<AreaHeader*>(bytes_)->first; }

 private:
  std::byte* bytes_;
};

// As a correct peer writes it.
Area valid_area(const RareHead& rare) {
  const testing::LocalPool pool;
  FrameWriter writer(pool.requests(), 0);
  std::memset(writer.payload_space(500).value().data(), 'p', 500);
  const FrameHead head{1, 2, kGeneration, 0, wire::PayloadKind::Bytes};
  writer.commit(head, 500, rare).value();
  Area area;
  std::memcpy(area.data(), pool.requests().area(0), kAreaBytes);
  return area;
}

const Error kError{ErrorCode::kHandlerRaised, "message", "ValueError", "traceback", true};

// Header and envelope.
constexpr std::uint32_t kScribbled = kPayloadOffset + 1024;

Area plain_area() { return valid_area({}); }
Area rare_area() { return valid_area({.method_name = "classify", .error = &kError}); }

Result<Frame> read(FrameReader& reader, const Area& area) {
  return reader.read(area.data(), kGeneration);
}

// Reads all that a user of a frame reads. True when it lies within `area`.
bool is_within(const Frame& frame, const std::byte* area, std::uint64_t area_bytes) {
  if (frame.rare != nullptr && frame.rare->method_name() != nullptr) {
    (void)frame.rare->method_name()->str();
  }
  (void)error_of(frame);
  const std::byte* begin = frame.payload.data();
  return begin >= area && begin + frame.payload.size() <= area + area_bytes;
}

struct Corruption {
  const char* name;
  std::function<void(FrameDescriptor&)> apply;
};

std::ostream& operator<<(std::ostream& out, const Corruption& c) { return out << c.name; }

class CorruptDescriptor : public ::testing::TestWithParam<Corruption> {};

TEST_P(CorruptDescriptor, IsABadFrame) {
  for (const Area& valid : {plain_area(), rare_area()}) {
    const Area area(valid);
    GetParam().apply(area.descriptor());
    FrameReader reader(kAreaBytes);
    const auto frame = read(reader, area);
    ASSERT_FALSE(frame.ok());
    EXPECT_EQ(frame.error().code, ErrorCode::kBadFrame) << frame.error().message;
  }
}

void set_payload(FrameDescriptor& d, std::uint64_t offset, std::uint64_t bytes) {
  d.payload.store(PayloadExtent{offset, bytes}.pack());
}

INSTANTIATE_TEST_SUITE_P(
    OfEachKind, CorruptDescriptor,
    ::testing::Values(
        Corruption{"payload_over_the_header", [](auto& d) { set_payload(d, 0, 10); }},
        Corruption{"payload_outside", [](auto& d) { set_payload(d, kAreaBytes + 64, 0); }},
        Corruption{"payload_ends_outside", [](auto& d) { set_payload(d, kAreaBytes - 64, 65); }},
        Corruption{"payload_too_long", [](auto& d) { set_payload(d, kPayloadOffset, kAreaBytes); }},
        Corruption{"payload_all_bits", [](auto& d) { d.payload.store(~std::uint64_t{0}); }},
        Corruption{"envelope_over_the_header", [](auto& d) { d.envelope_at.store(0); }},
        Corruption{"envelope_outside", [](auto& d) { d.envelope_at.store(kAreaBytes / 8 + 1); }},
        Corruption{"envelope_ends_outside",
                   [](auto& d) { d.envelope_at.store(kAreaBytes / 8 - 1); }},
        Corruption{"envelope_all_bits", [](auto& d) { d.envelope_at.store(~0u); }},
        Corruption{"envelope_shifted", [](auto& d) { d.envelope_at.fetch_add(1); }},
        Corruption{"envelope_too_long",
                   [](auto& d) { d.envelope_bytes.store(layout::kMaxEnvelopeBytes + 1); }},
        Corruption{"envelope_longest", [](auto& d) { d.envelope_bytes.store(0xFFFF); }},
        Corruption{"envelope_of_no_bytes", [](auto& d) { d.envelope_bytes.store(0); }},
        Corruption{"envelope_of_seven_bytes", [](auto& d) { d.envelope_bytes.store(7); }},
        Corruption{"envelope_truncated", [](auto& d) { d.envelope_bytes.fetch_sub(24); }},
        Corruption{"envelope_elsewhere", [](auto& d) { d.envelope_at.store(512); }}),
    [](const auto& corruption) { return corruption.param.name; });

TEST(CorruptFrame, IsBadWithTheWrongGeneration) {
  const Area area = plain_area();
  FrameReader reader(kAreaBytes);
  EXPECT_EQ(reader.read(area.data(), kGeneration + 1).error().code, ErrorCode::kBadFrame);
}

TEST(CorruptFrame, IsBadWhenAllZeros) {
  const Area area;
  std::memset(area.data(), 0, kAreaBytes);
  FrameReader reader(kAreaBytes);
  EXPECT_FALSE(read(reader, area).ok());
}

TEST(CorruptFrame, IsBadInALaneThatHoldsNone) {
  const Area area = plain_area();
  FrameReader reader(kAreaBytes);
  const auto& header = *reinterpret_cast<const layout::AreaHeader*>(area.data());
  EXPECT_FALSE(reader.read(area.data(), header.stream[5], kGeneration, true).ok());
}

TEST(CorruptFrame, IsBadWithAnEnvelopeOfAnotherKind) {
  const Area area = plain_area();
  area.data()[kEnvelopeOffset + 4] ^= std::byte{0x20};  // the file identifier
  FrameReader reader(kAreaBytes);
  EXPECT_FALSE(read(reader, area).ok());
}

TEST(CorruptFrame, LeavesItsReaderFitForTheNext) {
  const Area bad = plain_area(), good = plain_area();
  bad.descriptor().envelope_bytes.store(0);
  FrameReader reader(kAreaBytes);
  EXPECT_FALSE(read(reader, bad).ok());
  EXPECT_TRUE(read(reader, good).ok());
}

TEST(CorruptFrame, IsReadOnceSoThatLaterChangesChangeNothing) {
  const Area area = rare_area();
  FrameReader reader(kAreaBytes);
  const Frame frame = read(reader, area).value();
  std::memset(area.data(), 0xFF, kAreaBytes);
  EXPECT_EQ(frame.rare->method_name()->string_view(), "classify");
  EXPECT_EQ(error_of(frame)->message, "message");
  EXPECT_EQ(frame.payload.size(), 500u);
  EXPECT_EQ(frame.head.generation, kGeneration);
}

// Every bit of what describes a frame, one at a time: found bad, or harmless.
TEST(CorruptFrame, IsBadOrHarmlessWithAnyBitFlipped) {
  for (const Area& valid : {plain_area(), rare_area()}) {
    const std::uint64_t envelope =
        valid.descriptor().envelope_at.load() * layout::kEnvelopeUnitBytes;
    FrameReader reader(kAreaBytes);
    const auto flip = [&](std::uint64_t byte, int bit) {
      const Area area(valid);
      area.data()[byte] ^= std::byte{1} << bit;
      const auto frame = read(reader, area);
      ASSERT_TRUE(!frame.ok() || is_within(*frame, area.data(), kAreaBytes));
    };
    for (int bit = 0; bit < 8; ++bit) {
      for (std::uint64_t byte = 0; byte < kPayloadOffset; ++byte) flip(byte, bit);
      for (std::uint64_t byte = 0; byte < 300; ++byte) flip(envelope + byte, bit);
    }
  }
}

TEST(CorruptFrame, IsBadOrHarmlessHoweverItIsMutated) {
  testing::RandomSource random;
  const Area valid = rare_area();
  const std::uint64_t envelope = valid.descriptor().envelope_at.load() * layout::kEnvelopeUnitBytes;
  Area area(valid);
  FrameReader reader(kAreaBytes);
  for (int round = 0; round < effort(200'000); ++round) {
    std::memcpy(area.data(), valid.data(), kScribbled);
    for (std::uint32_t changes = 1 + random.below(8); changes > 0; --changes) {
      const std::uint64_t at =
          random.one_in(4) ? random.below(kPayloadOffset) : envelope + random.below(256);
      const std::uint64_t noise = random.word();
      std::memcpy(area.data() + at, &noise, 1 + random.below(8));
    }
    const auto frame = read(reader, area);
    ASSERT_TRUE(!frame.ok() || is_within(*frame, area.data(), kAreaBytes));
  }
}

// A peer that writes while this one reads: each frame is one that verified, with a bounded extent.
TEST(CorruptFrame, IsBadOrHarmlessWhileAPeerChangesIt) {
  const testing::LocalPool pool;
  const DataMemory& memory = pool.requests();
  FrameWriter(memory, 0).commit({1, 2, kGeneration}, 0, {.error = &kError}).value();
  testing::ChildProcess hostile([&] {
    testing::RandomSource random;
    const Area valid = rare_area();
    for (;;) {
      memory.area(0)[random.below(kScribbled)] = static_cast<std::byte>(random.word());
      if (random.one_in(8)) std::memcpy(memory.area(0), valid.data(), kScribbled);
    }
    return true;
  });
  FrameReader reader(memory.area_bytes());
  int verified = 0, bad = 0;
  for (int round = 0; round < effort(100'000) || (verified == 0 || bad == 0); ++round) {
    const auto frame = reader.read(memory.area(0), kGeneration);
    ASSERT_TRUE(!frame.ok() || is_within(*frame, memory.area(0), memory.area_bytes()));
    ++(frame ? verified : bad);
  }
}

}  // namespace
}  // namespace slotring::shm
