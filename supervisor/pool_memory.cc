#include "supervisor/pool_memory.h"

#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/slot.h"

namespace slotring::supervisor {

namespace {

void reserve_again(const shm::UniqueFd& memory, std::uint64_t offset, std::uint64_t bytes,
                   const Log& log) {
  const Status reserved = shm::reserve(memory, offset, bytes);
  if (reserved) return;
  log->error("memory that a peer gave back cannot be had again: {}", reserved.error().to_string());
}

}  // namespace

Result<PoolMemory::Data> PoolMemory::create_data(const char* name,
                                                 const layout::Geometry& geometry) {
  Result<shm::UniqueFd> writable = shm::create_data_memory(name, geometry);
  if (!writable) return std::move(writable).error();
  Result<shm::UniqueFd> readable = shm::reopen_read_only(*writable);
  if (!readable) return std::move(readable).error();
  const std::uint64_t bytes = shm::backed_bytes(*writable);
  return Data{*std::move(writable), *std::move(readable), bytes};
}

Result<PoolMemory::Data> PoolMemory::adopt_data(const shm::UniqueFd& memory,
                                                const layout::Geometry& geometry) {
  // First: what is sealed is memory, and no file that a writable descriptor could do harm to.
  const std::uint64_t bytes = geometry.slots() * geometry.area_bytes;
  if (Status checked = shm::check_memory(memory, bytes); !checked) {
    return std::move(checked).error();
  }
  Result<shm::UniqueFd> writable = shm::reopen_writable(memory);
  if (!writable) return std::move(writable).error();
  Result<shm::UniqueFd> readable = shm::reopen_read_only(memory);
  if (!readable) return std::move(readable).error();
  return Data{*std::move(writable), *std::move(readable), 0};
}

Result<std::unique_ptr<PoolMemory>> PoolMemory::adopt(std::string_view pool,
                                                      std::vector<shm::UniqueFd> descriptors,
                                                      const layout::Geometry& geometry,
                                                      std::uint64_t instance) {
  if (descriptors.size() != 3) {
    return Error{ErrorCode::kBadSegment, "the worker handed over " +
                                             std::to_string(descriptors.size()) +
                                             " descriptors instead of 3"};
  }
  Result<shm::ControlSegment> segment =
      shm::ControlSegment::adopt(std::move(descriptors[0]), geometry, pool, instance);
  if (!segment) return std::move(segment).error();
  Result<shm::UniqueFd> readable_control = shm::reopen_read_only(segment->memory());
  if (!readable_control) return std::move(readable_control).error();
  Result<Data> requests = adopt_data(descriptors[1], geometry);
  if (!requests) return std::move(requests).error();
  Result<Data> replies = adopt_data(descriptors[2], geometry);
  if (!replies) return std::move(replies).error();
  return std::unique_ptr<PoolMemory>(new PoolMemory(*std::move(segment),
                                                    *std::move(readable_control),
                                                    *std::move(requests), *std::move(replies)));
}

Result<std::unique_ptr<PoolMemory>> PoolMemory::create(std::string_view pool,
                                                       const layout::Geometry& geometry) {
  Result<shm::ControlSegment> segment = shm::ControlSegment::create(pool, geometry);
  if (!segment) return std::move(segment).error();
  Result<shm::UniqueFd> readable_control = shm::reopen_read_only(segment->memory());
  if (!readable_control) return std::move(readable_control).error();
  Result<Data> requests = create_data("slotring-requests", geometry);
  if (!requests) return std::move(requests).error();
  Result<Data> replies = create_data("slotring-replies", geometry);
  if (!replies) return std::move(replies).error();
  return std::unique_ptr<PoolMemory>(new PoolMemory(*std::move(segment),
                                                    *std::move(readable_control),
                                                    *std::move(requests), *std::move(replies)));
}

void PoolMemory::mend(const shm::SlotPool& slots, const Log& log) {
  // Behind that each client backs what it counts in.
  const std::uint64_t control_bytes = layout::ControlOffsets(segment_.geometry()).reserved;
  if (shm::backed_bytes(segment_.memory()) != control_bytes) {
    reserve_again(segment_.memory(), 0, control_bytes, log);
  }
  for (Data* data : {&requests_, &replies_}) mend(*data, slots, log);
}

void PoolMemory::mend(Data& data, const shm::SlotPool& slots, const Log& log) const {
  const layout::Geometry& geometry = segment_.geometry();
  const std::uint64_t before = shm::backed_bytes(data.writable);
  // The common case, seen at once: large calls make what is kept grow only for a while.
  if (before == data.settled_bytes) return;
  for (shm::SlotIndex slot = 0; slot < geometry.slots(); ++slot) {
    reserve_again(data.writable, slot * geometry.area_bytes, geometry.warm_bytes, log);
    trim(slots, slot, data);
  }
  // What has changed meanwhile, by this or by a peer, is looked at once more at the next repair.
  data.settled_bytes = shm::backed_bytes(data.writable) == before ? before : 0;
}

void PoolMemory::trim(const shm::SlotPool& slots, shm::SlotIndex slot, const Data& data) const {
  const layout::Geometry& geometry = segment_.geometry();
  if (geometry.area_bytes == geometry.kept_bytes) return;
  const shm::SlotWord seen = shm::load_slot(slots.word(slot));
  if (seen.state != shm::SlotState::kFree) return;
  const shm::MoveResult held = shm::try_claim_slot(slots.word(slot), seen, layout::kReaperOwner,
                                                   /*clear_listed=*/false);
  if (!held.moved) return;
  // Failing to give memory back loses nothing but memory until the next large call.
  (void)shm::give_back(data.writable, slot * geometry.area_bytes + geometry.kept_bytes,
                       geometry.area_bytes - geometry.kept_bytes)
      .ok();
  (void)slots.try_release(slot, held.after, shm::Actor::kReaper);
}

std::vector<int> PoolMemory::descriptors_for(wire::Role role) const {
  switch (role) {
    case wire::Role::Client:
      return {segment_.memory().get(), requests_.writable.get(), replies_.readable.get()};
    case wire::Role::Worker:
      return {segment_.memory().get(), requests_.readable.get(), replies_.writable.get()};
    case wire::Role::Observer:
      break;
  }
  return {readable_control_.get()};
}

}  // namespace slotring::supervisor
