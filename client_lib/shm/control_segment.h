// A mapped control segment (schemas/control_layout.h), and typed access to its sections.
//
// The handle keeps its own copy of the geometry and bounds every index by it; nothing that is read
// from the segment decides where this process reads or writes. Accessors are const because the
// handle does not change; the memory behind it is shared and does.

#ifndef SLOTRING_CLIENT_LIB_SHM_CONTROL_SEGMENT_H_
#define SLOTRING_CLIENT_LIB_SHM_CONTROL_SEGMENT_H_

#include <atomic>
#include <cassert>
#include <cstdint>
#include <string>
#include <string_view>

#include "client_lib/shm/hint_ring.h"
#include "client_lib/shm/memory.h"
#include "schemas/control_layout.h"
#include "slotring/result.h"

namespace slotring::shm {

using layout::Geometry;
using AtomicWord = std::atomic<std::uint64_t>;
using Ring = HintRing<AtomicWord>;
using SlotIndex = std::uint32_t;  // seat * slots_per_worker + slot of the worker
using SeatIndex = std::uint32_t;

// Whether it can be a method's or a tool's: neither empty nor too long for a FixedName.
inline bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= layout::kMaxNameBytes;
}
void store_name(layout::FixedName& into, std::string_view name);  // truncates
// A copy, bounded whatever the memory says.
std::string load_name(const layout::FixedName& from);

class ControlSegment {
 public:
  // Makes, reserves and formats a segment; its magic is written last. REQUIRES: is_valid(geometry).
  static Result<ControlSegment> create(std::string_view pool, const Geometry& geometry);

  // Maps a segment that somebody else made. `geometry` comes from the supervisor's Welcome.
  // Errors: BAD_SEGMENT (magic, size, seals, geometry), VERSION_MISMATCH, SYSTEM_LIMIT,
  // OUT_OF_MEMORY.
  static Result<ControlSegment> open(UniqueFd memory, const Geometry& geometry, Access access);

  // Maps the segment of a pool that runs, for a new supervisor. What the header says of the pool is
  // written once more: any peer may have scribbled over it. Errors: BAD_SEGMENT (size, seals),
  // SYSTEM_LIMIT, OUT_OF_MEMORY. REQUIRES: is_valid(geometry).
  static Result<ControlSegment> adopt(UniqueFd memory, const Geometry& geometry,
                                      std::string_view pool, std::uint64_t instance);

  const Geometry& geometry() const { return geometry_; }
  const UniqueFd& memory() const { return memory_; }

