#include "client_lib/session_router.h"

#include <string>

namespace slotring::internal {

using layout::kFlagHasState;
using layout::kLossStep;
using layout::kNoHome;
using layout::SeatState;
using layout::SessionStoreKind;
using shm::Claim;
using shm::FoundSession;
using shm::SeatIndex;
using shm::SessionIndex;
using shm::SessionWord;
using shm::SlotPool;
using shm::SlotState;

namespace {

// REQUIRES: seen.home is not kNoHome.
SeatIndex home_of(const SessionWord& seen) { return SeatIndex{seen.home} - 1; }

// Whether this seat's worker, or its successor, may be waited for by a session.
bool is_expected(const layout::SeatWord& seat, const SessionWord& session) {
  switch (seat.state) {
    case SeatState::kStarting:
    case SeatState::kReady:
    case SeatState::kLost:
      return true;
    case SeatState::kDraining:
      // One that is sent away for being idle keeps nothing that a session needs, or stays.
      return !seat.returns || session.has_state();
    case SeatState::kVacant:
    case SeatState::kRetired:
    case SeatState::kDormant:
      break;
  }
  return false;  // so is a state that is none
}

Error lost_error(std::string_view name) {
  return Error{ErrorCode::kSessionLost, "the worker that held the state of session \"" +
                                            std::string(name) +
                                            "\" is gone; the next call starts it afresh"};
}

Error busy_error(std::string_view name, SeatIndex home) {
  return Error{.code = ErrorCode::kSessionBusy,
               .message = "the worker of session \"" + std::string(name) + "\" (seat " +
                          std::to_string(home) + ") is not idle",
               .retryable = true};
}

}  // namespace

bool SessionRouter::keeps_state_in_workers() const {
  const volatile SessionStoreKind& store = segment().header().sessions.store;  // read exactly once
  return store != SessionStoreKind::kDurable;
}

SessionMode SessionRouter::mode_of(const SessionCall& call, const SessionWord& seen) const {
  SessionMode mode = call.mode;
  if (mode == SessionMode::kPoolDefault) {
    const volatile layout::SessionMode& of_pool = segment().header().sessions.mode;
    mode = static_cast<SessionMode>(of_pool);
  }
  // Another worker does not have the state.
  if (mode == SessionMode::kHint && seen.has_state() && keeps_state_in_workers()) {
    return SessionMode::kQueue;
  }
  return mode == SessionMode::kHint || mode == SessionMode::kFail ? mode : SessionMode::kQueue;
}

bool SessionRouter::has_home(const SessionWord& seen) const {
  return seen.home != kNoHome && home_of(seen) < segment().geometry().max_workers &&
         is_expected(segment().seat_word(home_of(seen)), seen);
}

bool SessionRouter::is_state_lost(SessionIndex index, const SessionWord& seen) const {
  if (!seen.has_state() || !keeps_state_in_workers()) return false;
  if (!has_home(seen)) return true;
  const layout::SeatWord seat = segment().seat_word(home_of(seen));
  // Relaxed: stored before the word that says that there is state, which was loaded (acquire).
  const std::uint32_t holder = table_.record(index).home_generation.load(std::memory_order_relaxed);
  return seat.state == SeatState::kLost || seat.generation != holder;
}

bool SessionRouter::try_forget_state(SessionIndex index, SessionWord seen) const {
  const auto flags = static_cast<std::uint8_t>((seen.flags & ~kFlagHasState) + kLossStep);
  return table_.try_update(index, seen, kNoHome, flags);
}

void SessionRouter::give_back(const Claim& claim) const {
  // A word that is no longer this claim's was scribbled over; there is nothing to give back.
  (void)pool_->try_release(claim.slot, claim.word, shm::Actor::kClient);
}

// Never backwards: a process that was stopped before it stored an old one would have the session
// expire.
void SessionRouter::note_use(SessionIndex index, shm::MonotonicNs now) const {
  std::atomic<std::uint64_t>& used = table_.record(index).last_used_ns;
  std::uint64_t seen = used.load(std::memory_order_relaxed);
  while (seen < now && !used.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

// Whether its worker may be given new state. seq_cst, after the claim: who sends an idle worker
// away marks the seat and then looks at its slots, and sees the claim, or is seen here.
bool SessionRouter::is_ready(const Claim& claim) const {
  return segment().seat_word(segment().seat_of(claim.slot)).state == SeatState::kReady;
}

// Whether the claim's worker has nothing else. Of several that claim at the same time at most one
// is told so: each claimed (seq_cst) before it looks (seq_cst).
bool SessionRouter::is_alone(const Claim& claim) const {
  const shm::SlotIndex first = segment().first_slot(segment().seat_of(claim.slot));
  for (std::uint32_t i = 0; i < segment().geometry().slots_per_worker; ++i) {
    if (first + i == claim.slot) continue;
    if (shm::load_slot(pool_->word(first + i)).state != SlotState::kFree) return false;
  }
  return true;
}

Result<Claim> SessionRouter::claim(const SessionCall& call, SessionRef& session,
                                   const std::stop_token& stop, const Served& served) const {
  for (;;) {
    Result<FoundSession> found = table_.find_or_create(call.name, shm::creator_client(owner_));
    if (!found) return std::move(found).error();
    session = {found->index, found->word.incarnation};
    note_use(found->index, call.now);
    if (is_state_lost(found->index, found->word)) {
      if (try_forget_state(found->index, found->word)) return lost_error(call.name);
    } else {
      Step step = has_home(found->word) ? claim_at_home(call, *found, stop, served)
                                        : claim_a_home(call, *found, stop, served);
      if (!step) return std::move(step).error();
      if (*step && is_ready(**step)) return **step;
      if (*step) give_back(**step);
    }
    // Others may change the session all the time.
    if (Status wanted = shm::check_still_wanted(call.deadline, stop); !wanted) {
      return std::move(wanted).error();
    }
  }
}

SessionRouter::Step SessionRouter::claim_at_home(const SessionCall& call, const FoundSession& found,
                                                 const std::stop_token& stop,
                                                 const Served& served) const {
  const SeatIndex home = home_of(found.word);
  const SessionMode mode = mode_of(call, found.word);
  if (mode == SessionMode::kQueue) return wait_for_home(call, found, stop, served);
  Step idle = claim_idle_home(home);
  if (*idle) return idle;
  if (mode == SessionMode::kFail) return busy_error(call.name, home);
  Result<Claim> elsewhere = pool_->claim(owner_, shm::kNoSlot, call.deadline, stop, served.by_pool);
  if (!elsewhere) return std::move(elsewhere).error();
  return std::optional<Claim>(*elsewhere);
}

// Nothing when the home is busy, which a claim at the same time makes it.
SessionRouter::Step SessionRouter::claim_idle_home(SeatIndex home) const {
  if (segment().busy_slots(home) != 0) return std::optional<Claim>();
  std::optional<Claim> claim = pool_->try_claim_on(owner_, home);
  if (claim && !is_alone(*claim)) {
    give_back(*claim);
    claim.reset();
  }
  return claim;
}

SessionRouter::Step SessionRouter::wait_for_home(const SessionCall& call, const FoundSession& found,
                                                 const std::stop_token& stop,
                                                 const Served& served) const {
  const SeatIndex home = home_of(found.word);
  const auto home_served = [&] { return served.by_seat ? served.by_seat(home) : Status(Done{}); };
  Result<Claim> claim = pool_->claim_on(owner_, home, call.deadline, stop, home_served);
  if (!claim) {
    // The seat may have gone for good meanwhile: the session moves then.
    const bool left = claim.error().code == ErrorCode::kWorkerUnavailable && !has_home(found.word);
    if (left) return std::optional<Claim>();
    return std::move(claim).error();
  }
  // While it waited, the session may have been ended or moved, or the worker that had its state may
  // have died.
  const SessionWord now = table_.word(found.index);
  const bool same = now.incarnation == found.word.incarnation && now.state == found.word.state &&
                    now.home == found.word.home;
  if (same && !is_state_lost(found.index, now)) return std::optional<Claim>(*claim);
  give_back(*claim);
  return std::optional<Claim>();
}

SessionRouter::Step SessionRouter::claim_a_home(const SessionCall& call, const FoundSession& found,
                                                const std::stop_token& stop,
                                                const Served& served) const {
  // Not the slot that this thread used last: all its sessions would be at home there.
  Result<Claim> claim = pool_->claim(owner_, shm::kNoSlot, call.deadline, stop, served.by_pool);
  if (!claim) return std::move(claim).error();
  SessionWord seen = found.word;
  const auto home = static_cast<std::uint16_t>(segment().seat_of(claim->slot) + 1);
  if (table_.try_update(found.index, seen, home, seen.flags)) return std::optional<Claim>(*claim);
  // Another call was first. Where it made the same seat the home, or where a call need not be at
  // home, that does not matter.
  const bool same =
      seen.incarnation == found.word.incarnation && seen.state == shm::SessionState::kActive;
  if (same && (seen.home == home || mode_of(call, seen) == SessionMode::kHint)) {
    return std::optional<Claim>(*claim);
  }
  give_back(*claim);
  return std::optional<Claim>();
}

}  // namespace slotring::internal
