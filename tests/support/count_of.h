// How often one text stands in another.

#ifndef SLOTRING_TESTS_SUPPORT_COUNT_OF_H_
#define SLOTRING_TESTS_SUPPORT_COUNT_OF_H_

#include <cstddef>
#include <string_view>

namespace slotring::testing {

inline std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_COUNT_OF_H_
