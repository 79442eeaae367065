// Whether a history is linearizable: whether each of its operations can be thought to have happened
// at one moment between its call and its return, so that the sequential pool would have answered
// the same (Herlihy and Wing, "Linearizability", TOPLAS 12(3), 1990).
//
// The search is Wing and Gong's ("Testing and verifying concurrent objects", JPDC 17, 1993): take
// any operation that no other has finished before, let it happen, go on with the rest, else take it
// back. What makes it fast is Lowe's memory of the configurations {operations that happened, pool}
// that were tried ("Testing for linearizability", CCPE 29(4), 2017).
//
// An operation without outcome may happen until its process was proven dead, or never.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_CHECKER_H_
#define SLOTRING_TESTS_LINEARIZABILITY_CHECKER_H_

#include <bitset>
#include <unordered_set>

#include "tests/linearizability/operation.h"
#include "tests/linearizability/sequential_pool.h"

namespace slotring::linearizability {

class Checker {
 public:
  static constexpr std::size_t kMaxOperations = 256;

  // REQUIRES: at most kMaxOperations.
  Checker(const SequentialPool& initial, History history);

  [[nodiscard]] bool linearizable();
  // How many configurations that took.
  std::size_t configurations() const { return seen_.size(); }

 private:
  using Happened = std::bitset<kMaxOperations>;
  struct Configuration {
    Happened happened;
    SequentialPool pool;
    bool operator==(const Configuration&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Configuration& c) const {
      return std::hash<Happened>()(c.happened) * 31 + c.pool.hash();
    }
  };

  bool search(const Happened& happened, const SequentialPool& pool, std::uint64_t latest_call);

  SequentialPool initial_;
  History history_;  // in the order of calls
  Happened must_happen_;
  std::unordered_set<Configuration, Hash> seen_;
};

// The smallest part of a history that is not linearizable which can be had by ending it earlier,
// and by leaving out all slots but one. REQUIRES: `history` is not linearizable.
History smallest_violation(const SequentialPool& initial, const History& history);

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_CHECKER_H_
