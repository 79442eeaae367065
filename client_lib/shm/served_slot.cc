#include "client_lib/shm/served_slot.h"

#include <algorithm>
#include <utility>

namespace slotring::shm {

Result<ServedSlot> ServedSlot::map(const Attachment& joined, SlotIndex slot) {
  Result<Mapping> area = joined.requests->map_area(slot);
  if (!area) return std::move(area).error();
  return ServedSlot(joined, slot, *std::move(area));
}

void ServedSlot::begin_lanes(std::uint32_t generation, std::uint64_t wished_window_bytes) {
  if (!lanes_) lanes_ = std::make_unique<CallLanes>(writer_, *requests_);
  const std::uint64_t window = wished_window_bytes == 0 ? kDefaultWindowBytes : wished_window_bytes;
  lanes_->begin(replies_->area(slot_), request_area_.data(), generation,
                std::clamp(window, kMinWindowBytes, replies_->area_bytes()));
}

Result<Mapping> ServedSlot::give_request_area() {
  Result<Mapping> fresh = requests_->map_area(slot_);
  if (!fresh) return fresh;
  reader_.forget_mapping();
  if (lanes_) lanes_->forget_mapping();
  return std::exchange(request_area_, *std::move(fresh));
}

Result<std::byte*> ServedSlot::reply_area_to_view() {
  if (viewed_reply_area_.data() == nullptr) {
    Result<Mapping> mapped = replies_->map_area(slot_, Access::kReadWrite);
    if (!mapped) return std::move(mapped).error();
    viewed_reply_area_ = *std::move(mapped);
  }
  return viewed_reply_area_.data();
}

Mapping ServedSlot::give_reply_area() { return std::exchange(viewed_reply_area_, Mapping()); }

}  // namespace slotring::shm
