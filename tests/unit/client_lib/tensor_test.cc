// Tensors, and their way through a slot and back.

#include "slotring/tensor.h"

#include <numeric>

#include <flatbuffers/flexbuffers.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/tensors.h"
#include "slotring/client.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::LocalPool;
using testing::SeatThread;

std::vector<float> counted(std::size_t count) {
  std::vector<float> all(count);
  std::iota(all.begin(), all.end(), 0.0f);
  return all;
}

TEST(TensorTest, KnowsItsTypesByTheirNames) {
  EXPECT_EQ(to_string(dtype_of<float>()), "<f4");
  EXPECT_EQ(to_string(dtype_of<const long long>()), "<i8");
  EXPECT_EQ(to_string(dtype_of<std::byte>()), "|u1");
  EXPECT_EQ(to_string(dtype_of<bool>()), "|b1");
  EXPECT_EQ(to_string(dtype_of<Float16>()), "<f2");
  EXPECT_EQ(to_string(dtype_of<std::complex<double>>()), "<c16");
  for (const internal::DTypeFacts& facts : internal::kDTypes) {
    EXPECT_EQ(to_string(dtype_named(facts.name).value()), facts.name);
  }
  EXPECT_FALSE(dtype_named("f4"));
}

TEST(TensorTest, IsIndexedAsItsShapeSays) {
  std::vector<float> all = counted(24);
  const auto tensor = MutableTensor::of(std::span(all), {2, 3, 4}).value();
  const auto view = tensor.view<float, 3>().value();
  EXPECT_EQ(view(1, 2, 3), 23.0f);
  view(1, 0, 2) = -1.0f;
  EXPECT_EQ(all[14], -1.0f);
  EXPECT_THAT(view.extents(), ElementsAre(2, 3, 4));
  EXPECT_EQ(view.stride(1), 16);
}

TEST(TensorTest, AnIndexOutOfBoundsIsAsserted) {
#ifdef NDEBUG
  GTEST_SKIP() << "assertions are off";
#else
  const std::vector<float> all = counted(6);
  const auto view = Tensor::of(std::span(all), {2, 3}).value().view<const float, 2>().value();
  EXPECT_DEATH((void)view(2, 0), "extents_");
  EXPECT_DEATH((void)view(0, -1), "extents_");
#endif
}

TEST(TensorTest, SaysWhatDiffersFromWhatIsAskedFor) {
  const std::vector<float> all = counted(6);
  const auto tensor = Tensor::of(std::span(all), {2, 3}, "image").value();
  EXPECT_EQ(tensor.span<const double>().error().message,
            "the tensor 'image' has elements of <f4, not of <f8");
  EXPECT_EQ((tensor.view<const float, 3>().error().message),
            "the tensor 'image' has the shape (2, 3), not 3 dimensions");
  EXPECT_EQ(
      Tensor::of(std::span(all), {2, 4}).error().message,
      "a tensor of shape (2, 4) has 8 elements, and its memory 6: give a shape of as many, or "
      "as much of the memory as the shape takes");
  EXPECT_THAT(Tensor::of(std::span(all), {-2, -3}).error().message, HasSubstr("more than 2^63"));
  const std::array<std::int64_t, 2> strides{4, 8};
  const Tensor transposed(DType::kFloat32, tensor.data(), {3, 2}, strides);
  EXPECT_THAT(transposed.span<const float>().error().message, HasSubstr("is not contiguous"));
}

TEST(TensorTest, ReadsHalvesAndBoolsByTheirBits) {
  const std::array<std::uint16_t, 2> halves{0x3C00, 0xC000};
  const Tensor tensor(DType::kFloat16, reinterpret_cast<const std::byte*>(halves.data()), {2});
  EXPECT_EQ(tensor.span<const std::uint16_t>().value()[1], 0xC000);
  EXPECT_EQ(tensor.span<const Float16>().value()[0].bits, 0x3C00);
  EXPECT_FALSE(tensor.span<const std::int16_t>().ok());
}

TEST(TensorTest, AnEmptyTensorAndAScalarAreContiguous) {
  const float one = 1.0f;
  EXPECT_EQ(Tensor::of(std::span(&one, 1), {}).value().span<const float>().value().size(), 1u);
  EXPECT_EQ(Tensor(std::span<const float>()).span<const float>().value().size(), 0u);
}

