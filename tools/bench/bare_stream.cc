#include "tools/bench/bare_stream.h"

#include <cstring>

namespace slotring::bench {

namespace {

[[noreturn]] void serve(const BareRing& ring, std::size_t frame_bytes) {
  const std::vector<std::byte> frame(frame_bytes, kFrameByte);
  std::uint64_t number = 0;
  for (std::uint64_t stream = 1;; ++stream) {
    ring.await_request(stream);
    for (std::uint64_t i = 0; i < kStreamFrames; ++i) ring.produce(number++, frame);
  }
}

}  // namespace

void BareStreamExchange::call(Bytes request, Space reply) {
  // Release: partner of the acquire in await().
  ring_.requested().sequence.store(++streams_, std::memory_order_release);
  for (std::uint64_t i = 0; i < kStreamFrames; ++i) ring_.consume(frames_++, reply);
  for (const std::byte byte : reply) {
    if (byte != kFrameByte) throw Exception(Error{ErrorCode::kBadFrame, "a frame of other bytes"});
  }
  std::memcpy(reply.data(), request.data(), reply.size());  // as of an echo
}

BareStreamTransport::BareStreamTransport(std::size_t frame_bytes, bool yields)
    : frame_bytes_(frame_bytes), yields_(yields), block_(BareRing::block_bytes(frame_bytes)) {}

void BareStreamTransport::begin_turn() {
  std::memset(block_.data(), 0, BareRing::block_bytes(frame_bytes_));
  server_ = ChildProcess::fork([this]() -> int { serve(ring(), frame_bytes_); });
}

std::unique_ptr<Exchange> BareStreamTransport::connect(int /*client*/) {
  return std::make_unique<BareStreamExchange>(ring());
}

}  // namespace slotring::bench
