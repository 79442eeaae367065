// What is believed of the tensors that a frame describes.

#include "client_lib/shm/tensors.h"

#include <array>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/local_pool.h"

namespace slotring::shm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t kPayloadBytes = 1024;
constexpr std::int64_t kMinStride = INT64_MIN;
constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;

// One description, as a peer may write it.
struct Said {
  std::string dtype = "<f4";
  std::vector<std::uint64_t> shape = {2, 3};
  std::vector<std::int64_t> strides = {};
  std::uint64_t offset = 64;
  std::string name = {};

  TensorHead head() const { return {dtype, shape, strides, offset, name}; }
};

class TensorsTest : public ::testing::Test {
 protected:
  Result<std::uint64_t> read(const std::vector<Said>& said, std::uint64_t value_bytes = 0) {
    std::vector<TensorHead> heads;
    for (const Said& each : said) heads.push_back(each.head());
    FrameWriter writer(pool_.requests(), 0);
    (void)writer.payload_space(kPayloadBytes).value();
    writer
        .commit({1, 2, 7, 3, wire::PayloadKind::Tensors}, kPayloadBytes,
                {.method_name = "m", .tensors = heads, .value_bytes = value_bytes})
        .value();
    frame_ = reader_.read(pool_.requests().area(0), 7).value();
    return read_tensors(*frame_, tensors_);
  }
  std::string refusal(const Said& said) {
    const Result<std::uint64_t> read = this->read({said});
    if (read) return "none";
    EXPECT_EQ(read.error().code, ErrorCode::kBadFrame);
    return read.error().message;
  }
  // From the payload's start.
  std::ptrdiff_t at() const { return tensors_.at(0).data() - frame_->payload.data(); }

  testing::LocalPool pool_;
  FrameReader reader_{pool_.requests()};
  std::optional<Frame> frame_;
  std::vector<Tensor> tensors_;
};

TEST_F(TensorsTest, ReadsWhatWasPlaced) {
  EXPECT_EQ(
      read({{.name = "a"}, {.dtype = "|u1", .shape = {7}, .offset = 128, .name = "b"}}, 60).value(),
      60u);
  ASSERT_EQ(tensors_.size(), 2u);
  EXPECT_EQ(tensors_[0].dtype(), DType::kFloat32);
  EXPECT_EQ(at(), 64);
  EXPECT_THAT(tensors_[0].shape(), ElementsAre(2, 3));
  EXPECT_THAT(tensors_[0].strides(), ElementsAre(12, 4));
  EXPECT_EQ(tensors_[1].name(), "b");
}

TEST_F(TensorsTest, AScalarHasOneElement) {
  ASSERT_TRUE(read({{.shape = {}}}).ok());
  EXPECT_EQ(tensors_[0].elements(), 1u);
  EXPECT_EQ(refusal({.shape = {}, .offset = kPayloadBytes}),
            "the frame's tensor 0: has elements outside of the payload");
}

TEST_F(TensorsTest, AnEmptyOneHasNoneWhateverItsStrides) {
  ASSERT_TRUE(
      read({{.shape = {5, 0, 3}, .strides = {kMinStride, 1, 3}, .offset = kPayloadBytes}}).ok());
  EXPECT_EQ(tensors_[0].elements(), 0u);
  EXPECT_THAT(tensors_[0].strides(), ElementsAre(12, 12, 4));
  EXPECT_THAT(refusal({.shape = {0, kHuge, 4}}), HasSubstr("more elements"))
      << "its strides would overflow";
}

TEST_F(TensorsTest, NegativeStridesCountBackFromTheFirstElement) {
  ASSERT_TRUE(read({{.shape = {4}, .strides = {-4}, .offset = 12}}).ok());
  EXPECT_EQ(at(), 12);
  EXPECT_THAT(refusal({.shape = {5}, .strides = {-4}, .offset = 12}), HasSubstr("outside"));
}

