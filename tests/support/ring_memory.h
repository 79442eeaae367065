// A ring of hints in private memory, of any kind of word.

#ifndef SLOTRING_TESTS_SUPPORT_RING_MEMORY_H_
#define SLOTRING_TESTS_SUPPORT_RING_MEMORY_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "client_lib/shm/hint_ring.h"

namespace slotring::testing {

template <class Word>
struct RingMemory {
  static constexpr std::uint32_t kCells = 8;
  static constexpr std::uint32_t kValues = 100;  // smaller ones go in
  static constexpr std::uint64_t kLastPosition = (std::uint64_t{1} << 47) - 1;
  static constexpr std::uint32_t kWords = kCells + 2;

  RingMemory() { ring().format(); }

  shm::HintRing<Word> ring() { return {&head, &tail, cells.data(), kCells, kValues}; }
  std::vector<std::uint32_t> pop_all() {
    std::vector<std::uint32_t> values;
    // A ring gives no more than it can hold.
    while (auto value = ring().try_pop()) {
      values.push_back(*value);
      if (values.size() > kCells) break;
    }
    return values;
  }
  Word& word(std::uint32_t index) {
    return index == 0 ? head : index == 1 ? tail : cells[index - 2];
  }

  Word head{}, tail{};
  std::array<Word, kCells> cells{};
};
using PlainMemory = RingMemory<std::atomic<std::uint64_t>>;

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_RING_MEMORY_H_