TEST(TensorTest, CopiesStridedElementsInCOrder) {
  const std::vector<float> all = counted(6);
  const std::array<std::int64_t, 2> strides{-4, 12};
  const Tensor turned(DType::kFloat32, reinterpret_cast<const std::byte*>(&all[2]), {3, 2},
                      strides);
  std::array<float, 6> copy;
  copy_elements(turned, reinterpret_cast<std::byte*>(copy.data()));
  EXPECT_THAT(copy, ElementsAre(2, 5, 1, 4, 0, 3));
}

// Sends a request's tensors and value back as they are.
void echo(shm::WorkerSeat& seat, const shm::RunningCall& call) {
  std::vector<Tensor> tensors;
  const shm::Frame frame{call.head, call.rare, call.payload};
  const Result<std::uint64_t> value_bytes = shm::read_tensors(frame, tensors);
  if (!value_bytes) return seat.fail(call, value_bytes.error());
  std::vector<shm::PlacedTensor> placed;
  for (const Tensor& tensor : tensors) {
    placed.push_back({tensor, static_cast<std::uint64_t>(tensor.data() - call.payload.data())});
  }
  const std::vector<shm::TensorHead> heads = shm::heads_of(placed);
  const auto space = seat.reply_space(call, call.payload.size()).value();
  std::memcpy(space.data(), call.payload.data(), call.payload.size());
  seat.reply(call, call.head.kind, call.payload.size(),
             {.tensors = heads, .value_bytes = *value_bytes})
      .value();
}

std::vector<std::uint8_t> map_with(const char* key, int number) {
  flexbuffers::Builder builder;
  builder.Map([&] { builder.Int(key, number); });
  builder.Finish();
  return builder.GetBuffer();
}

class TensorCallTest : public ::testing::Test {
 protected:
  TensorCallTest() { pool_.publish_all(); }

  Lease claim() { return client_->claim(kNever).value(); }
  Result<ReplyView> exchange(Lease& lease, const Payload& payload) {
    return internal::exchange(lease, "echo", payload);
  }
  bool is_in_slot(const Tensor& tensor) const {
    const std::byte* replies = pool_.replies().area(0);
    return tensor.data() >= replies && tensor.data() < replies + 4 * pool_.replies().area_bytes() &&
           reinterpret_cast<std::uintptr_t>(tensor.data()) % kTensorAlignment == 0;
  }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  SeatThread worker_{pool_, echo};
};

TEST_F(TensorCallTest, ATensorComesBackInPlace) {
  const std::vector<float> all = counted(600);
  Lease lease = claim();
  const auto reply = exchange(lease, Tensor::of(std::span(all), {20, 30}).value()).value();
  const Tensor tensor = reply.tensor().value();
  EXPECT_TRUE(is_in_slot(tensor));
  EXPECT_THAT(tensor.shape(), ElementsAre(20, 30));
  EXPECT_EQ((tensor.view<const float, 2>().value()(19, 29)), 599.0f);
}