  layout::ControlHeader& header() const { return *at<layout::ControlHeader>(0); }
  layout::MethodRecord& method(std::uint32_t id) const {
    assert(id >= 1 && id <= layout::kMaxMethods);
    return at<layout::MethodRecord>(offsets_.methods)[id - 1];
  }
  layout::SeatRecord& seat(SeatIndex seat) const {
    assert(seat < geometry_.max_workers);
    return at<layout::SeatRecord>(offsets_.seats)[seat];
  }
  layout::Obituary& obituary(SeatIndex seat, std::uint32_t index) const {
    assert(seat < geometry_.max_workers && index < layout::kObituariesPerSeat);
    return at<layout::Obituary>(offsets_.obituaries)[seat * layout::kObituariesPerSeat + index];
  }
  AtomicWord& slot_word(SlotIndex slot) const {
    assert(slot < geometry_.slots());
    const SeatIndex seat = seat_of(slot);
    return words_[seat * offsets_.words_stride + (slot - first_slot(seat))];
  }
  layout::ClientRecord& client(std::uint32_t index) const {
    assert(index < geometry_.max_clients);
    return at<layout::ClientRecord>(offsets_.clients)[index];
  }
  AtomicWord& waiter_word(std::uint32_t index) const {
    assert(index < geometry_.max_waiters);
    return at<AtomicWord>(offsets_.waiters)[index];
  }
  Ring waiting_line() const {
    return ring_at(offsets_.waiting_line, offsets_.waiting_line_cells, geometry_.max_waiters);
  }
  // The ring of free slots whose worker had `depth` calls in flight; deeper ones share the last.
  Ring free_ring(std::uint32_t depth) const {
    const std::uint32_t index =
        depth < offsets_.free_ring_count ? depth : offsets_.free_ring_count - 1;
    return ring_at(offsets_.free_rings + index * offsets_.free_ring_bytes, offsets_.free_ring_cells,
                   geometry_.slots());
  }
  std::uint32_t free_ring_count() const { return offsets_.free_ring_count; }
  layout::SessionRecord& session(std::uint32_t index) const {
    assert(index < geometry_.max_sessions);
    return at<layout::SessionRecord>(offsets_.sessions)[index];
  }
  AtomicWord& session_bucket(std::uint32_t index) const {
    assert(index < offsets_.session_bucket_count);
    return at<AtomicWord>(offsets_.session_buckets)[index];
  }
  // A power of two, or 0 where the pool has no sessions.
  std::uint32_t session_bucket_count() const { return offsets_.session_bucket_count; }
  layout::SettingRecord& setting(std::uint32_t index) const {
    assert(index < layout::kMaxSettings);
    return at<layout::SettingRecord>(offsets_.settings)[index];
  }
  layout::CallStats& seat_stats(SeatIndex seat) const {
    assert(seat < geometry_.max_workers);
    return at<layout::CallStats>(offsets_.seat_stats)[seat];
  }
  // REQUIRES: the page of the row is backed, see ClientRecord::stats_pages and back_stats().
  layout::CallStats& client_stats(std::uint32_t client, std::uint32_t row) const {
    assert(client < geometry_.max_clients && row < layout::kStatsMethods);
    return at<layout::CallStats>(offsets_.client_stats)[client * layout::kStatsMethods + row];
  }
  // Backs the page of a client's row with memory, unless it is; a system call either way, since the
  // bit in the segment may be anybody's. Errors: OUT_OF_MEMORY. For the client itself.
  Status back_stats(std::uint32_t client, std::uint32_t row) const;

  // slot / slots_per_worker by the divisor's reciprocal, 2^32 over it rounded up: exact while the
  // product of both is below 2^32, and several times faster on the path of every call.
  SeatIndex seat_of(SlotIndex slot) const {
    return static_cast<SeatIndex>(slot * slots_reciprocal_ >> 32);
  }
  SlotIndex first_slot(SeatIndex seat) const { return seat * geometry_.slots_per_worker; }

  layout::SeatWord seat_word(SeatIndex seat_index) const {
    // seq_cst: partner of the reaper's store of a new state before it scans the slot words.
    return layout::SeatWord::unpack(seat(seat_index).word.load(std::memory_order_seq_cst));
  }

  // How to wait for others of the pool.
  layout::WaitingTerms waiting() const {
    const volatile std::uint64_t& word = header().waiting;  // the supervisor may change it
    return layout::WaitingTerms::unpack(word);
  }

  // How many of the seat's slots are claimed, requested, running, replied or abandoned. Counted,
  // never stored.
  std::uint32_t busy_slots(SeatIndex seat) const;

 private:
  ControlSegment(UniqueFd memory, Mapping mapping, const Geometry& geometry);
  void format(std::string_view pool);
  void write_identity(std::string_view pool, std::uint64_t instance);
  Status check_header() const;

  template <class T>
  T* at(std::uint64_t offset) const {
    return reinterpret_cast<T*>(mapping_.data() + offset);
  }
  Ring ring_at(std::uint64_t offset, std::uint32_t cells, std::uint32_t values) const {
    auto* ring = at<layout::RingHeader>(offset);
    return Ring(&ring->head, &ring->tail, at<AtomicWord>(offset + sizeof(layout::RingHeader)),
                cells, values);
  }

  UniqueFd memory_;
  Mapping mapping_;
  Geometry geometry_;
  layout::ControlOffsets offsets_;
  AtomicWord* words_;
  std::uint64_t slots_reciprocal_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_CONTROL_SEGMENT_H_
