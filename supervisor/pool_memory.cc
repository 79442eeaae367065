#include "supervisor/pool_memory.h"

#include "client_lib/shm/data_memory.h"

namespace slotring::supervisor {

Result<PoolMemory::Data> PoolMemory::create_data(const char* name,
                                                 const layout::Geometry& geometry) {
  Result<shm::UniqueFd> writable = shm::create_data_memory(name, geometry);
  if (!writable) return std::move(writable).error();
  Result<shm::UniqueFd> readable = shm::reopen_read_only(*writable);
  if (!readable) return std::move(readable).error();
  return Data{*std::move(writable), *std::move(readable)};
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
