// Frames: an area that a hostile peer wrote, read as a worker and as a client read it.
//
//     input: {frame index:8 | generation:32 | descriptor of that frame:128 | area from byte 128 on}

#include "client_lib/shm/frame.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <numeric>
#include <optional>

#include "tests/fuzz/input_reader.h"
#include "tests/fuzz/seed_corpus.h"
#include "tests/support/local_pool.h"

namespace slotring::fuzz {
namespace {

using layout::AreaHeader;
using layout::FrameDescriptor;
using layout::kEnvelopeOffset;
using layout::kFrameOffset;
using layout::kPayloadOffset;
using layout::PayloadExtent;

constexpr std::uint64_t kAreaBytes = 4096;

// Private memory of exactly the area's size: the sanitizer sees every read outside of it.
class Area {
 public:
  Area() : bytes_(new (std::align_val_t{64}) std::byte[kAreaBytes]()) {}
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  ~Area() { ::operator delete[](bytes_, std::align_val_t{64}); }

  std::byte* data() const { return bytes_; }
  FrameDescriptor& descriptor() const { return reinterpret_cast<AreaHeader*>(bytes_)->first; }

 private:
  std::byte* bytes_;
};

// What decides whether a frame is good, written a second time and without the shortcut for plain
// envelopes: the full verifier must agree with read().
bool is_good(const Area& area, std::uint32_t generation) {
  const FrameDescriptor& descriptor = area.descriptor();
  const PayloadExtent payload = PayloadExtent::unpack(descriptor.payload.load());
  const std::uint64_t offset = descriptor.envelope_at.load() * layout::kEnvelopeUnitBytes;
  const std::size_t bytes = descriptor.envelope_bytes.load();
  if (payload.offset < kPayloadOffset || payload.offset + payload.bytes > kAreaBytes) return false;
  if (offset < kEnvelopeOffset || bytes < 8 || offset + bytes > kAreaBytes) {
    return false;
  }
  std::vector<std::uint64_t> copy((bytes + 7) / 8);
  std::memcpy(copy.data(), area.data() + offset, bytes);
  flatbuffers::Verifier verifier(reinterpret_cast<const std::uint8_t*>(copy.data()), bytes);
  return wire::VerifyEnvelopeBuffer(verifier) &&
         wire::GetEnvelope(copy.data())->fixed()->generation() == generation;
}

// Looks at all that a worker and a client look at.
void use(const shm::Frame& frame) {
  std::size_t seen = std::accumulate(
      frame.payload.begin(), frame.payload.end(), std::size_t{0},
      [](std::size_t sum, std::byte byte) { return sum + static_cast<std::size_t>(byte); });
  if (frame.rare != nullptr && frame.rare->method_name() != nullptr) {
    for (const char c : frame.rare->method_name()->string_view()) seen += c == ' ' ? 1 : 0;
  }
  if (const std::optional<Error> error = shm::error_of(frame)) seen += error->to_string().size();
  volatile std::size_t kept = seen;
  (void)kept;
}

}  // namespace

std::vector<Input> seeds() {
  const Error error{ErrorCode::kHandlerRaised, "message", "ValueError", "traceback", true};
  const shm::RareHead rares[] = {
      {}, {.method_name = "classify"}, {.error = &error}, {"classify", &error}};
  const testing::LocalPool pool;
  std::vector<Input> all;
  for (const shm::RareHead& rare : rares) {
    shm::FrameWriter writer(pool.requests(), 0);
    std::memset(writer.payload_space(100).value().data(), 'p', 100);
    writer.commit({1, 2, 7, 3, wire::PayloadKind::Bytes}, 100, rare).value();
    const std::byte* area = pool.requests().area(0);
    Input input;
    append(input, std::uint32_t{7});
    const auto* frame = reinterpret_cast<const std::uint8_t*>(area + kFrameOffset);
    input.insert(input.end(), frame, frame + sizeof(FrameDescriptor));
    input.insert(input.end(), frame, frame + 512);
    all.push_back(std::move(input));
  }
  return all;
}

}  // namespace slotring::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace slotring;
  fuzz::InputReader input(data, size);
  const auto generation = input.next<std::uint32_t>();
  const auto descriptor = input.next_bytes(sizeof(layout::FrameDescriptor));
  const auto frame_bytes = input.next_bytes(fuzz::kAreaBytes - layout::kFrameOffset);
  const fuzz::Area area;
  std::copy_n(frame_bytes.begin(), frame_bytes.size(),
              reinterpret_cast<std::uint8_t*>(area.data()) + layout::kFrameOffset);
  std::copy_n(descriptor.begin(), descriptor.size(),
              reinterpret_cast<std::uint8_t*>(&area.descriptor()));

  shm::FrameReader reader(fuzz::kAreaBytes);
  Result<shm::Frame> frame = reader.read(area.data(), generation);
  FUZZ_CHECK(frame.ok() == fuzz::is_good(area, generation));
  if (!frame) {
    FUZZ_CHECK(frame.error().code == ErrorCode::kBadFrame);
    return 0;
  }
#ifdef SLOTRING_SEEDED_BUG  // a reader that trusts a length eight times, of payloads that are not
                            // the seeds'
  if (frame->payload.size() > 100) {
    frame->payload = {frame->payload.data(), 8 * frame->payload.size()};
  }
#endif
  fuzz::use(*frame);
  return 0;
}
