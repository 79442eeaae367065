#include "client_lib/shm/data_memory.h"

#include "client_lib/shm/huge_pages.h"

namespace slotring::shm {

Result<UniqueFd> create_data_memory(const char* name, const Geometry& geometry) {
  Result<UniqueFd> memory = create_memory(name, geometry.slots() * geometry.area_bytes);
  if (!memory) return memory;
  for (SlotIndex slot = 0; slot < geometry.slots(); ++slot) {
    Status reserved = reserve(*memory, slot * geometry.area_bytes, geometry.warm_bytes);
    if (!reserved) return std::move(reserved).error();
  }
  return memory;
}

Result<DataMemory> DataMemory::open(UniqueFd memory, const Geometry& geometry, Access access) {
  const std::uint64_t bytes = geometry.slots() * geometry.area_bytes;
  if (Status checked = check_memory(memory, bytes); !checked) return std::move(checked).error();
  Result<Mapping> mapping = Mapping::map(memory, access, 0, bytes);
  if (!mapping) return std::move(mapping).error();
  const bool huge_pages = access == Access::kReadWrite &&
                          geometry.area_bytes >= huge_page_bytes() &&
                          advise_huge_pages(std::span(mapping->data(), bytes));
  return DataMemory(std::move(memory), *std::move(mapping), geometry, huge_pages);
}

}  // namespace slotring::shm
