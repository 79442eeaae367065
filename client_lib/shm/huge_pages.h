// Huge pages for shared memory, where the system's administrator offers them; elsewhere nothing
// changes.
//
// The kernel's two settings, the one for all sizes and the one for the size, are read once a
// process: /sys/kernel/mm/transparent_hugepage/shmem_enabled and
// .../hugepages-SIZEkB/shmem_enabled.

#ifndef SLOTRING_CLIENT_LIB_SHM_HUGE_PAGES_H_
#define SLOTRING_CLIENT_LIB_SHM_HUGE_PAGES_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace slotring::shm {

// Whether the settings, as the kernel shows them ("always within_size [advise] never deny force"),
// give huge pages to a mapping that is advised to have them. `of_size` is empty before Linux 6.11,
// which had only the other.
bool offers_huge_pages(std::string_view all_sizes, std::string_view of_size);

// How large one is. More than any area where there are none.
std::uint64_t huge_page_bytes();

// Asks for them in a mapping of shared memory. False: not offered, and nothing has changed.
bool advise_huge_pages(std::span<std::byte> mapping);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_HUGE_PAGES_H_
