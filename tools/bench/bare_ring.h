// The memory of a bare stream: a request's number, and a ring of frames that answers it. As many
// frames are under way as in a stream of Slotring's.
//
//   | requested, a line | produced, a line | consumed, a line | kRingEntries frames, whole lines |
//
// The counts are of all frames since the memory was made. Included by both ends, the Python
// extension among them.

#ifndef SLOTRING_TOOLS_BENCH_BARE_RING_H_
#define SLOTRING_TOOLS_BENCH_BARE_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "schemas/area_layout.h"
#include "tools/bench/bare_channel.h"

namespace slotring::bench {

inline constexpr std::uint64_t kStreamFrames = 100'000;  // a stream
inline constexpr std::byte kFrameByte{0x46};             // what frames are made of
inline constexpr std::uint64_t kRingEntries = layout::kStreamEntries;

class BareRing {
 public:
  BareRing(std::byte* block, std::size_t frame_bytes, bool yields)
      : requested_(reinterpret_cast<Flag*>(block)),
        produced_(requested_ + 1),
        consumed_(produced_ + 1),
        frames_(block + 3 * sizeof(Flag)),
        frame_bytes_(frame_bytes),
        yields_(yields) {}

  static std::size_t stride(std::size_t frame_bytes) {
    return (frame_bytes + sizeof(Flag) - 1) / sizeof(Flag) * sizeof(Flag);
  }
  static std::size_t block_bytes(std::size_t frame_bytes) {
    return 3 * sizeof(Flag) + kRingEntries * stride(frame_bytes);
  }

  Flag& requested() const { return *requested_; }
  void await_request(std::uint64_t number) const { await(*requested_, number, yields_); }

  // Frame `number`, which is the next one; waits for room.
  void produce(std::uint64_t number, Bytes frame) const {
    // Acquire: partner of the release in consume().
    while (number - consumed_->sequence.load(std::memory_order_acquire) >= kRingEntries) wait();
    std::memcpy(at(number), frame.data(), frame_bytes_);
    produced_->sequence.store(number + 1, std::memory_order_release);
  }
  // Waits for frame `number`, which is the next one.
  void consume(std::uint64_t number, Space copy) const {
    // Acquire: partner of the release in produce().
    while (produced_->sequence.load(std::memory_order_acquire) <= number) wait();
    std::memcpy(copy.data(), at(number), frame_bytes_);
    consumed_->sequence.store(number + 1, std::memory_order_release);
  }

 private:
  std::byte* at(std::uint64_t number) const {
    return frames_ + number % kRingEntries * stride(frame_bytes_);
  }
  void wait() const { yields_ ? shm::yield_cpu() : shm::cpu_pause(); }

  Flag* requested_;
  Flag* produced_;
  Flag* consumed_;
  std::byte* frames_;
  std::size_t frame_bytes_;
  bool yields_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_BARE_RING_H_
