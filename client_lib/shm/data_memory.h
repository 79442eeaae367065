// The request-data or the reply-data memory of a pool: one area a slot (schemas/area_layout.h).
//
// The supervisor creates both, reserves the warm part of every area, and maps neither. A client
// maps request data read-write and reply data read-only, a worker the reverse.

#ifndef SLOTRING_CLIENT_LIB_SHM_DATA_MEMORY_H_
#define SLOTRING_CLIENT_LIB_SHM_DATA_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/memory.h"
#include "slotring/result.h"

namespace slotring::shm {

// A new memory for `geometry`, its warm parts reserved. Errors: OUT_OF_MEMORY, SYSTEM_LIMIT.
Result<UniqueFd> create_data_memory(const char* name, const Geometry& geometry);

class DataMemory {
 public:
  static Result<DataMemory> open(UniqueFd memory, const Geometry& geometry, Access access);

  // A mapping of one area, beside the one that area() is in.
  Result<Mapping> map_area(SlotIndex slot, Access access = Access::kReadOnly) const {
    return Mapping::map(memory_, access, offset(slot), area_bytes_);
  }

  std::byte* area(SlotIndex slot) const { return mapping_.data() + offset(slot); }
  std::uint64_t offset(SlotIndex slot) const { return slot * area_bytes_; }
  std::uint64_t area_bytes() const { return area_bytes_; }
  std::uint64_t warm_bytes() const { return warm_bytes_; }
  std::uint64_t kept_bytes() const { return kept_bytes_; }
  // Whether the mapping that area() is in is advised to have huge pages.
  bool has_huge_pages() const { return huge_pages_; }
  const UniqueFd& memory() const { return memory_; }

 private:
  DataMemory(UniqueFd memory, Mapping mapping, const Geometry& geometry, bool huge_pages)
      : memory_(std::move(memory)),
        mapping_(std::move(mapping)),
        huge_pages_(huge_pages),
        area_bytes_(geometry.area_bytes),
        warm_bytes_(geometry.warm_bytes),
        kept_bytes_(geometry.kept_bytes) {}

  UniqueFd memory_;
  Mapping mapping_;
  bool huge_pages_;
  std::uint64_t area_bytes_;
  std::uint64_t warm_bytes_;
  std::uint64_t kept_bytes_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_DATA_MEMORY_H_
