// What a seat does about everything that can happen to its worker, as a table and nothing else: no
// clock, no process, no memory. Seat (seat.h) turns what happens into events and carries out the
// actions.
//
//               start              ready          drain              timeout, hasten
//     VACANT ----------> STARTING ---------> READY -------> DRAINING -----------------> STOPPING
//                         ^  |  | died         | died           | died                     | died
//                 timeout |  |  v              |                '--------> STOPPED <-------'
//                         '--|- BACKOFF <------+---- died ---- EVICTING
//                            |     '-- give up --> FAILED         ^
//                            '---- set-up failed, timeout --------'
//
//     STARTING -- ordered --> FORKING -- forked --> STARTING   its process comes from a template
//                                '-- launch failed, timeout --> BACKOFF
//
//     VACANT -- found --> RESUMING -- resumed --> READY        a worker of an earlier supervisor
//                            '-- resumed, leaving, or refused --> EVICTING
//
//     VACANT -- rest --> DORMANT -- start --> STARTING         a pool that does without a worker
//                           ^-- died -- RETIRING <-- rest -- READY
//                                          '-- in use --> READY
//
// (drain takes every other phase to DRAINING or STOPPING or, where there is no process, to STOPPED)
//
// Invariant: a successor is launched only from BACKOFF and DORMANT, so only after kBury has been
// carried out for the worker before it. A seat has at most one timer, which belongs to its phase:
// kTimeout always means that one.

#ifndef SLOTRING_SUPERVISOR_SEAT_MACHINE_H_
#define SLOTRING_SUPERVISOR_SEAT_MACHINE_H_

#include <cstdint>
#include <optional>
#include <span>

namespace slotring::supervisor {

enum class SeatPhase : std::uint8_t {
  kVacant,    // has no worker yet
  kResuming,  // a process of an earlier supervisor runs; it has not answered yet
  kForking,   // no process yet; a template was told to fork one
  kStarting,  // a process runs and sets itself up
  kReady,     // serves calls
  kEvicting,  // the process was told to go, a successor is due
  kBackoff,   // no process; a successor is due
  kFailed,    // no process, and no successor: a crash loop was ended
  kRetiring,  // the pool does without this worker; it serves what was requested, and goes
  kDormant,   // no process; one is started when the pool wants it
  kDraining,  // the pool shuts down; serves what was requested
  kStopping,  // the pool shuts down; the process was told to go
  kStopped,   // the pool shuts down; no process
};
inline constexpr int kSeatPhases = 13;

enum class SeatEvent : std::uint8_t {
  kStart,           // the pool wants a worker here
  kFound,           // an earlier supervisor's worker lives here
  kResumed,         // it has answered, and serves on
  kResumedLeaving,  // it has answered, and was told to leave
  kOrdered,         // a template was told to fork the process
  kForked,          // it has
  kLaunchFailed,    // there is no process: fork, exec, a limit or the template
  kReady,           // the handshake is complete
  kSetupFailed,     // the worker said so, or its handshake was wrong
  kConnectionLost,  // its socket is closed; the process may be alive
  kDied,            // proven by its pidfd
  kOverdue,         // its call runs for longer than the pool allows
  kTimeout,         // of the timer that the phase armed
  kTimeoutInUse,    // the same, of a worker that is to retire; slots of the seat are in use
  kRest,            // the pool does without a worker here
  kInUse,           // the worker that was to retire is in use after all
  kGiveUp,          // the restart policy wants no successor
  kDrain,           // the pool shuts down
  kHasten,          // the pool shuts down, and somebody is impatient; calls are running
  kHastenIdle,      // the same; no slot of the seat is in use
};
inline constexpr int kSeatEvents = 20;

enum class SeatAction : std::uint8_t {
  kLaunch,         // next generation, word STARTING, fork and exec; or kOrdered
  kForsake,        // a process that a template was told to fork is wanted no more; buries its seat
  kPublish,        // word READY, slots listed
  kRepublish,      // the same for a worker that served already
  kMarkDraining,   // word DRAINING: nobody claims here any more
  kMarkRetiring,   // the same, but a worker comes back when one is wanted
  kAskToDrain,     // Drain to the worker
  kDrainIfIdle,    // Drain to the worker and its timer, or, when it is in use, kInUse
  kRest,           // word DORMANT; kStart if somebody has requested a call here meanwhile
  kTerminate,      // SIGTERM to the process group
  kKill,           // SIGKILL to the process group
  kBury,           // word LOST, obituary, slots walked
  kBuryLast,       // word RETIRED, obituary, slots walked, requested ones too
  kRetire,         // word RETIRED, requested slots end, callers woken
  kPlanSuccessor,  // ask the restart policy: arm the timer, or kGiveUp
  kArmStartTimer,  // one timer a seat: arming replaces it
  kArmDrainTimer,
  kArmStopTimer,
  kDisarmTimer,
};

struct SeatStep {
  SeatPhase next;
  std::span<const SeatAction> actions;  // in this order; static storage
};

// Nothing when the event means nothing in this phase; it is to be ignored then.
std::optional<SeatStep> step(SeatPhase phase, SeatEvent event);

// Whether a seat in this phase may have a process.
constexpr bool has_process(SeatPhase phase) {
  return phase == SeatPhase::kStarting || phase == SeatPhase::kResuming ||
         phase == SeatPhase::kReady || phase == SeatPhase::kEvicting ||
         phase == SeatPhase::kRetiring || phase == SeatPhase::kDraining ||
         phase == SeatPhase::kStopping;
}

// Whether nothing will happen in this seat any more once its pool shuts down.
constexpr bool is_settled(SeatPhase phase) {
  return phase == SeatPhase::kFailed || phase == SeatPhase::kStopped;
}

const char* to_string(SeatPhase phase);
const char* to_string(SeatEvent event);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SEAT_MACHINE_H_
