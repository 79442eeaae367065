// Writing a frame into an area, and reading one out of an area that a peer writes.
//
// Writing: payload first, in place; then commit() puts the envelope and the descriptor. The slot
// word's own transition publishes them.
//
// Reading trusts nothing: the descriptor is copied once and its extents are bounded against the
// area; the envelope is copied to private memory, run through the FlatBuffers verifier there, and
// read from the copy. What stays in shared memory is the payload, whose bytes may change under a
// reader if its peer breaks the rules; its extent may not. Errors: BAD_FRAME, with what was wrong.

#ifndef SLOTRING_CLIENT_LIB_SHM_FRAME_H_
#define SLOTRING_CLIENT_LIB_SHM_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client_lib/shm/data_memory.h"
#include "schemas/area_layout.h"
#include "schemas/frame_generated.h"
#include "slotring/result.h"

namespace slotring::shm {

// Asks for the lines that a small frame in `area` takes, before they are needed: they are in
// another core's cache.
inline void prefetch_frame_to_read(const std::byte* area) {
  __builtin_prefetch(area + layout::kFrameOffset, 0);
  __builtin_prefetch(area + layout::kPayloadOffset, 0);
}
inline void prefetch_frame_to_write(const std::byte* area) {
  __builtin_prefetch(area + layout::kFrameOffset, 1);
  __builtin_prefetch(area + layout::kPayloadOffset, 1);
}

// What travels with every frame; see wire::FixedPart.
struct FrameHead {
  std::uint64_t call_id = 0;
  std::uint64_t deadline_ns = 0;
  std::uint32_t generation = 0;
  std::uint16_t method = 0;
  wire::PayloadKind kind = wire::PayloadKind::Empty;
};

// What only some frames carry. Empty fields are absent.
struct RareHead {
  std::string_view method_name = {};
  const Error* error = nullptr;
  std::string_view session = {};

  bool empty() const { return method_name.empty() && error == nullptr && session.empty(); }
};

// Bounds on texts in an envelope; longer ones are cut, a traceback at its start.
inline constexpr std::size_t kMaxMessageBytes = 4096;
inline constexpr std::size_t kMaxTracebackBytes = 8192;

// The writer's side of one slot's area. One call at a time; not thread-safe.
class FrameWriter {
 public:
  FrameWriter(const DataMemory& memory, SlotIndex slot) : memory_(&memory), slot_(slot) {}

  // `bytes` of payload space at the area's fixed payload offset, 64-byte aligned and backed by
  // memory. Errors: PAYLOAD_TOO_LARGE, OUT_OF_MEMORY.
  Result<std::span<std::byte>> payload_space(std::uint64_t bytes);

  // Writes envelope and descriptor 0 for `payload_bytes` of payload at the fixed payload offset.
  Status commit(const FrameHead& head, std::uint64_t payload_bytes, const RareHead& rare = {});

  // A new call: what an earlier one reserved may have been given back since.
  void begin() { reserved_ = 0; }

  // Gives back what a large payload used above the warm part. Before the slot is freed.
  void trim();

 private:
  Status back_with_memory(std::uint64_t bytes);
  void describe(std::uint64_t payload_bytes, std::uint64_t envelope_offset,
                std::size_t envelope_bytes);

  const DataMemory* memory_;
  SlotIndex slot_;
  std::uint64_t reserved_ = 0;  // bytes reserved for this call, 0 when the warm part was enough
  std::uint64_t backed_ = 0;    // the most bytes reserved since trim(), 0 for none
};

struct Frame {
  FrameHead head;
  const wire::RarePart* rare;          // in the reader's copy; null on a plain frame
  std::span<const std::byte> payload;  // in the area
};

// The reader's side. A frame that was read is valid until the next read() of the same reader.
class FrameReader {
 public:
  // Reads frame `index` of the area. `generation` is the slot word's.
  // What lies behind the area's first `warm_bytes` is faulted in first. Errors besides:
  // OUT_OF_MEMORY.
  Result<Frame> read(const std::byte* area, std::uint64_t area_bytes, std::uint32_t index,
                     std::uint32_t generation, std::uint64_t warm_bytes = layout::kMaxAreaBytes);

 private:
  std::span<const std::byte> copy_envelope(const std::byte* from, std::size_t bytes);

  alignas(16) std::array<std::byte, 128> small_;
  std::vector<std::uint64_t> large_;
};

// The error that a frame carries, or nothing.
std::optional<Error> error_of(const Frame& frame);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_FRAME_H_
