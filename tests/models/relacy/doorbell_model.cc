// client_lib/shm/doorbell.h under weak memory orders: no bit is lost, no wake is lost, and what was
// written before a ring is seen by whoever takes the bits.

#include "client_lib/shm/doorbell.h"
#include "tests/models/relacy/verdict.h"

namespace slotring::models {
namespace {

// The product's bell.
template <class Word>
struct RealBell : shm::Doorbell<Word> {
  using shm::Doorbell<Word>::Doorbell;
};
// Canary: the ringer clears `sleeps` as if its wake were done already. Another's wake is then lost
// when the first is stopped before it; here, when it never gets to it.
template <class Word>
struct ImpatientBell : shm::Doorbell<Word> {
  explicit ImpatientBell(Word& word) : shm::Doorbell<Word>(word), word_(&word) {}
  bool ring(std::uint32_t bits) {
    std::uint32_t seen = word_->load(std::memory_order_seq_cst);
    while (!word_->compare_exchange_strong(seen, (seen | bits) & ~shm::Doorbell<Word>::kSleeps,
                                           std::memory_order_seq_cst, std::memory_order_relaxed)) {
    }
    return (seen & shm::Doorbell<Word>::kSleeps) != 0;
  }
  Word* word_;
};
// Canary: sleeps without looking.
template <class Word>
struct DeafBell : shm::Doorbell<Word> {
  explicit DeafBell(Word& word) : shm::Doorbell<Word>(word), word_(&word) {}
  bool try_sleep() {
    word_->store(shm::Doorbell<Word>::kSleeps, std::memory_order_seq_cst);
    return true;
  }
  Word* word_;
};

// Two ring a bit each; the first may be killed before it wakes the worker. The worker goes on until
// it has the bits that it can count on.
template <class Policy, template <class> class Bell, bool kFirstDies>
struct BellModel : rl::test_suite<BellModel<Policy, Bell, kFirstDies>, 3> {
  using Word = ModelAtomic<std::uint32_t, Policy>;

  Word word;
  ModelFutex futex;
  rl::var<int> written[2];

  void before() { word.store(0, std::memory_order_relaxed); }
  void thread(unsigned index) {
    Bell<Word> bell(word);
    if (index == 2) return worker(bell);
    written[index]($) = 1;
    const bool sleeps = bell.ring(bell.bit_of(index));
    if (index == 0 && kFirstDies) return;
    if (sleeps) futex.wake();
  }
  void worker(Bell<Word>& bell) {
    const std::uint32_t wanted = kFirstDies ? bell.bit_of(1) : bell.bit_of(0) | bell.bit_of(1);
    std::uint32_t taken = 0;
    while ((taken & wanted) != wanted) {
      if (bell.rung()) {
        const std::uint32_t bits = bell.take();
        RL_ASSERT((bits & taken) == 0);
        taken |= bits;
        for (std::uint32_t i = 0; i < 2; ++i) {
          if ((bits & bell.bit_of(i)) != 0) RL_ASSERT(written[i]($) == 1);
        }
      } else if (bell.try_sleep()) {
        futex.wait(word, std::uint32_t{bell.kSleeps});
      }
    }
  }
};

}  // namespace
}  // namespace slotring::models

int main() {
  using namespace slotring::models;
  Verdict verdict;
  verdict.holds<BellModel<AsWritten, RealBell, false>>("no bit and no wake is lost");
  verdict.holds<BellModel<AsWritten, RealBell, true>>(
      "no wake is lost after a ringer that died before its own");
  verdict.is_found<BellModel<AllRelaxed, RealBell, false>>("canary: all orders relaxed");
  verdict.is_found<BellModel<AsWritten, ImpatientBell, true>>("canary: a ringer clears `sleeps`");
  verdict.is_found<BellModel<AsWritten, DeafBell, false>>("canary: sleeps without looking");
  return verdict.exit_status();
}
