#include "client_lib/method_table.h"

#include <algorithm>

namespace slotring::internal {

namespace {

// Names are few, and chosen by the pool: what tells most of them apart is enough, on the path of
// every call.
std::size_t hash_of(std::string_view name) {
  if (name.empty()) return 0;
  const auto byte = [&](std::size_t at) {
    return std::size_t{static_cast<unsigned char>(name[at])};
  };
  return name.size() * 37 + byte(0) * 101 + byte(name.size() / 2) * 151 + byte(name.size() - 1) * 7;
}

}  // namespace

std::uint16_t MethodTable::find(std::string_view name, const shm::ControlSegment& segment) {
  if (const std::uint16_t id = look_up(name); id != 0) return id;
  read_new_names(segment);
  return look_up(name);
}

std::uint16_t MethodTable::look_up(std::string_view name) const {
  std::size_t bucket = hash_of(name) % kBuckets;
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
  std::size_t bucket = hash_of(names_[id]) % kBuckets;
  while (buckets_[bucket].load(std::memory_order_relaxed) != 0) bucket = (bucket + 1) % kBuckets;
  buckets_[bucket].store(id, std::memory_order_release);
}

}  // namespace slotring::internal
