// The pool of one experiment and everybody in it but for the child that is stepped: see
// experiment.h. What ought to hold and does not is kept as the stage's damage.

#ifndef SLOTRING_TESTS_KILL_POINTS_STAGE_H_
#define SLOTRING_TESTS_KILL_POINTS_STAGE_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/kill_points/experiment.h"

namespace slotring::testing {

class Stage {
 public:
  explicit Stage(const Experiment& experiment);

  // --- in the child ---
  // Prepares what is the child's own, and does the operation between begin() and end().
  bool perform();

  // --- here ---
  // Does for a child that goes to sleep what it waits for, once, when it is about to sleep.
  [[nodiscard]] bool try_wake_sleeper();

  // What the supervisor does about the killed child, `client_first` or not if it was both.
  void mourn(bool client_first);
  // What everybody else does while the child is stopped.
  void meanwhile();
  // Whether the child waits in line, for what meanwhile() took.
  bool child_waits_in_line() const;
  // Gives it back.
  void end_meanwhile();
  // What the living do after that, until all calls have ended.
  void go_on();
  // A pool that nobody uses any more, and that works.
  void check_whole();

  void expect(bool holds, std::string_view what);
  const std::string& damage() const { return damage_; }
  void audit_waiters() const { shm::audit_waiters(pool_.pool()); }

 private:
  using Held = std::pair<shm::SlotIndex, shm::SlotWord>;
  struct Claimed {
    shm::SlotIndex slot;
    Lease lease;
  };

  bool is_dead(unsigned actor) const { return (dead_ & actor) != 0; }
  bool in_child(unsigned actor) const { return (experiment_.operation.actors & actor) != 0; }
  // A worker of seat 0 that lives here.
  bool worker_is_here() const { return !is_dead(kWorkerPeer) && !in_child(kWorkerPeer); }
  std::vector<Held> words_of(std::uint16_t owner) const;
  void expect_held(const std::vector<Held>& held, std::string_view whose);
  void lose_worker();
  void start_successor();
  void end_running_calls();
  void end_leases();
  bool has_free_slot() const;
  std::optional<Claimed> try_claim();
  std::vector<Claimed> claim_all();
  void call_on(std::vector<Claimed>& claims);
  void leave_requests_to_child();
  bool is_in_line(std::uint16_t owner) const;
  void check_hints();

  const Experiment& experiment_;
  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> bystander_;
  shm::WorkerSeat other_worker_;
  std::vector<Claimed> held_;  // by the bystander
  std::vector<Held> held_words_;
  std::optional<shm::WaiterIndex> waiter_;
  Peers peers_;
  std::optional<shm::WorkerSeat> successor_;
  std::vector<Claimed> meanwhile_;  // by the bystander, while the child is stopped
  std::vector<Held> meanwhile_words_;
  std::optional<Claimed> left_to_child_;  // a request for the worker that is stopped
  std::uint32_t generation_ = 1;
  unsigned dead_;
  bool woken_ = false;
  std::string damage_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_KILL_POINTS_STAGE_H_
