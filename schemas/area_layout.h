// The bytes of one slot's area in the request-data or the reply-data memory.
//
// Each slot has one area in each of the two memories. The client writes the request area and reads
// the reply area; the worker does the reverse, and the kernel enforces it: each holds the other's
// memory by a read-only descriptor. An area is page-aligned and has this form:
//
//      0 +------------------------------------------------------+
//        | produced:32  consumed:32  reserved:64                | the writer's counters
//     16 | FrameDescriptor[8]   16 bytes each, frame 0's last   | a ring: frame n is described
//    ... | ... frame 1 at 112                                   | by entry 7 - n mod 8
//    128 | frame 0's: {payload: offset, bytes; envelope: ...}   | one cache line: all that a
//    144 | plain envelope (FlatBuffers, 48 bytes reserved)      | unary call adds to its payload
//    192 | payload section, 64-byte aligned ...                 |
//        | (an envelope over 48 bytes goes behind the payload)  |
//        +------------------------------------------------------+ Geometry::area_bytes
//
// A unary call is one frame each way: descriptor 0, published by the slot word's own transition
// (CLAIMED -> REQUESTED by the client, RUNNING -> REPLIED by the worker, both release). `produced`
// and `consumed` are for frames sent while the slot is RUNNING: writing `produced` (release)
// publishes a descriptor; `consumed` counts frames of the *other* area that this side has finished
// with, and so is the credit of the other side's writer.
//
// Nothing here is trusted by its reader: descriptors are copied once and every extent is bounded
// against Geometry::area_bytes (see client_lib/shm/frame.h).

#ifndef SLOTRING_SCHEMAS_AREA_LAYOUT_H_
#define SLOTRING_SCHEMAS_AREA_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace slotring::layout {

inline constexpr std::size_t kCacheLineBytes = 64;
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kMaxEnvelopeBytes = 16384;
inline constexpr std::size_t kFrameDescriptors = 8;

// All fields are atomics only so that a peer that breaks the rules cannot cause undefined behaviour
// in its reader; they are written and read relaxed, and published by the slot word or by
// `produced`.
struct FrameDescriptor {
  std::atomic<std::uint64_t> payload;          // PayloadExtent
  std::atomic<std::uint32_t> envelope_offset;  // from the area's start, a multiple of 8
  std::atomic<std::uint16_t> envelope_bytes;
  std::atomic<std::uint16_t> flags;  // reserved, 0
};

// {offset in 64-byte lines from the area's start:28 | bytes:36}
struct PayloadExtent {
  std::uint64_t offset;  // a multiple of 64
  std::uint64_t bytes;

  static constexpr PayloadExtent unpack(std::uint64_t word) {
    return {(word >> 36) * kCacheLineBytes, word & ((std::uint64_t{1} << 36) - 1)};
  }
  constexpr std::uint64_t pack() const { return offset / kCacheLineBytes << 36 | bytes; }
};

struct AreaHeader {
  std::atomic<std::uint32_t> produced;
  std::atomic<std::uint32_t> consumed;
  std::uint64_t reserved;
  FrameDescriptor descriptors[kFrameDescriptors];  // through descriptor()

  FrameDescriptor& descriptor(std::uint32_t frame) {
    return descriptors[kFrameDescriptors - 1 - frame % kFrameDescriptors];
  }
  const FrameDescriptor& descriptor(std::uint32_t frame) const {
    return descriptors[kFrameDescriptors - 1 - frame % kFrameDescriptors];
  }
};

inline constexpr std::uint32_t kFrameOffset = 128;  // the line of frame 0's descriptor and envelope
inline constexpr std::uint32_t kEnvelopeOffset = sizeof(AreaHeader);
inline constexpr std::uint32_t kEnvelopeReservedBytes = 48;
inline constexpr std::uint64_t kPayloadOffset = kEnvelopeOffset + kEnvelopeReservedBytes;

static_assert(sizeof(FrameDescriptor) == 16);
static_assert(offsetof(FrameDescriptor, payload) == 0);
static_assert(offsetof(FrameDescriptor, envelope_offset) == 8);
static_assert(offsetof(FrameDescriptor, envelope_bytes) == 12);
static_assert(offsetof(FrameDescriptor, flags) == 14);
static_assert(sizeof(AreaHeader) == 144);
static_assert(offsetof(AreaHeader, produced) == 0);
static_assert(offsetof(AreaHeader, consumed) == 4);
static_assert(offsetof(AreaHeader, descriptors) == 16);
static_assert(kEnvelopeOffset == kFrameOffset + sizeof(FrameDescriptor));
static_assert(kPayloadOffset == kFrameOffset + kCacheLineBytes);
static_assert(std::atomic<std::uint16_t>::is_always_lock_free);

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_AREA_LAYOUT_H_
