#include "client_lib/method_table.h"

#include <algorithm>
#include <functional>

namespace slotring::internal {

std::uint16_t MethodTable::find(std::string_view name, const shm::ControlSegment& segment) {
  if (const std::uint16_t id = look_up(name); id != 0) return id;
  read_new_names(segment);
  return look_up(name);
}

std::uint16_t MethodTable::look_up(std::string_view name) const {
  std::size_t bucket = std::hash<std::string_view>{}(name) % kBuckets;
  for (std::size_t probes = 0; probes < kBuckets; ++probes) {
    // Acquire: partner of the release in insert(), which follows the writing of the name.
    const std::uint16_t id = buckets_[bucket].load(std::memory_order_acquire);
    if (id == 0) return 0;
    if (names_[id] == name) return id;
    bucket = (bucket + 1) % kBuckets;
  }
  return 0;
}

void MethodTable::read_new_names(const shm::ControlSegment& segment) {
  const std::lock_guard lock(growing_);
  // Acquire: partner of the supervisor's release after it wrote the records.
  const std::uint32_t count =
      std::min(segment.header().method_count.load(std::memory_order_acquire), layout::kMaxMethods);
  for (; known_ < count; ++known_) {
    const auto id = static_cast<std::uint16_t>(known_ + 1);
    names_[id] = shm::load_name(segment.method(id));
    insert(id);
  }
}

void MethodTable::insert(std::uint16_t id) {
  std::size_t bucket = std::hash<std::string_view>{}(names_[id]) % kBuckets;
  while (buckets_[bucket].load(std::memory_order_relaxed) != 0) bucket = (bucket + 1) % kBuckets;
  buckets_[bucket].store(id, std::memory_order_release);
}

}  // namespace slotring::internal
