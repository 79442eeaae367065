// client_lib/shm/hint_ring.h under weak memory orders: each value comes out exactly once, and what
// was written before a push is seen after the pop.

#include <optional>

#include "client_lib/shm/hint_ring.h"
#include "tests/models/relacy/verdict.h"

namespace slotring::models {
namespace {

template <class Policy>
struct RingParts {
  using Atomic = ModelAtomic<std::uint64_t, Policy>;
  using Ring = shm::HintRing<Atomic>;
  static constexpr std::uint32_t kCells = 2;

  Atomic head, tail, cells[kCells];
  Ring ring{&head, &tail, cells, kCells, 16};
};

// Two push two values each into two cells, two pop; what is full or empty is tried a few times.
template <class Policy>
struct RingModel : rl::test_suite<RingModel<Policy>, 4> {
  static constexpr std::uint32_t kValues = 4;

  RingParts<Policy> parts;
  rl::var<int> written[kValues];
  rl::var<int> taken[kValues];
  bool pushed[kValues] = {};

  void before() {
    parts.ring.format();
    for (std::uint32_t i = 0; i < kValues; ++i) taken[i]($) = 0;
  }
  void thread(unsigned index) {
    if (index < 2) {
      push(2 * index);
      push(2 * index + 1);
    } else {
      for (int i = 0; i < 3; ++i) pop();
    }
  }
  void after() {
    while (pop()) {
    }
    RL_ASSERT(parts.ring.empty());
    for (std::uint32_t i = 0; i < kValues; ++i) RL_ASSERT(taken[i]($) == (pushed[i] ? 1 : 0));
  }

  void push(std::uint32_t value) {
    written[value]($) = 100 + static_cast<int>(value);
    pushed[value] = parts.ring.try_push(value);
  }
  bool pop() {
    const std::optional<std::uint32_t> value = parts.ring.try_pop();
    if (!value) return false;
    RL_ASSERT(*value < kValues);
    RL_ASSERT(written[*value]($) == 100 + static_cast<int>(*value));
    // A value that comes out twice is a data race, or counted twice.
    taken[*value]($) = taken[*value]($) + 1;
    return true;
  }
};

// A pusher that says how many it pushed before it set them free: who saw that finds them all.
template <class Policy>
struct RingKeepsWhatWasPushed : rl::test_suite<RingKeepsWhatWasPushed<Policy>, 2> {
  RingParts<Policy> parts;
  ModelAtomic<std::uint32_t, AsWritten> count;

  void before() {
    parts.ring.format();
    count.store(0, std::memory_order_relaxed);
  }
  void thread(unsigned index) {
    if (index == 0) {
      RL_ASSERT(parts.ring.try_push(1));
      count.store(1, std::memory_order_seq_cst);
    } else if (count.load(std::memory_order_seq_cst) == 1) {
      RL_ASSERT(!parts.ring.empty());
      RL_ASSERT(parts.ring.try_pop() == 1u);
    }
  }
};

}  // namespace
}  // namespace slotring::models

int main() {
  using namespace slotring::models;
  Verdict verdict;
  verdict.holds<RingModel<AsWritten>>("each value comes out once, with what was written before");
  verdict.holds<RingKeepsWhatWasPushed<AsWritten>>("a push that is known of is found");
  verdict.is_found<RingModel<AllRelaxed>>("canary: all orders relaxed");
  return verdict.exit_status();
}
