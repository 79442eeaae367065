#include "supervisor/seat_machine.h"

#include <array>
#include <cstddef>
#include <initializer_list>

namespace slotring::supervisor {

namespace {

using Phase = SeatPhase;
using Event = SeatEvent;
using Action = SeatAction;

struct Row {
  static constexpr std::size_t kMaxActions = 4;

  constexpr Row(Phase in, Event happened, Phase to, std::initializer_list<Action> what)
      : phase(in), event(happened), next(to), count(what.size()) {
    std::size_t i = 0;
    for (Action action : what) actions[i++] = action;
  }

  Phase phase;
  Event event;
  Phase next;
  std::array<Action, kMaxActions> actions{};
  std::size_t count;
};

// clang-format off
constexpr Row kRows[] = {
    {Phase::kVacant, Event::kStart, Phase::kStarting, {Action::kArmStartTimer, Action::kLaunch}},
    {Phase::kVacant, Event::kFound, Phase::kResuming, {}},
    {Phase::kVacant, Event::kRest, Phase::kDormant, {Action::kRest}},
    {Phase::kVacant, Event::kDrain, Phase::kStopped, {Action::kMarkDraining}},

    // No timer: it may be stopped, and what it holds is its own as long as it lives.
    {Phase::kResuming, Event::kResumed, Phase::kReady, {Action::kRepublish}},
    {Phase::kResuming, Event::kResumedLeaving, Phase::kEvicting,
     {Action::kMarkRetiring, Action::kArmDrainTimer}},
    {Phase::kResuming, Event::kSetupFailed, Phase::kEvicting,
     {Action::kTerminate, Action::kArmStopTimer}},
    {Phase::kResuming, Event::kConnectionLost, Phase::kEvicting,
     {Action::kTerminate, Action::kArmStopTimer}},
    {Phase::kResuming, Event::kDied, Phase::kBackoff, {Action::kBury, Action::kPlanSuccessor}},
    {Phase::kResuming, Event::kDrain, Phase::kDraining,
     {Action::kMarkDraining, Action::kArmDrainTimer}},

    {Phase::kStarting, Event::kReady, Phase::kReady, {Action::kDisarmTimer, Action::kPublish}},
    {Phase::kStarting, Event::kOrdered, Phase::kForking, {}},
    {Phase::kStarting, Event::kLaunchFailed, Phase::kBackoff, {Action::kPlanSuccessor}},
    // It ends by itself, with an exit status that tells more than SIGTERM.
    {Phase::kStarting, Event::kSetupFailed, Phase::kEvicting, {Action::kArmStopTimer}},
    {Phase::kStarting, Event::kConnectionLost, Phase::kEvicting, {Action::kArmStopTimer}},
    {Phase::kStarting, Event::kTimeout, Phase::kEvicting,
     {Action::kTerminate, Action::kArmStopTimer}},
    {Phase::kStarting, Event::kDied, Phase::kBackoff, {Action::kBury, Action::kPlanSuccessor}},
    {Phase::kStarting, Event::kDrain, Phase::kStopping,
     {Action::kMarkDraining, Action::kTerminate, Action::kArmStopTimer}},

    // Its set-up has as long as anybody's, however long the template's imports took.
    {Phase::kForking, Event::kForked, Phase::kStarting, {Action::kArmStartTimer}},
    {Phase::kForking, Event::kLaunchFailed, Phase::kBackoff, {Action::kPlanSuccessor}},
    {Phase::kForking, Event::kTimeout, Phase::kBackoff,
     {Action::kForsake, Action::kPlanSuccessor}},
    {Phase::kForking, Event::kDrain, Phase::kStopped,
     {Action::kDisarmTimer, Action::kForsake, Action::kMarkDraining}},

    // A dying process closes its socket before its pidfd tells. One that lives on without it cannot
    // be asked for anything, and has to go.
    {Phase::kReady, Event::kConnectionLost, Phase::kReady, {Action::kArmStopTimer}},
    {Phase::kReady, Event::kTimeout, Phase::kEvicting, {Action::kKill}},
    // Its handler does not end, and may keep the interpreter: nothing milder is sure to work.
    {Phase::kReady, Event::kOverdue, Phase::kEvicting, {Action::kDisarmTimer, Action::kKill}},
    {Phase::kReady, Event::kDied, Phase::kBackoff, {Action::kBury, Action::kPlanSuccessor}},
    // Marked first: whoever has not claimed by then, claims elsewhere.
    {Phase::kReady, Event::kRest, Phase::kRetiring,
     {Action::kMarkRetiring, Action::kDrainIfIdle}},
    {Phase::kReady, Event::kDrain, Phase::kDraining,
     {Action::kMarkDraining, Action::kAskToDrain, Action::kArmDrainTimer}},

    {Phase::kEvicting, Event::kTimeout, Phase::kEvicting, {Action::kKill}},
    {Phase::kEvicting, Event::kDied, Phase::kBackoff, {Action::kBury, Action::kPlanSuccessor}},
    {Phase::kEvicting, Event::kDrain, Phase::kStopping,
     {Action::kMarkDraining, Action::kTerminate, Action::kArmStopTimer}},

    {Phase::kBackoff, Event::kTimeout, Phase::kStarting, {Action::kArmStartTimer, Action::kLaunch}},
    {Phase::kBackoff, Event::kGiveUp, Phase::kFailed, {Action::kDisarmTimer, Action::kRetire}},
    {Phase::kBackoff, Event::kDrain, Phase::kStopped,
     {Action::kDisarmTimer, Action::kMarkDraining}},

    // Only what was claimed in the moment of the mark is still served, for as long as it takes: no
    // call fails because its pool shrinks.
    {Phase::kRetiring, Event::kInUse, Phase::kReady, {Action::kRepublish}},
    {Phase::kRetiring, Event::kTimeoutInUse, Phase::kRetiring, {Action::kArmDrainTimer}},
    {Phase::kRetiring, Event::kTimeout, Phase::kRetiring, {Action::kKill}},
    {Phase::kRetiring, Event::kOverdue, Phase::kRetiring, {Action::kKill}},
    {Phase::kRetiring, Event::kDied, Phase::kDormant,
     {Action::kDisarmTimer, Action::kBury, Action::kRest}},
    {Phase::kRetiring, Event::kDrain, Phase::kDraining,
     {Action::kMarkDraining, Action::kArmDrainTimer}},

    {Phase::kDormant, Event::kStart, Phase::kStarting, {Action::kArmStartTimer, Action::kLaunch}},
    {Phase::kDormant, Event::kDrain, Phase::kStopped, {Action::kMarkDraining}},

    // A worker that was asked to drain leaves by itself, through its tear-down, which a signal
    // would cut short.
    {Phase::kDraining, Event::kTimeout, Phase::kStopping,
     {Action::kTerminate, Action::kArmStopTimer}},
    {Phase::kDraining, Event::kResumed, Phase::kDraining,
     {Action::kAskToDrain, Action::kArmDrainTimer}},
    {Phase::kDraining, Event::kHasten, Phase::kStopping,
     {Action::kTerminate, Action::kArmStopTimer}},
    {Phase::kDraining, Event::kHastenIdle, Phase::kStopping, {Action::kArmStopTimer}},
    {Phase::kDraining, Event::kDied, Phase::kStopped, {Action::kDisarmTimer, Action::kBuryLast}},

    {Phase::kStopping, Event::kTimeout, Phase::kStopping, {Action::kKill}},
    {Phase::kStopping, Event::kHasten, Phase::kStopping, {Action::kKill}},
    {Phase::kStopping, Event::kHastenIdle, Phase::kStopping, {Action::kKill}},
    {Phase::kStopping, Event::kDied, Phase::kStopped, {Action::kDisarmTimer, Action::kBuryLast}},
};
// clang-format on

}  // namespace

std::optional<SeatStep> step(SeatPhase phase, SeatEvent event) {
  for (const Row& row : kRows) {
    if (row.phase == phase && row.event == event) {
      return SeatStep{row.next, std::span(row.actions.data(), row.count)};
    }
  }
  return std::nullopt;
}

const char* to_string(SeatPhase phase) {
  constexpr const char* kNames[kSeatPhases] = {
      "vacant", "resuming", "forking", "starting", "ready",    "evicting", "backoff",
      "failed", "retiring", "dormant", "draining", "stopping", "stopped"};
  return kNames[static_cast<std::size_t>(phase)];
}

const char* to_string(SeatEvent event) {
  constexpr const char* kNames[kSeatEvents] = {
      "start",  "found",         "resumed", "resumed, leaving", "ordered",
      "forked", "launch failed", "ready",   "setup failed",     "connection lost",
      "died",   "overdue",       "timeout", "timeout, in use",  "rest",
      "in use", "give up",       "drain",   "hasten",           "hasten idle"};
  return kNames[static_cast<std::size_t>(event)];
}

}  // namespace slotring::supervisor
