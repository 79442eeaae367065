#include "client_lib/shm/huge_pages.h"

#include <sys/mman.h>

#include <fstream>
#include <string>

namespace slotring::shm {

namespace {

// The one in brackets.
std::string_view chosen(std::string_view setting) {
  const std::size_t begin = setting.find('[');
  const std::size_t end = setting.find(']', begin == std::string_view::npos ? 0 : begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  return setting.substr(begin + 1, end - begin - 1);
}

bool gives_by_advice(std::string_view choice) {
  return choice == "always" || choice == "within_size" || choice == "advise" || choice == "force";
}

std::string setting(const std::string& name) {
  std::string line;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/" + name), line);
  return line;
}

struct System {
  std::uint64_t page_bytes = ~std::uint64_t{0};
  bool offers = false;

  System() {
    const std::string size = setting("hpage_pmd_size");
    if (size.empty() || size.find_first_not_of("0123456789") != std::string::npos) return;
    page_bytes = std::stoull(size);
    const std::string of_size = "hugepages-" + std::to_string(page_bytes / 1024) + "kB/";
    offers = offers_huge_pages(setting("shmem_enabled"), setting(of_size + "shmem_enabled"));
  }
};

const System& system_settings() {
  static const System settings;
  return settings;
}

}  // namespace

bool offers_huge_pages(std::string_view all_sizes, std::string_view of_size) {
  const std::string_view all = chosen(all_sizes), own = chosen(of_size);
  if (all == "deny") return false;
  if (all == "force") return true;
  return gives_by_advice(own.empty() || own == "inherit" ? all : own);
}

std::uint64_t huge_page_bytes() { return system_settings().page_bytes; }

bool advise_huge_pages(std::span<std::byte> mapping) {
  return system_settings().offers && ::madvise(mapping.data(), mapping.size(), MADV_HUGEPAGE) == 0;
}

}  // namespace slotring::shm
