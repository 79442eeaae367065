// The bytes of one slot's area in the request-data or the reply-data memory.
//
// Each slot has one area in each of the two memories. The client writes the request area and reads
// the reply area; the worker does the reverse, and the kernel enforces it: each holds the other's
// memory by a read-only descriptor. An area is page-aligned and has this form:
//
//      0 +------------------------------------------------------+
//        | LaneCount produced[2]                                | frames in this area's lanes
//     64 | LaneCount consumed[2]                                | frames of the *other* area's
//     lanes
//    128 | FrameDescriptor stream[128]                          | ring: frame n is described by
//   2176 | FrameDescriptor tools[8]                             | entry n mod the lane's entries
//   2304 | FrameDescriptor first                                | one cache line: all that a
//   2320 | plain envelope (FlatBuffers, 48 bytes reserved)      | unary call adds to its payload
//   2368 | payload section, 64-byte aligned ...                 |
//        | (an envelope over 48 bytes, and the windows in which |
//        | the lanes' frames stand, go behind the payload)      |
//        +------------------------------------------------------+ Geometry::area_bytes
//
// A unary call is one frame each way, described by `first` and published by the slot word's own
// transition (CLAIMED -> REQUESTED by the client, RUNNING -> REPLIED by the worker, both release).
//
// While the slot is RUNNING, and only if the request says that its caller attends to them
// (wire.FrameFlags), frames travel both ways in two lanes: the items of a stream, and what tools
// are asked and answer. A lane is a single-producer single-consumer ring. Storing `produced`
// publishes a descriptor. `consumed` is how many of the other side's frames this side has finished
// with, and so the credit of the other side's writer. Both counts carry their call's generation: a
// count of another call counts as 0, and nothing needs to be reset before a call that another
// process made.
//
// Nothing here is trusted by its reader: counts and descriptors are copied once and every extent is
// bounded against Geometry::area_bytes (see client_lib/shm/frame.h and lane.h).

#ifndef SLOTRING_SCHEMAS_AREA_LAYOUT_H_
#define SLOTRING_SCHEMAS_AREA_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace slotring::layout {

inline constexpr std::size_t kCacheLineBytes = 64;
inline constexpr std::size_t kPageBytes = 4096;
inline constexpr std::size_t kMaxEnvelopeBytes = 16384;
inline constexpr std::uint32_t kStreamEntries = 128;  // a power of two
inline constexpr std::uint32_t kToolEntries = 8;      // a power of two

// All fields are atomics only so that a peer that breaks the rules cannot cause undefined behaviour
// in its reader; they are written and read relaxed, and published by the slot word or by
// `produced`.
struct FrameDescriptor {
  std::atomic<std::uint64_t> payload;      // PayloadExtent
  std::atomic<std::uint32_t> envelope_at;  // in units of 8 bytes from the area's start
  std::atomic<std::uint16_t> envelope_bytes;
  std::atomic<std::uint16_t> flags;  // of `first`: 0; in a lane: LaneFlags
};

// So that 32 bits reach everywhere in an area.
inline constexpr std::uint64_t kEnvelopeUnitBytes = 8;

// {offset in 64-byte lines from the area's start:28 | bytes:36}
struct PayloadExtent {
  std::uint64_t offset;  // a multiple of 64
  std::uint64_t bytes;

  static constexpr PayloadExtent unpack(std::uint64_t word) {
    return {(word >> 36) * kCacheLineBytes, word & ((std::uint64_t{1} << 36) - 1)};
  }
  constexpr std::uint64_t pack() const { return offset / kCacheLineBytes << 36 | bytes; }
};

enum class Lane : std::uint8_t { kStream = 0, kTools = 1 };
inline constexpr std::size_t kLanes = 2;

enum class LaneFrameKind : std::uint8_t {
  kItem = 0,         // stream: one item
  kEnd = 1,          // stream: no item follows
  kToolCall = 2,     // tools, from the worker: its envelope names the tool
  kToolReply = 3,    // tools, from the client: the result, or an error in its envelope
  kNested = 4,       // tools, from the client: a call made by a tool; its envelope is a request's
  kNestedReply = 5,  // tools, from the worker
};
inline constexpr std::uint8_t kLaneFrameKinds = 6;