TEST_F(TensorCallTest, SeveralComeBackInTheirOrder) {
  const std::vector<float> all = counted(5);
  const std::vector<std::uint8_t> bytes{7, 8};
  Lease lease = claim();
  const auto reply = exchange(lease, Payload::tensors({std::span(all), std::span(bytes)})).value();
  ASSERT_EQ(reply.tensors.size(), 2u);
  EXPECT_THAT(reply.tensors[0].span<const float>().value(), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(reply.tensors[1].span<const std::uint8_t>().value(), ElementsAre(7, 8));
  EXPECT_THAT(reply.tensor().error().message, HasSubstr("2 tensors, without names, not one alone"));
  EXPECT_FALSE(reply.value().ok());
}

TEST_F(TensorCallTest, NamedOnesTravelWithAValue) {
  const std::vector<float> all = counted(5);
  const auto value = map_with("factor", 3);
  Lease lease = claim();
  const auto reply =
      exchange(lease, Payload::tensors({Tensor(std::span(all), "a"), {std::span(all), "b"}}, value))
          .value();
  EXPECT_EQ(reply.tensor("b").value().span<const float>().value()[4], 4.0f);
  EXPECT_THAT(reply.tensor("c").error().message,
              HasSubstr("2 tensors, named 'a' 'b', not one named 'c'"));
  const auto back = reply.value().value();
  EXPECT_EQ(flexbuffers::GetRoot(back).AsMap()["factor"].AsInt32(), 3);
}

TEST_F(TensorCallTest, WhatDoesNotGoTogetherIsNotSent) {
  const std::vector<float> all = counted(5);
  const auto value = map_with("factor", 3);
  const Tensor unnamed(std::span<const float>{all});
  const Tensor a(std::span<const float>{all}, "a");
  const std::vector<std::vector<Tensor>> sets = {{}, {a, unnamed}, {a, a}};
  std::vector<Payload> payloads = {Payload::tensors(std::span(&unnamed, 1), value)};
  for (const std::vector<Tensor>& set : sets) {
    payloads.push_back(Payload::tensors(std::span<const Tensor>(set)));
  }
  for (const Payload& payload : payloads) {
    Lease lease = claim();
    EXPECT_EQ(exchange(lease, payload).error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(lease.held());
  }
}

TEST_F(TensorCallTest, TensorsAreMadeInPlace) {
  Lease lease = claim();
  lease.put_value(map_with("factor", 3)).value();
  const auto image = lease.empty<float>({2, 3}, "image").value();
  const auto mask = lease.empty<bool>({6}, std::string("ma") + "sk").value();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(mask.data()) % kTensorAlignment, 0u);
  image.view<float, 2>().value()(1, 2) = 5.0f;
  mask.span<bool>().value()[5] = true;
  lease.submit("echo").value();
  const ReplyView reply = lease.wait().value();
  EXPECT_EQ((reply.tensor("image").value().view<const float, 2>().value()(1, 2)), 5.0f);
  EXPECT_TRUE(reply.tensor("mask").value().span<const bool>().value()[5]);
  EXPECT_GT(reply.value_bytes, 0u);
}

TEST_F(TensorCallTest, WhatDoesNotFitIsRefusedAndTheRestStands) {
  Lease lease = claim();
  const auto image = lease.empty<float>({4}, "image").value();
  EXPECT_EQ(lease.empty<float>({1 << 20}, "large").error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(lease.empty<double>({std::uint64_t{1} << 59}, "huge").error().code,
            ErrorCode::kPayloadTooLarge)
      << "2^62 bytes";
  EXPECT_EQ(lease.empty<double>({std::uint64_t{1} << 60, 2}, "").error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(lease.put_value(map_with("late", 1)).error().code, ErrorCode::kInvalidArgument);
  image.span<float>().value()[3] = 7.0f;
  lease.submit("echo").value();
  EXPECT_EQ(lease.wait().value().tensor().value().span<const float>().value()[3], 7.0f);
}

TEST_F(TensorCallTest, ATensorOverTheSlotsSizeIsRefusedBeforeAnythingIsWritten) {
  Lease lease = claim();
  std::span<std::byte> area = lease.request(100).value();
  area[0] = std::byte{0x5A};
  const std::vector<double> large(pool_.requests().area_bytes() / 8);
  EXPECT_EQ(exchange(lease, Tensor(std::span(large))).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(area[0], std::byte{0x5A});
}

TEST_F(TensorCallTest, ALeaseStartsWithoutTheTensorsOfTheOneBefore) {
  Lease first = claim();
  (void)first.empty<float>({4}).value();
  first.release();
  Lease second = claim();
  EXPECT_EQ(second.submit("echo").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(second.submit("echo", PayloadKind::kTensors, 0).error().code,
            ErrorCode::kInvalidArgument);
}

TEST(TensorReplyTest, AReplyWhoseTensorsLieOutsideIsABadFrame) {
  LocalPool pool;
  pool.publish_all();
  const auto client = pool.client();
  const SeatThread worker(pool, [](shm::WorkerSeat& seat, const shm::RunningCall& call) {
    const std::array<std::uint64_t, 1> shape{1000};
    const std::array<shm::TensorHead, 1> heads{{{.dtype = "<f8", .shape = shape, .strides = {}}}};
    (void)seat.reply_space(call, 64).value();
    seat.reply(call, wire::PayloadKind::Tensors, 64, {.tensors = heads}).value();
  });
  Lease lease = client->claim(kNever).value();
  lease.submit("m", PayloadKind::kEmpty, 0).value();
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kBadFrame);
  EXPECT_FALSE(lease.held());
}

}  // namespace
}  // namespace slotring
