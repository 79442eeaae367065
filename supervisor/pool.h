// One pool: its memory, its socket, its seats and its clients, from start to the last reaped
// worker.
//
//     create -> start -> [ready] -> drain -> [hasten] -> stopped
//
// A pool that an earlier supervisor left running is taken over: its memory, its workers and its
// clients, none of which notices more than that there was no supervisor for a while.
//
// Bound: from drain() to stopped no longer than drain_timeout + stop_timeout and what the kernel
// needs to end processes. Belongs to the thread of the io_context, but for the audit's own thread.

#ifndef SLOTRING_SUPERVISOR_POOL_H_
#define SLOTRING_SUPERVISOR_POOL_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/slot_pool.h"
#include "supervisor/adoption.h"
#include "supervisor/config.h"
#include "supervisor/listening_socket.h"
#include "supervisor/log_output.h"
#include "supervisor/method_table.h"
#include "supervisor/pool_audit.h"
#include "supervisor/pool_memory.h"
#include "supervisor/reception.h"
#include "supervisor/seat.h"
#include "supervisor/seat_sockets.h"
#include "supervisor/settings.h"
#include "supervisor/staffing.h"
#include "supervisor/worker_template.h"

namespace slotring::supervisor {

class Pool {
 public:
  // What the whole program does for its pools.
  struct ProgramSide {
    boost::asio::io_context& io;
    LogOutput& log_output;
    std::function<void()> on_change;     // ready() or stopped() may have become true
    std::function<bool()> keep_waiting;  // see find_running_pool()
    Reception::Upgrade upgrade;          // asked for by somebody who may
  };
  // Takes the pool's socket, and finds its memory or makes it; nobody is let in yet. Errors:
  // REFUSED (another supervisor serves it), VERSION_MISMATCH (it runs, and is another build's),
  // OUT_OF_MEMORY, SYSTEM_LIMIT, INVALID_ARGUMENT.
  static Result<std::unique_ptr<Pool>> create(const ProgramSide& program, PoolConfig config);
  ~Pool();

  // Lets clients in, and launches the workers that there are not.
  Status start();
  // Whether a worker lives that would hold the memory until the next supervisor comes.
  bool can_be_left() const;
  // Starts one if none is on its way and some seat may have one.
  void want_worker() { staffing_.want_one(); }
  // Leaves all that runs to the next supervisor. Only destruction may follow.
  void leave();
  // Whether it ran before this supervisor: not to be ended because this one cannot go on.
  bool adopted() const { return parts_.adopted; }
  // Takes no new calls, lets workers end those that they have, and ends the workers.
  void drain();
  // Ends the workers now; once more kills them. REQUIRES: drain() was called.
  void hasten();

  // Whether every worker that is to run was ready at the same time once.
  bool ready() const { return was_ready_; }
  // Whether no process is left and every caller has been told.
  bool stopped() const { return stopped_; }
  const std::string& name() const { return config_.name; }
  // As it runs: what it keeps of another configuration is in it (kept_config.h).
  const PoolConfig& config() const { return config_; }

 private:
  // What create() has taken or made.
  struct Parts {
    std::string package_path;
    ListeningSocket socket;
    SeatSockets seat_sockets;
    std::unique_ptr<PoolMemory> memory;
    bool adopted;  // the memory was there
    std::vector<FoundWorker> workers;
  };
  Pool(const ProgramSide& program, PoolConfig config, Parts parts);

  Status start_audit();
  Status take_over();
  void start_seats();
  void sign_header();
  void on_phase();
  void check_ready();
  void finish();
  void audit_sessions();
  void look_after_dead();
  // Makes the memory sound again, whatever a peer that broke the rules has made of it.
  void repair();

  PoolConfig config_;
  Parts parts_;
  Log log_;
  std::function<void()> on_change_;
  shm::SlotPool slots_;
  MethodTable methods_;
  Settings settings_;
  Reception reception_;
  std::unique_ptr<WorkerTemplate> template_;  // null: workers are launched
  Seat::PoolSide seat_side_;
  std::vector<std::unique_ptr<Seat>> seats_;
  Staffing staffing_;
  std::unique_ptr<PoolAudit> audit_;
  // Of the segment, as this supervisor has written it; before that nothing can be repaired.
  std::optional<shm::FixedHeader> header_;
  std::uint32_t epoch_ = 0;  // this supervisor's among those that the pool has had
  std::chrono::steady_clock::time_point started_at_{};
  bool draining_ = false;
  bool was_ready_ = false;
  bool stopped_ = false;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_POOL_H_
