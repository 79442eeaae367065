#include "tools/bench/bare_transport.h"

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <new>

#include "client_lib/shm/adaptive_wait.h"
#include "schemas/area_layout.h"

namespace slotring::bench {

namespace {

// One direction: the number of its last message, and behind it, in the next line, the message.
struct alignas(layout::kCacheLineBytes) Flag {
  std::atomic<std::uint64_t> sequence{0};
};

struct Channel {
  Flag* flag;
  std::byte* payload;
};

std::size_t channel_bytes(std::size_t payload_bytes) {
  constexpr std::size_t kLine = layout::kCacheLineBytes;
  // A spare line: the CPU's prefetcher fetches lines in pairs.
  return sizeof(Flag) + (payload_bytes + kLine - 1) / kLine * kLine + kLine;
}

Channel channel_at(const SharedBlock& block, std::size_t payload_bytes, std::size_t index) {
  std::byte* begin = block.data() + index * channel_bytes(payload_bytes);
  return {reinterpret_cast<Flag*>(begin), begin + sizeof(Flag)};
}

void await(const Flag& flag, std::uint64_t sequence, bool yields) {
  // Acquire: partner of the release in send().
  while (flag.sequence.load(std::memory_order_acquire) != sequence) {
    yields ? shm::yield_cpu() : shm::cpu_pause();
  }
}

void send(const Channel& channel, Bytes message, std::uint64_t sequence) {
  std::memcpy(channel.payload, message.data(), message.size());
  channel.flag->sequence.store(sequence, std::memory_order_release);
}

[[noreturn]] void serve(const Channel& requests, const Channel& replies, std::size_t payload_bytes,
                        bool yields) {
  std::vector<std::byte> copy(payload_bytes);
  for (std::uint64_t sequence = 1;; ++sequence) {
    await(*requests.flag, sequence, yields);
    std::memcpy(copy.data(), requests.payload, copy.size());
    send(replies, copy, sequence);
  }
}

class BareExchange : public Exchange {
 public:
  BareExchange(Channel requests, Channel replies, bool yields)
      : requests_(requests), replies_(replies), yields_(yields) {}

  void call(Bytes request, Space reply) override {
    ++sequence_;
    send(requests_, request, sequence_);
    await(*replies_.flag, sequence_, yields_);
    std::memcpy(reply.data(), replies_.payload, reply.size());
  }

 private:
  Channel requests_;
  Channel replies_;
  bool yields_;
  std::uint64_t sequence_ = 0;
};

}  // namespace

BareTransport::BareTransport(std::size_t payload_bytes, bool yields)
    : payload_bytes_(payload_bytes), yields_(yields), block_(2 * channel_bytes(payload_bytes)) {}

void BareTransport::begin_turn() {
  const Channel requests = channel_at(block_, payload_bytes_, 0);
  const Channel replies = channel_at(block_, payload_bytes_, 1);
  new (requests.flag) Flag();
  new (replies.flag) Flag();
  server_ = ChildProcess::fork([&]() -> int { serve(requests, replies, payload_bytes_, yields_); });
}

void BareTransport::end_turn() { server_.end(); }

std::unique_ptr<Exchange> BareTransport::connect(int /*client*/) {
  return std::make_unique<BareExchange>(channel_at(block_, payload_bytes_, 0),
                                        channel_at(block_, payload_bytes_, 1), yields_);
}

}  // namespace slotring::bench