// FixedPart::call_id of a kToolCall: {call_id of the kNested whose handler asks:32 | number:32}.
// The kToolReply echoes it. `within` is 0 where the call's own handler asks; by it the client tells
// a question that the nested call which it waits for depends on from those that can wait for that
// call's end.
struct ToolCallId {
  std::uint32_t within = 0;
  std::uint32_t number = 0;

  static constexpr ToolCallId unpack(std::uint64_t id) {
    return {static_cast<std::uint32_t>(id >> 32), static_cast<std::uint32_t>(id)};
  }
  constexpr std::uint64_t pack() const { return std::uint64_t{within} << 32 | number; }
};

// FrameDescriptor::flags of a frame in a lane: {payload kind:8 | frame kind:8}. A frame without an
// envelope (envelope_bytes 0) is of this payload kind; one with an envelope, as its envelope says.
struct LaneFlags {
  std::uint8_t payload_kind = 0;  // wire.PayloadKind
  LaneFrameKind frame_kind = LaneFrameKind::kItem;

  static constexpr LaneFlags unpack(std::uint16_t flags) {
    return {static_cast<std::uint8_t>(flags >> 8),
            static_cast<LaneFrameKind>(static_cast<std::uint8_t>(flags))};
  }
  constexpr std::uint16_t pack() const {
    return static_cast<std::uint16_t>(payload_kind << 8 | static_cast<std::uint8_t>(frame_kind));
  }
};

// {generation:32 | count:32}
struct LaneCount {
  std::uint32_t generation = 0;
  std::uint32_t count = 0;

  static constexpr LaneCount unpack(std::uint64_t word) {
    return {static_cast<std::uint32_t>(word >> 32), static_cast<std::uint32_t>(word)};
  }
  constexpr std::uint64_t pack() const { return std::uint64_t{generation} << 32 | count; }
  // How many frames that is in the call of this generation.
  constexpr std::uint32_t in(std::uint32_t call) const { return generation == call ? count : 0; }
};

struct AreaHeader {
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> produced[kLanes];
  alignas(kCacheLineBytes) std::atomic<std::uint64_t> consumed[kLanes];
  alignas(kCacheLineBytes) FrameDescriptor stream[kStreamEntries];
  FrameDescriptor tools[kToolEntries];
  FrameDescriptor first;

  FrameDescriptor& descriptor(Lane lane, std::uint32_t frame) {
    return lane == Lane::kStream ? stream[frame % kStreamEntries] : tools[frame % kToolEntries];
  }
  const FrameDescriptor& descriptor(Lane lane, std::uint32_t frame) const {
    return const_cast<AreaHeader*>(this)->descriptor(lane, frame);  // NOLINT: only to read
  }
};

constexpr std::uint32_t lane_entries(Lane lane) {
  return lane == Lane::kStream ? kStreamEntries : kToolEntries;
}

// The line of the first frame's descriptor and envelope.
inline constexpr std::uint32_t kFrameOffset = 2304;
inline constexpr std::uint32_t kEnvelopeOffset = kFrameOffset + sizeof(FrameDescriptor);
inline constexpr std::uint32_t kEnvelopeReservedBytes = 48;
inline constexpr std::uint64_t kPayloadOffset = kEnvelopeOffset + kEnvelopeReservedBytes;

static_assert(sizeof(FrameDescriptor) == 16);
static_assert(offsetof(FrameDescriptor, payload) == 0);
static_assert(offsetof(FrameDescriptor, envelope_at) == 8);
static_assert(offsetof(FrameDescriptor, envelope_bytes) == 12);
static_assert(offsetof(FrameDescriptor, flags) == 14);
static_assert(offsetof(AreaHeader, produced) == 0);
static_assert(offsetof(AreaHeader, consumed) == 64);
static_assert(offsetof(AreaHeader, stream) == 128);
static_assert(offsetof(AreaHeader, tools) == 2176);
static_assert(offsetof(AreaHeader, first) == kFrameOffset);
static_assert(kFrameOffset % (2 * kCacheLineBytes) == 0, "fetched with the payload's first line");
static_assert((kStreamEntries & (kStreamEntries - 1)) == 0);
static_assert((kToolEntries & (kToolEntries - 1)) == 0);
static_assert(kEnvelopeOffset % kEnvelopeUnitBytes == 0);
static_assert(kPayloadOffset == kFrameOffset + kCacheLineBytes);
static_assert(std::atomic<std::uint16_t>::is_always_lock_free);

}  // namespace slotring::layout

#endif  // SLOTRING_SCHEMAS_AREA_LAYOUT_H_
