// The memory of a bare exchange: a channel for requests and behind it one for replies.
//
//   | Flag, a line: sequence | payload, whole lines | a spare line |
//
// A message is there when its channel's sequence has become the message's number: that is written
// with release after the payload. Included by both ends, the Python extension among them.

#ifndef SLOTRING_TOOLS_BENCH_BARE_CHANNEL_H_
#define SLOTRING_TOOLS_BENCH_BARE_CHANNEL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "client_lib/shm/adaptive_wait.h"
#include "schemas/area_layout.h"
#include "tools/bench/transport.h"

namespace slotring::bench {

// The number of its channel's last message, the first being 1.
struct alignas(layout::kCacheLineBytes) Flag {
  std::atomic<std::uint64_t> sequence{0};
};
static_assert(sizeof(Flag) == layout::kCacheLineBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// The sequence of the replies until a server that takes a while to start has started.
inline constexpr std::uint64_t kNobodyServes = ~std::uint64_t{0};

struct Channel {
  Flag* flag;
  std::byte* payload;
};

// Both ends' channels.
struct Channels {
  Channel requests;
  Channel replies;
};

inline std::size_t channel_bytes(std::size_t payload_bytes) {
  constexpr std::size_t kLine = layout::kCacheLineBytes;
  // A spare line: the CPU's prefetcher fetches lines in pairs.
  return sizeof(Flag) + (payload_bytes + kLine - 1) / kLine * kLine + kLine;
}

// What both channels take.
inline std::size_t block_bytes(std::size_t payload_bytes) {
  return 2 * channel_bytes(payload_bytes);
}

inline Channels channels_in(std::byte* block, std::size_t payload_bytes) {
  const auto at = [](std::byte* begin) {
    return Channel{reinterpret_cast<Flag*>(begin), begin + sizeof(Flag)};
  };
  return {at(block), at(block + channel_bytes(payload_bytes))};
}

inline void await(const Flag& flag, std::uint64_t sequence, bool yields) {
  // Acquire: partner of the release in send().
  while (flag.sequence.load(std::memory_order_acquire) != sequence) {
    yields ? shm::yield_cpu() : shm::cpu_pause();
  }
}

inline void send(const Channel& channel, Bytes message, std::uint64_t sequence) {
  std::memcpy(channel.payload, message.data(), message.size());
  channel.flag->sequence.store(sequence, std::memory_order_release);
}

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_CHANNEL_H_
