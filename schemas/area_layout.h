// The bytes of one slot's area in the request-data or the reply-data memory.
//
// Each slot has one area in each of the two memories. The client writes the request area and reads
// the reply area; the worker does the reverse, and the kernel enforces it: each holds the other's
// memory by a read-only descriptor. An area is page-aligned and has this form:
//
//      0 +------------------------------------------------------+
//        | produced:32  consumed:32  reserved:64                | the writer's counters
//     16 | FrameDescriptor[8]  {payload at, bytes; envelope at,  | a ring: frame n is described
//        |                      bytes; flags}   24 bytes each   | at n mod 8
//    208 | reserved                                             |
//    256 +------------------------------------------------------+
//        | envelope (FlatBuffers, 64 bytes reserved)            | a unary call's place
//    320 | payload section, 64-byte aligned ...                 |
//        | (an envelope over 64 bytes goes behind the payload)  |
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
  std::atomic<std::uint64_t> payload_offset;  // from the area's start, a multiple of 64
  std::atomic<std::uint64_t> payload_bytes;
  std::atomic<std::uint32_t> envelope_offset;  // from the area's start, a multiple of 8
  std::atomic<std::uint16_t> envelope_bytes;
  std::atomic<std::uint16_t> flags;  // reserved, 0
};

struct alignas(kCacheLineBytes) AreaHeader {
  std::atomic<std::uint32_t> produced;
  std::atomic<std::uint32_t> consumed;
  std::uint64_t reserved;
  FrameDescriptor descriptors[kFrameDescriptors];
  std::uint8_t padding[48];
};

inline constexpr std::uint32_t kEnvelopeOffset = sizeof(AreaHeader);
inline constexpr std::uint32_t kEnvelopeReservedBytes = 64;
inline constexpr std::uint64_t kPayloadOffset = kEnvelopeOffset + kEnvelopeReservedBytes;

static_assert(sizeof(FrameDescriptor) == 24);
static_assert(offsetof(FrameDescriptor, payload_offset) == 0);
static_assert(offsetof(FrameDescriptor, payload_bytes) == 8);
static_assert(offsetof(FrameDescriptor, envelope_offset) == 16);
static_assert(offsetof(FrameDescriptor, envelope_bytes) == 20);
static_assert(offsetof(FrameDescriptor, flags) == 22);
static_assert(sizeof(AreaHeader) == 256);
static_assert(offsetof(AreaHeader, produced) == 0);
static_assert(offsetof(AreaHeader, consumed) == 4);
static_assert(offsetof(AreaHeader, descriptors) == 16);
static_assert(kPayloadOffset % kCacheLineBytes == 0);
static_assert(std::atomic<std::uint16_t>::is_always_lock_free);

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_AREA_LAYOUT_H_
