// A client's knowledge of its pool's supervisor, which may die and be followed by another.
//
// Calls do not need it: with a supervisor, without one, or with the next, slots are claimed and
// replies come. It is needed when somebody dies. So a client that sees another supervisor's epoch
// in the segment tells it that it is there; and a caller that has slept for long without a word
// asks here whether anybody is left that would wake it.
//
// Thread-safe. Nothing here waits for the supervisor, but for broadcast().

#ifndef SLOTRING_CLIENT_LIB_SUPERVISOR_CONTACT_H_
#define SLOTRING_CLIENT_LIB_SUPERVISOR_CONTACT_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/setting_record.h"
#include "slotring/result.h"

namespace slotring::internal {

class SupervisorContact {
 public:
  // `joined` outlives this. An invalid socket or an empty path: there is none, and none is missed.
  SupervisorContact(shm::UniqueFd socket, std::string path, const shm::Attachment& joined);

  // What each call begins with: tells a supervisor that has taken the pool over that this client is
  // there. Errors: NOT_ATTACHED, when the pool was started anew and this memory is nobody's.
  Status follow() {
    // Acquire: partner of the supervisor's release when it listens.
    if (epoch_in_segment() == epoch_.load(std::memory_order_relaxed)) [[likely]]
      return Done{};
    return rejoin();
  }

  // For a caller that waits for a reply from this seat: whether the call will still be ended by
  // somebody. False only with no supervisor and a dead worker.
  bool check_seat(shm::SeatIndex seat);
  // For one that waits for a slot of any. Errors: NOT_ATTACHED; WORKER_UNAVAILABLE, with no
  // supervisor and all workers dead.
  Status check_pool();
  // The error of a call for which check_seat() was false.
  Error unserved_error(shm::SeatIndex seat, bool never_started) const;

  // Has the supervisor keep a setting for all workers (schemas/attach.fbs, Broadcast), and waits
  // for its answer. Returns the setting's epoch. Errors: what the supervisor refuses it with;
  // WORKER_UNAVAILABLE (retryable when nothing was sent: no supervisor; otherwise it went away
  // before it answered), DEADLINE_EXCEEDED, NOT_ATTACHED.
  Result<std::uint32_t> broadcast(const shm::Setting& setting, shm::MonotonicNs deadline);

  // Everything is released: says so in the client table and to the supervisor, if there is one.
  void say_goodbye();

 private:
  std::uint32_t epoch_in_segment() const {
    return joined_.segment->header().supervisor_epoch.load(std::memory_order_acquire);
  }
  Status rejoin();
  bool connect();
  bool is_supervised();
  bool look_for_messages();
  void note_orphaned();
  Status take_turn(shm::MonotonicNs deadline);
  void end_turn();
  Result<std::uint32_t> broadcast_in_turn(const shm::Setting& setting, shm::MonotonicNs deadline);
  Result<shm::UniqueFd> socket_for_broadcast();
  Result<std::uint32_t> await_epoch(int socket, shm::MonotonicNs deadline);
  bool is_dead(shm::SeatIndex seat) const;
  bool anybody_serves() const;

  const shm::Attachment& joined_;
  std::string path_;
  // Broadcasts go one at a time. (ThreadSanitizer knows no std::timed_mutex.)
  std::mutex turns_;
  std::condition_variable turn_over_;
  bool broadcasts_ = false;  // guarded by turns_
  std::mutex mutex_;         // of this process; guards the next four
  shm::UniqueFd socket_;
  shm::MonotonicNs next_try_ns_ = 0;
  bool awaits_answer_ = false;         // broadcast() reads what comes, and nobody else
  bool owed_answer_ = false;           // one may still come that nobody waits for
  std::atomic<std::uint32_t> epoch_;   // of the last supervisor that was told
  std::atomic<bool> orphaned_{false};  // the pool was started anew, with other memory
  bool pids_are_seen_;  // the supervisor's pids mean the same in this process' pid namespace
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_SUPERVISOR_CONTACT_H_