TEST_F(TensorsTest, TheLastByteOfThePayloadIsTheLastThatMayBeUsed) {
  EXPECT_EQ(refusal({.shape = {kPayloadBytes / 4}, .offset = 0}), "none");
  EXPECT_THAT(refusal({.shape = {kPayloadBytes / 4}, .offset = 4}), HasSubstr("outside"));
  EXPECT_EQ(refusal({.shape = {16, 2}, .strides = {64, 4}, .offset = 56}), "none");
  EXPECT_THAT(refusal({.shape = {16, 2}, .strides = {64, 4}, .offset = 60}), HasSubstr("outside"));
}

TEST_F(TensorsTest, AStrideOfZeroMakesNoMoreElementsThanThereIsRoomFor) {
  EXPECT_EQ(refusal({.shape = {256}, .strides = {0}}), "none");
  EXPECT_THAT(refusal({.shape = {257}, .strides = {0}}), HasSubstr("more elements"));
}

TEST_F(TensorsTest, ADimensionOfOneHasNoUseForItsStride) {
  ASSERT_TRUE(read({{.shape = {1, 3}, .strides = {kMinStride, 4}}}).ok());
  EXPECT_THAT(tensors_[0].strides(), ElementsAre(12, 4));
}

TEST_F(TensorsTest, WhatOverflowsIsRefused) {
  EXPECT_THAT(refusal({.shape = {kHuge, 4}}), HasSubstr("more elements"));
  EXPECT_THAT(refusal({.shape = {~std::uint64_t{0}}}), HasSubstr("more elements"));
  EXPECT_THAT(refusal({.shape = {3, 3}, .strides = {INT64_MAX - 3, 4}}), HasSubstr("outside"));
  EXPECT_THAT(refusal({.shape = {2}, .strides = {kMinStride}}), HasSubstr("outside"));
  EXPECT_THAT(refusal({.offset = ~std::uint64_t{0}}), HasSubstr("begins outside"));
}

TEST_F(TensorsTest, WhatNoCorrectPeerWritesIsRefused) {
  EXPECT_THAT(refusal({.dtype = "<f3"}), HasSubstr("unknown dtype"));
  EXPECT_THAT(refusal({.dtype = ""}), HasSubstr("unknown dtype"));
  EXPECT_THAT(refusal({.dtype = ">f4"}), HasSubstr("unknown dtype"));
  EXPECT_THAT(refusal({.shape = std::vector<std::uint64_t>(33, 1)}), HasSubstr("dimensions"));
  EXPECT_EQ(refusal({.shape = std::vector<std::uint64_t>(32, 1)}), "none");
  EXPECT_THAT(refusal({.strides = {4}}), HasSubstr("stride a dimension"));
  EXPECT_THAT(refusal({.strides = {13, 4}}), HasSubstr("do not suit"));
  EXPECT_THAT(refusal({.offset = 66}), HasSubstr("not aligned"));
  EXPECT_THAT(refusal({.offset = kPayloadBytes + 64}), HasSubstr("begins outside"));
}

TEST_F(TensorsTest, AValueIsItsOwn) {
  EXPECT_FALSE(read({{.offset = 0, .name = "a"}}, 1).ok()) << "within the value";
  EXPECT_FALSE(read({{.shape = {4}, .strides = {-4}, .offset = 76, .name = "a"}}, 65).ok());
  EXPECT_TRUE(read({{.shape = {4}, .strides = {-4}, .offset = 76, .name = "a"}}, 64).ok());
  EXPECT_FALSE(read({{.name = "a"}}, kPayloadBytes + 1).ok());
  EXPECT_FALSE(read({Said{}}, 64).ok()) << "without names";
}

TEST_F(TensorsTest, NamesAreAllThereAndDiffer) {
  EXPECT_TRUE(read({Said{}, Said{}}).ok());
  EXPECT_FALSE(read({{.name = "a"}, Said{}}).ok());
  EXPECT_FALSE(read({Said{}, {.name = "a"}}).ok());
  EXPECT_FALSE(read({{.name = "a"}, {.name = "b"}, {.name = "a"}}).ok());
}

TEST_F(TensorsTest, AFrameOfTensorsHasSome) { EXPECT_FALSE(read({}).ok()); }

}  // namespace
}  // namespace slotring::shm
