#include "tools/bench/bare_transport.h"

#include <cstdint>
#include <cstring>
#include <new>

#include "tools/bench/bare_channel.h"
#include "tools/bench/bare_exchange.h"

namespace slotring::bench {

namespace {

[[noreturn]] void serve(const Channels& channels, std::size_t payload_bytes, bool yields) {
  std::vector<std::byte> copy(payload_bytes);
  for (std::uint64_t sequence = 1;; ++sequence) {
    await(*channels.requests.flag, sequence, yields);
    std::memcpy(copy.data(), channels.requests.payload, copy.size());
    send(channels.replies, copy, sequence);
  }
}

[[noreturn]] void serve_in_place(const Channels& channels, std::size_t payload_bytes, bool yields) {
  for (std::uint64_t sequence = 1;; ++sequence) {
    await(*channels.requests.flag, sequence, yields);
    send(channels.replies, {channels.requests.payload, payload_bytes}, sequence);
  }
}

}  // namespace

BareTransport::BareTransport(std::size_t payload_bytes, bool yields, bool in_place)
    : payload_bytes_(payload_bytes),
      yields_(yields),
      in_place_(in_place),
      block_(block_bytes(payload_bytes)) {}

void BareTransport::begin_turn() {
  const Channels channels = channels_in(block_.data(), payload_bytes_);
  new (channels.requests.flag) Flag();
  new (channels.replies.flag) Flag();
  server_ = ChildProcess::fork([&]() -> int {
    in_place_ ? serve_in_place(channels, payload_bytes_, yields_)
              : serve(channels, payload_bytes_, yields_);
  });
}

void BareTransport::end_turn() { server_.end(); }

std::unique_ptr<Exchange> BareTransport::connect(int /*client*/) {
  return std::make_unique<BareExchange>(channels_in(block_.data(), payload_bytes_), yields_);
}

}  // namespace slotring::bench
