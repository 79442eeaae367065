// A client's own copy of the pool's interned method names, so that a call finds its id without
// reading shared memory or taking a lock.
//
// Names are only ever added, and keep their ids. Thread-safe: find() is lock-free; a miss reads new
// names from the segment under a mutex of this process.

#ifndef SLOTRING_CLIENT_LIB_METHOD_TABLE_H_
#define SLOTRING_CLIENT_LIB_METHOD_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "client_lib/shm/control_segment.h"

namespace slotring::internal {

class MethodTable {
 public:
  // The id of `name`, or 0 when the pool's workers have announced none such.
  std::uint16_t find(std::string_view name, const shm::ControlSegment& segment);

 private:
  // At most half full, so that a probe ends soon.
  static constexpr std::size_t kBuckets = 2048;
  static_assert(kBuckets >= 2 * layout::kMaxMethods);

  std::uint16_t look_up(std::string_view name) const;
  void read_new_names(const shm::ControlSegment& segment);
  void insert(std::uint16_t id);

  std::mutex growing_;
  std::uint32_t known_ = 0;  // ids up to this are in; guarded by growing_
  std::array<std::string, layout::kMaxMethods + 1> names_;
  std::array<std::atomic<std::uint16_t>, kBuckets> buckets_{};
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_METHOD_TABLE_H_
