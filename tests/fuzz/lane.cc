// Lanes: an area that a hostile peer wrote, and writes again between two looks, read as a running
// call's other side reads it; and the tensors that its frames say they have.
//
//     input: {lane:8 | rounds of {produced:64 | consumed:64 | entry:8 |
//             descriptor:128 | at:16 | bytes:16 | so many bytes of the area from there on}}

#include "client_lib/shm/lane.h"

#include <cstdio>
#include <cstring>
#include <numeric>
#include <optional>

#include "client_lib/shm/tensors.h"
#include "tests/fuzz/input_reader.h"
#include "tests/fuzz/seed_corpus.h"
#include "tests/support/local_pool.h"

namespace slotring::fuzz {
namespace {

using layout::AreaHeader;
using layout::FrameDescriptor;
using layout::Lane;
using layout::LaneCount;
using layout::LaneFlags;
using layout::PayloadExtent;

constexpr std::uint32_t kGeneration = 1;
constexpr int kMostFrames = 300;

const testing::LocalPool& pool() {
  static const testing::LocalPool pool;
  return pool;
}

// The peer's area is the second of its memory: what is read before or behind it lies in others.
std::byte* peer_area() { return pool().requests().area(1); }
std::byte* own_area() { return pool().replies().area(1); }

void check_within(const std::byte* data, std::uint64_t bytes) {
  const std::byte* end = peer_area() + pool().requests().area_bytes();
  FUZZ_CHECK(data >= peer_area() && data <= end);
  FUZZ_CHECK(bytes <= static_cast<std::uint64_t>(end - data));
}

// Every element that a tensor says it has, at its outermost.
void check_tensor(const Tensor& tensor, std::span<const std::byte> payload) {
  if (tensor.bytes() == 0) return;
  FUZZ_CHECK(tensor.bytes() <= payload.size());
  const std::byte* low = tensor.data();
  const std::byte* high = tensor.data() + bytes_of(tensor.dtype());
  for (std::size_t d = 0; d < tensor.shape().size(); ++d) {
    const std::int64_t reach =
        static_cast<std::int64_t>(tensor.shape()[d] - 1) * tensor.strides()[d];
    (reach < 0 ? low : high) += reach;
  }
  FUZZ_CHECK(low >= payload.data() && high <= payload.data() + payload.size());
}

void use(const shm::LaneFrame& frame) {
  check_within(frame.frame.payload.data(), frame.frame.payload.size());
  FUZZ_CHECK(static_cast<int>(frame.kind) < layout::kLaneFrameKinds);
  FUZZ_CHECK(frame.frame.head.kind <= wire::PayloadKind::MAX);
  (void)shm::error_of(frame.frame);
  std::vector<Tensor> tensors;
  if (!shm::read_tensors(frame.frame, tensors)) return;
  for (const Tensor& tensor : tensors) check_tensor(tensor, frame.frame.payload);
}

// What the peer writes in one round.
void scribble(InputReader& input, Lane lane) {
  auto& header = *reinterpret_cast<AreaHeader*>(peer_area());
  const auto index = static_cast<std::size_t>(lane);
  header.produced[index].store(input.next<std::uint64_t>());
  header.consumed[index].store(input.next<std::uint64_t>());
  FrameDescriptor& descriptor = header.descriptor(lane, input.next<std::uint8_t>());
  descriptor.payload.store(input.next<std::uint64_t>());
  descriptor.envelope_at.store(input.next<std::uint32_t>());
  descriptor.envelope_bytes.store(input.next<std::uint16_t>());
  descriptor.flags.store(input.next<std::uint16_t>());
  const std::uint32_t at = layout::kPayloadOffset + input.next<std::uint16_t>();
  const auto bytes = input.next_bytes(input.next<std::uint16_t>());
  if (!bytes.empty()) std::memcpy(peer_area() + at, bytes.data(), bytes.size());
}

// Reads what there is, as StreamCall does.
void read(shm::LaneReader& reader, bool plain_first) {
  for (int i = 0; i < kMostFrames && reader.ready(); ++i) {
    if (plain_first) {
      if (const auto item = reader.try_next_item()) {
        check_within(item->payload.data(), item->payload.size());
        FUZZ_CHECK(item->kind <= wire::PayloadKind::Value);
        continue;
      }
    }
    const Result<shm::LaneFrame> frame = reader.next();
    if (!frame) {
      FUZZ_CHECK(frame.error().code == ErrorCode::kBadFrame);
      return;
    }
    use(*frame);
    if (i % 7 == 0) reader.release();
  }
}

void append_round(Input& input, const LaneCount& produced, const FrameDescriptor& descriptor,
                  std::span<const std::byte> payload) {
  append(input, produced.pack());
  append(input, std::uint64_t{0});
  append(input, std::uint8_t{0});
  append(input, descriptor.payload.load());
  append(input, descriptor.envelope_at.load());
  append(input, descriptor.envelope_bytes.load());
  append(input, descriptor.flags.load());
  append(input, std::uint16_t{0});
  append(input, static_cast<std::uint16_t>(payload.size()));
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
  input.insert(input.end(), bytes, bytes + payload.size());
}

}  // namespace

// A plain item, one with an envelope that names a tool, and one of tensors.
std::vector<Input> seeds() {
  std::vector<Input> all;
  const std::uint64_t shape[] = {2, 3};
  const std::int64_t strides[] = {12, 4};
  const shm::TensorHead tensors[] = {
      {.dtype = "float32", .shape = shape, .name = "a"},
      {.dtype = "int32", .shape = shape, .strides = strides, .offset = 64, .name = "b"}};
  const shm::RareHead rares[] = {{}, {.method_name = "search"}, {.tensors = tensors}};
  for (const shm::RareHead& rare : rares) {
    const bool is_tensors = !rare.tensors.empty();
    const wire::PayloadKind kind =
        is_tensors ? wire::PayloadKind::Tensors : wire::PayloadKind::Bytes;
    Input input;
    append(input, static_cast<std::uint8_t>(rare.method_name.empty() ? 0 : 1));
    std::vector<std::byte> content(128, std::byte{'p'});
    FrameDescriptor descriptor{};
    descriptor.payload.store(PayloadExtent{layout::kPayloadOffset, content.size()}.pack());
    descriptor.flags.store(LaneFlags{static_cast<std::uint8_t>(kind), {}}.pack());
    if (!rare.empty()) {
      const auto envelope =
          shm::EnvelopeImage::build({.generation = kGeneration, .kind = kind}, rare).value();
      descriptor.envelope_at.store(static_cast<std::uint32_t>(
          (layout::kPayloadOffset + content.size()) / layout::kEnvelopeUnitBytes));
      descriptor.envelope_bytes.store(static_cast<std::uint16_t>(envelope.bytes().size()));
      content.insert(content.end(), envelope.bytes().begin(), envelope.bytes().end());
    }
    append_round(input, {kGeneration, 1}, descriptor, content);
    append_round(input, {kGeneration, 3}, descriptor, {});
    all.push_back(std::move(input));
  }
  return all;
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  using namespace slotring::fuzz;
  InputReader input(data, size);
  const auto choice = input.next<std::uint8_t>();
  const auto lane = static_cast<layout::Lane>(choice % layout::kLanes);
  shm::FrameWriter area(pool().replies(), 1);
  area.begin();
  shm::LaneWriter writer(area, lane);
  writer.begin(peer_area(), kGeneration, shm::kMinWindowBytes);
  shm::LaneReader reader(pool().requests(), lane);
  reader.begin(peer_area(), own_area(), kGeneration);
  while (!input.empty()) {
    scribble(input, lane);
    read(reader, /*plain_first=*/choice >= 128);
    reader.release();
    // Whatever room the peer says that it gave.
    FUZZ_CHECK(writer.unread() <= layout::lane_entries(lane));
    if (!writer.has_room(1000)) continue;
    const Result<std::span<std::byte>> space = writer.space(1000);
    FUZZ_CHECK(space.ok() && space->data() > own_area());
    FUZZ_CHECK(space->data() + space->size() <= own_area() + pool().replies().area_bytes());
    std::memset(space->data(), 'w', space->size());
    FUZZ_CHECK(writer.commit(shm::LaneFrameKind::kItem, {.generation = kGeneration}, 1000).ok());
  }
  return 0;
}
