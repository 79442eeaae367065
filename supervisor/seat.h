// One seat of a pool: carries out what seat_machine.h decides, for the worker that sits here and
// its successors.
//
// Invariants:
//   - The seat's word in the segment follows the phase, and is written before anything that relies
//     on it.
//   - A successor gets the next generation, and is launched only after its predecessor is proven
//     dead, its obituary written and its slots walked. That the walk was done is recorded in the
//     segment after it, so a supervisor that takes over repeats one that was cut off.
//   - Nothing that a worker does or fails to do ends the supervisor.
// Belongs to the thread of the io_context.

#ifndef SLOTRING_SUPERVISOR_SEAT_H_
#define SLOTRING_SUPERVISOR_SEAT_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/process_identity.h"
#include "client_lib/shm/repair.h"
#include "client_lib/shm/slot_pool.h"
#include "supervisor/adoption.h"
#include "supervisor/config.h"
#include "supervisor/log_output.h"
#include "supervisor/restart_policy.h"
#include "supervisor/seat_machine.h"
#include "supervisor/seat_sockets.h"
#include "supervisor/worker_process.h"
#include "supervisor/worker_template.h"

namespace slotring::supervisor {

class Seat {
 public:
  using Clock = RestartPolicy::Clock;
  using SeatState = layout::SeatState;

  // What all seats of a pool share; outlives them.
  struct PoolSide {
    boost::asio::io_context& io;
    LogOutput& log_output;
    const PoolConfig& config;
    const std::string& package_path;
    const PoolMemory& memory;
    const shm::SlotPool& slots;
    SeatSockets& sockets;
    MethodTable& methods;
    WorkerTemplate* worker_template;                  // null: workers are launched
    std::function<bool(shm::SeatIndex)> holds_state;  // whether its worker has sessions' state
    std::function<void()> on_phase;                   // after every change of phase
    std::function<void()> on_buried;                  // after a dead worker's slots were walked
    std::function<void()> on_walked;                  // the same, and whoever's worker it was
  };

  Seat(const PoolSide& pool, shm::SeatIndex index);
  ~Seat();

  void start() { dispatch(SeatEvent::kStart); }
  // Does without a worker here; see Staffing for when.
  void rest() { dispatch(SeatEvent::kRest); }
  // Starts a worker in a dormant seat if a call was requested there all the same.
  void serve_requested();
  // Instead of start(): takes over a worker of an earlier supervisor. Errors: SYSTEM_LIMIT.
  Status take_over(FoundWorker found);
  // Before the supervisor leaves: ends a worker that the next one could not take over.
  void leave();
  void drain() { dispatch(SeatEvent::kDrain); }
  void hasten();
  // Kills the worker if the call that it runs at this moment takes longer than the pool allows.
  void end_overdue();
  // No worker will ever sit here again: ends what is still requested.
  void retire();

  SeatPhase phase() const { return phase_; }
  shm::SeatIndex index() const { return index_; }
  // Of a ready seat: since when.
  Clock::time_point ready_since() const { return ready_at_; }
  // Whether some call has its place here, and how many were served; both as the segment tells.
  bool is_in_use() const;
  std::uint64_t calls() const { return record_.calls.load(std::memory_order_relaxed); }
  // What an earlier supervisor left here, before start() or take_over().
  SeatState state_found() const { return word_.state; }
  // Whether a worker of this seat may be at work: none of its processes is proven dead.
  bool may_live() const { return worker_ != nullptr || has_unwalked(); }
  // What the seat's record in the segment should say.
  shm::PoolTruth::Seat truth() const;

 private:
  void dispatch(SeatEvent event);
  void carry_out(SeatAction action);

  void launch();
  Status start_process();
  void on_forked(Result<LaunchedProcess> process);
  void forsake();
  void bury_unborn(const Error& why);
  void fail_launch(const Error& why);
  Status ensure_walked();
  std::uint32_t walk_slots(bool last);
  Status take_on(LaunchedProcess process);
  void on_news(WorkerLink::News news);
  void ask_to_resume();
  void publish();
  void republish();
  void mark_draining();
  void ask_to_drain();
  void signal_group(int signal);
  void on_exit();
  void bury(bool last);
  StartEnd end_of(int wait_status, bool lost_calls) const;
  void go_dormant();
  void drain_if_idle();
  bool is_requested() const;
  void plan_successor();
  void arm(std::chrono::milliseconds delay);
  void on_timeout();

  // Whether there was a worker whose slots are not walked yet.
  bool has_unwalked() const { return walked_ != generation_ && phase_ != SeatPhase::kForking; }
  void set_word(SeatState state, bool returns = false);
  void set_profile(layout::ProfileWord profile);
  std::chrono::milliseconds ready_for() const;

  const PoolSide& pool_;
  const shm::SeatIndex index_;
  const std::string name_;  // "digits/0"
  layout::SeatRecord& record_;
  Log log_;

  SeatPhase phase_ = SeatPhase::kVacant;
  std::deque<SeatEvent> events_;  // those that actions raise wait for the actions' end
  bool dispatching_ = false;
  layout::SeatWord word_;        // as it is in the segment
  layout::ProfileWord profile_;  // the same
  std::uint32_t generation_;
  const shm::ProcessIdentity predecessor_;  // the last worker of an earlier supervisor
  std::uint32_t walked_ = 0;  // the last generation whose slots this supervisor has walked
  std::uint32_t launches_;
  std::uint64_t calls_before_ = 0;  // SeatRecord::calls when the worker was launched
  std::string verdict_;             // why the worker was killed, for the callers that lose it
  StartEnd last_end_ = StartEnd::kWorkerDied;
  Clock::time_point ready_at_{};  // of the present or last worker; epoch when it never was
  Clock::time_point ended_at_{};
  RestartPolicy policy_;
  std::minstd_rand chance_;
  Timer timer_;
  std::unique_ptr<WorkerProcess> worker_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SEAT_H_
