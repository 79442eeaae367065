// Which slot a call of a session gets: the affinity of sessions to workers.
//
// A session's record names the seat where it is at home (schemas/session_layout.h). Who claims for
// a session that has no home, or whose home has gone for good, claims anywhere and makes that its
// home, by one compare-and-swap; of several at a time one wins. Nothing is held meanwhile, so a
// client may die at any instruction.
//
// State in a worker's memory is lost with the worker. Whoever finds that first takes the note of it
// out of the record, by one compare-and-swap, and whoever succeeds tells: its call ends with
// SESSION_LOST.
//
// Thread-safe, lock-free but for the waits in line.

#ifndef SLOTRING_CLIENT_LIB_SESSION_ROUTER_H_
#define SLOTRING_CLIENT_LIB_SESSION_ROUTER_H_

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string_view>

#include "client_lib/shm/session_table.h"
#include "client_lib/shm/slot_pool.h"
#include "slotring/lease.h"
#include "slotring/result.h"

namespace slotring::internal {

// One session, and not a later one in the same record.
struct SessionRef {
  shm::SessionIndex index = 0;
  std::uint32_t incarnation = 0;  // 0: none
};

struct SessionCall {
  std::string_view name;
  SessionMode mode = SessionMode::kPoolDefault;
  shm::MonotonicNs now = 0;  // when the call began
  shm::MonotonicNs deadline = shm::kNever;
};

class SessionRouter {
 public:
  // What a caller that has slept for long asks. Errors end its wait.
  struct Served {
    shm::SlotPool::StillServed by_pool;                  // whether anybody serves at all
    std::function<Status(shm::SeatIndex)> by_seat = {};  // whether this seat's worker does, or will
  };

  // All outlive this.
  SessionRouter(const shm::SlotPool& pool, std::uint16_t owner)
      : pool_(&pool), table_(pool.segment()), owner_(owner) {}

  const shm::SessionTable& table() const { return table_; }
  // Whether sessions' state is lost with its worker; otherwise it is in a store.
  bool keeps_state_in_workers() const;

  // Claims a slot for a call of the session, which is created if need be. `session` is told as soon
  // as it is known, also when the claim fails. Errors: those of SlotPool::claim() and claim_on();
  // those of SessionTable::find_or_create(); SESSION_LOST, SESSION_BUSY.
  Result<shm::Claim> claim(const SessionCall& call, SessionRef& session,
                           const std::stop_token& stop, const Served& served) const;

 private:
  // How to go on when nothing failed and nothing was claimed: the session has changed meanwhile.
  using Step = Result<std::optional<shm::Claim>>;

  const shm::ControlSegment& segment() const { return pool_->segment(); }
  SessionMode mode_of(const SessionCall& call, const shm::SessionWord& seen) const;
  bool has_home(const shm::SessionWord& seen) const;
  bool is_state_lost(shm::SessionIndex index, const shm::SessionWord& seen) const;
  // Whether the caller is the one to tell.
  bool try_forget_state(shm::SessionIndex index, shm::SessionWord seen) const;
  void note_use(shm::SessionIndex index, shm::MonotonicNs now) const;
  bool is_ready(const shm::Claim& claim) const;
  bool is_alone(const shm::Claim& claim) const;
  void give_back(const shm::Claim& claim) const;
  Step claim_at_home(const SessionCall& call, const shm::FoundSession& found,
                     const std::stop_token& stop, const Served& served) const;
  Step claim_a_home(const SessionCall& call, const shm::FoundSession& found,
                    const std::stop_token& stop, const Served& served) const;
  Step claim_idle_home(shm::SeatIndex home) const;
  Step wait_for_home(const SessionCall& call, const shm::FoundSession& found,
                     const std::stop_token& stop, const Served& served) const;

  const shm::SlotPool* pool_;
  shm::SessionTable table_;
  std::uint16_t owner_;
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_SESSION_ROUTER_H_
