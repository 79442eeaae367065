#include "client_lib/shm/control_segment.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "client_lib/shm/futex.h"

namespace slotring::shm {

using layout::ControlHeader;
using layout::ControlOffsets;
using layout::SlotWord;

namespace {

// Never 0, which means none.
std::uint64_t random_instance() {
  std::uint64_t random = 0;
  // Before the kernel has randomness, at the machine's start, the clock has to do.
  if (::getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random)) {
    random = monotonic_now();
  }
  return random | 1;
}

}  // namespace

void store_name(layout::FixedName& into, std::string_view name) {
  const std::size_t bytes = std::min<std::size_t>(name.size(), layout::kMaxNameBytes);
  std::memcpy(into.text, name.data(), bytes);
  into.bytes = static_cast<std::uint8_t>(bytes);
}

std::string load_name(const layout::FixedName& from) {
  const std::size_t bytes = std::min<std::size_t>(from.bytes, layout::kMaxNameBytes);
  return std::string(from.text, bytes);
}

ControlSegment::ControlSegment(UniqueFd memory, Mapping mapping, const Geometry& geometry)
    : memory_(std::move(memory)),
      mapping_(std::move(mapping)),
      geometry_(geometry),
      offsets_(geometry),
      words_(at<AtomicWord>(offsets_.words)),
      slots_reciprocal_(((std::uint64_t{1} << 32) + geometry.slots_per_worker - 1) /
                        geometry.slots_per_worker) {
  static_assert(std::uint64_t{layout::kMaxSlots} * layout::kMaxSlotsPerWorker < UINT32_MAX);
}

Result<ControlSegment> ControlSegment::create(std::string_view pool, const Geometry& geometry) {
  assert(layout::is_valid(geometry));
  const ControlOffsets offsets(geometry);
  Result<UniqueFd> memory = create_memory("slotring-control", offsets.total);
  if (!memory) return std::move(memory).error();
  if (Status reserved = reserve(*memory, 0, offsets.reserved); !reserved) {
    return std::move(reserved).error();
  }
  Result<Mapping> mapping = Mapping::map(*memory, Access::kReadWrite, 0, offsets.total);
  if (!mapping) return std::move(mapping).error();
  ControlSegment segment(*std::move(memory), *std::move(mapping), geometry);
  segment.format(pool);
  return segment;
}

void ControlSegment::format(std::string_view pool) {
  ControlHeader& h = header();
  h.created_ns = monotonic_now();
  h.supervisor_epoch.store(1, std::memory_order_relaxed);
  h.supervisor_pid.store(::getpid(), std::memory_order_relaxed);
  for (SlotIndex slot = 0; slot < geometry_.slots(); ++slot) {
    slot_word(slot).store(SlotWord{}.pack(), std::memory_order_relaxed);
  }
  for (std::uint32_t i = 0; i < geometry_.max_waiters; ++i) {
    waiter_word(i).store(layout::WaiterWord{}.pack(), std::memory_order_relaxed);
  }
  waiting_line().format();
  for (std::uint32_t depth = 0; depth < free_ring_count(); ++depth) free_ring(depth).format();
  write_identity(pool, random_instance());
}

void ControlSegment::write_identity(std::string_view pool, std::uint64_t instance) {
  ControlHeader& h = header();
  h.layout_version = layout::kLayoutVersion;
  h.header_bytes = sizeof(ControlHeader);
  h.layout_hash = layout::layout_hash();
  h.geometry = geometry_;
  h.instance = instance;
  store_name(h.pool, pool);
  // Release: partner of the acquire in check_header(); whoever sees the magic sees all that was
  // written before.
  h.magic.store(layout::kMagic, std::memory_order_release);
}

Result<ControlSegment> ControlSegment::adopt(UniqueFd memory, const Geometry& geometry,
                                             std::string_view pool, std::uint64_t instance) {
  assert(layout::is_valid(geometry));
  const ControlOffsets offsets(geometry);
  if (Status checked = check_memory(memory, offsets.total); !checked) {
    return std::move(checked).error();
  }
  Result<Mapping> mapping = Mapping::map(memory, Access::kReadWrite, 0, offsets.total);
  if (!mapping) return std::move(mapping).error();
  ControlSegment segment(std::move(memory), *std::move(mapping), geometry);
  segment.write_identity(pool, instance);
  return segment;
}

Result<ControlSegment> ControlSegment::open(UniqueFd memory, const Geometry& geometry,
                                            Access access) {
  if (!layout::is_valid(geometry)) {
    return Error{ErrorCode::kBadSegment, "the pool's geometry is out of bounds"};
  }
  const ControlOffsets offsets(geometry);
  if (Status checked = check_memory(memory, offsets.total); !checked) {
    return std::move(checked).error();
  }
  Result<Mapping> mapping = Mapping::map(memory, access, 0, offsets.total);
  if (!mapping) return std::move(mapping).error();
  ControlSegment segment(std::move(memory), *std::move(mapping), geometry);
  if (Status checked = segment.check_header(); !checked) return std::move(checked).error();
  return segment;
}

Status ControlSegment::check_header() const {
  const ControlHeader& h = header();
  if (h.magic.load(std::memory_order_acquire) != layout::kMagic) {
    return Error{ErrorCode::kBadSegment, "the control segment has no Slotring magic"};
  }
  if (h.layout_version != layout::kLayoutVersion) {
    return Error{ErrorCode::kVersionMismatch,
                 "the control segment has layout version " + std::to_string(h.layout_version) +
                     ", this build has " + std::to_string(layout::kLayoutVersion)};
  }
  if (h.layout_hash != layout::layout_hash()) {
    return Error{ErrorCode::kVersionMismatch,
                 "the control segment was laid out by a build that differs from this one"};
  }
  const Geometry written = h.geometry;
  if (h.header_bytes != sizeof(ControlHeader) || written != geometry_) {
    return Error{ErrorCode::kBadSegment,
                 "the control segment's header contradicts what the supervisor said of it"};
  }
  return Done{};
}

std::uint32_t ControlSegment::busy_slots(SeatIndex seat) const {
  const AtomicWord* words = words_ + std::uint64_t{seat} * offsets_.words_stride;
  std::uint32_t busy = 0;
  for (std::uint32_t i = 0; i < geometry_.slots_per_worker; ++i) {
    const SlotWord word = SlotWord::unpack(words[i].load(std::memory_order_relaxed));
    if (word.state != layout::SlotState::kFree) ++busy;
  }
  return busy;
}

Status ControlSegment::back_stats(std::uint32_t client, std::uint32_t row) const {
  const std::uint64_t in_place = row * sizeof(layout::CallStats) / layout::kPageBytes;
  std::atomic<std::uint64_t>& pages = this->client(client).stats_pages;
  const std::uint64_t bit = std::uint64_t{1} << in_place;
  const std::uint64_t at =
      offsets_.client_stats + client * layout::kClientStatsBytes + in_place * layout::kPageBytes;
  if (Status reserved = reserve(memory_, at, layout::kPageBytes); !reserved) return reserved;
  pages.fetch_or(bit, std::memory_order_relaxed);
  return Done{};
}

}  // namespace slotring::shm
