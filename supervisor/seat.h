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

namespace slotring::supervisor {

class Seat {
 public:
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
    std::function<void()> on_phase;   // after every change of phase
    std::function<void()> on_buried;  // after a dead worker's slots were walked
  };

  Seat(const PoolSide& pool, shm::SeatIndex index);
  ~Seat();

  void start() { dispatch(SeatEvent::kStart); }
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
  // What the seat's record in the segment should say.
  shm::PoolTruth::Seat truth() const;

 private:
  using Clock = RestartPolicy::Clock;

  void dispatch(SeatEvent event);
  void carry_out(SeatAction action);

  void launch();
  Status try_launch();
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
  void plan_successor();
  void arm(std::chrono::milliseconds delay);

  void set_word(layout::SeatState state);
  std::chrono::milliseconds ready_for() const;

  const PoolSide& pool_;
  const shm::SeatIndex index_;
  const std::string name_;  // "digits/0"
  layout::SeatRecord& record_;
  Log log_;

  SeatPhase phase_ = SeatPhase::kVacant;
  std::deque<SeatEvent> events_;  // those that actions raise wait for the actions' end
  bool dispatching_ = false;
  layout::SeatWord word_;  // as it is in the segment
  std::uint32_t generation_;
  const shm::ProcessIdentity predecessor_;  // the last worker of an earlier supervisor
  std::uint32_t walked_ = 0;  // the last generation whose slots this supervisor has walked
  std::uint32_t launches_;
  std::string verdict_;  // why the worker was killed, for the callers that lose it
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
