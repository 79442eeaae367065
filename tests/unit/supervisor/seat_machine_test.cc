#include "supervisor/seat_machine.h"

#include <algorithm>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slotring::supervisor {

void PrintTo(SeatPhase phase, std::ostream* out) { *out << to_string(phase); }
void PrintTo(SeatEvent event, std::ostream* out) { *out << to_string(event); }

namespace {

using Phase = SeatPhase;
using Event = SeatEvent;
using Action = SeatAction;
using ::testing::ElementsAreArray;

std::vector<Phase> all_phases() {
  std::vector<Phase> phases;
  for (int i = 0; i < kSeatPhases; ++i) phases.push_back(static_cast<Phase>(i));
  return phases;
}

std::vector<Event> all_events() {
  std::vector<Event> events;
  for (int i = 0; i < kSeatEvents; ++i) events.push_back(static_cast<Event>(i));
  return events;
}

bool does(const SeatStep& step, Action action) {
  return std::find(step.actions.begin(), step.actions.end(), action) != step.actions.end();
}

// Where a seat gets from VACANT by these events; those that mean nothing are ignored, as Seat does.
Phase after(const std::vector<Event>& events) {
  Phase phase = Phase::kVacant;
  for (const Event event : events) {
    if (const auto step = supervisor::step(phase, event)) phase = step->next;
  }
  return phase;
}

struct Expected {
  Phase phase;
  Event event;
  Phase next;
};

// The table once more, by hand: what is not here must mean nothing.
const Expected kExpected[] = {
    {Phase::kVacant, Event::kStart, Phase::kStarting},
    {Phase::kVacant, Event::kFound, Phase::kResuming},
    {Phase::kVacant, Event::kRest, Phase::kDormant},
    {Phase::kVacant, Event::kDrain, Phase::kStopped},
    {Phase::kResuming, Event::kResumed, Phase::kReady},
    {Phase::kResuming, Event::kResumedLeaving, Phase::kEvicting},
    {Phase::kResuming, Event::kSetupFailed, Phase::kEvicting},
    {Phase::kResuming, Event::kConnectionLost, Phase::kEvicting},
    {Phase::kResuming, Event::kDied, Phase::kBackoff},
    {Phase::kResuming, Event::kDrain, Phase::kDraining},
    {Phase::kForking, Event::kForked, Phase::kStarting},
    {Phase::kForking, Event::kLaunchFailed, Phase::kBackoff},
    {Phase::kForking, Event::kTimeout, Phase::kBackoff},
    {Phase::kForking, Event::kDrain, Phase::kStopped},
    {Phase::kStarting, Event::kOrdered, Phase::kForking},
    {Phase::kStarting, Event::kLaunchFailed, Phase::kBackoff},
    {Phase::kStarting, Event::kReady, Phase::kReady},
    {Phase::kStarting, Event::kSetupFailed, Phase::kEvicting},
    {Phase::kStarting, Event::kConnectionLost, Phase::kEvicting},
    {Phase::kStarting, Event::kDied, Phase::kBackoff},
    {Phase::kStarting, Event::kTimeout, Phase::kEvicting},
    {Phase::kStarting, Event::kDrain, Phase::kStopping},
    {Phase::kReady, Event::kConnectionLost, Phase::kReady},
    {Phase::kReady, Event::kDied, Phase::kBackoff},
    {Phase::kReady, Event::kOverdue, Phase::kEvicting},
    {Phase::kReady, Event::kTimeout, Phase::kEvicting},
    {Phase::kReady, Event::kRest, Phase::kRetiring},
    {Phase::kReady, Event::kDrain, Phase::kDraining},
    {Phase::kEvicting, Event::kDied, Phase::kBackoff},
    {Phase::kEvicting, Event::kTimeout, Phase::kEvicting},
    {Phase::kEvicting, Event::kDrain, Phase::kStopping},
    {Phase::kBackoff, Event::kTimeout, Phase::kStarting},
    {Phase::kBackoff, Event::kGiveUp, Phase::kFailed},
    {Phase::kBackoff, Event::kDrain, Phase::kStopped},
    {Phase::kRetiring, Event::kInUse, Phase::kReady},
    {Phase::kRetiring, Event::kTimeoutInUse, Phase::kRetiring},
    {Phase::kRetiring, Event::kTimeout, Phase::kRetiring},
    {Phase::kRetiring, Event::kOverdue, Phase::kRetiring},
    {Phase::kRetiring, Event::kDied, Phase::kDormant},
    {Phase::kRetiring, Event::kDrain, Phase::kDraining},
    {Phase::kDormant, Event::kStart, Phase::kStarting},
    {Phase::kDormant, Event::kDrain, Phase::kStopped},
    {Phase::kDraining, Event::kDied, Phase::kStopped},
    {Phase::kDraining, Event::kResumed, Phase::kDraining},
    {Phase::kDraining, Event::kTimeout, Phase::kStopping},
    {Phase::kDraining, Event::kHasten, Phase::kStopping},
    {Phase::kDraining, Event::kHastenIdle, Phase::kStopping},
    {Phase::kStopping, Event::kDied, Phase::kStopped},
    {Phase::kStopping, Event::kTimeout, Phase::kStopping},
    {Phase::kStopping, Event::kHasten, Phase::kStopping},
    {Phase::kStopping, Event::kHastenIdle, Phase::kStopping},
};

TEST(SeatMachine, EveryPhaseMeetsEveryEventAsTheTableSays) {
  for (const Phase phase : all_phases()) {
    for (const Event event : all_events()) {
      const auto* expected = std::find_if(
          std::begin(kExpected), std::end(kExpected),
          [&](const Expected& row) { return row.phase == phase && row.event == event; });
      const auto step = supervisor::step(phase, event);
      SCOPED_TRACE(std::string(to_string(phase)) + " meets " + to_string(event));
      ASSERT_EQ(step.has_value(), expected != std::end(kExpected));
      if (step) {
        EXPECT_EQ(step->next, expected->next);
      }
    }
  }
}

TEST(SeatMachine, OnlyPhasesWithoutAProcessLaunchOne) {
  for (const Phase phase : all_phases()) {
    for (const Event event : all_events()) {
      const auto step = supervisor::step(phase, event);
      if (step && does(*step, Action::kLaunch)) {
        EXPECT_FALSE(has_process(phase)) << to_string(event);
      }
    }
  }
}

TEST(SeatMachine, EveryPhaseWithAProcessBuriesADeadOne) {
  for (const Phase phase : all_phases()) {
    const auto step = supervisor::step(phase, Event::kDied);
    ASSERT_EQ(step.has_value(), has_process(phase)) << to_string(phase);
    if (!step) continue;
    EXPECT_FALSE(has_process(step->next)) << to_string(phase);
    EXPECT_TRUE(does(*step, Action::kBury) || does(*step, Action::kBuryLast)) << to_string(phase);
  }
}

TEST(SeatMachine, APhaseThatMayWaitForEverHasATimer) {
  // Whoever enters these armed it; STOPPING and EVICTING end by SIGKILL, which needs none.
  for (const Phase waiting : {Phase::kStarting, Phase::kDraining}) {
    for (const Phase phase : all_phases()) {
      for (const Event event : all_events()) {
        const auto step = supervisor::step(phase, event);
        if (!step || step->next != waiting) continue;
        EXPECT_TRUE(does(*step, Action::kArmStartTimer) || does(*step, Action::kArmDrainTimer))
            << to_string(phase) << " meets " << to_string(event);
      }
    }
    EXPECT_TRUE(supervisor::step(waiting, Event::kTimeout).has_value());
  }
}

TEST(SeatMachine, DrainAndDeathSettleEveryPhase) {
  for (const Phase phase : all_phases()) {
    Phase now = phase;
    for (const Event event : {Event::kDrain, Event::kTimeout, Event::kTimeout, Event::kDied}) {
      if (const auto step = supervisor::step(now, event)) now = step->next;
    }
    EXPECT_TRUE(is_settled(now)) << to_string(phase) << " ended in " << to_string(now);
  }
}

TEST(SeatMachine, ASettledSeatIsNeverWokenAgain) {
  for (const Event event : all_events()) {
    EXPECT_FALSE(supervisor::step(Phase::kFailed, event).has_value()) << to_string(event);
    EXPECT_FALSE(supervisor::step(Phase::kStopped, event).has_value()) << to_string(event);
  }
}

TEST(SeatMachine, AHungStartIsTerminatedThenKilledThenReplaced) {
  const auto hung = supervisor::step(Phase::kStarting, Event::kTimeout);
  EXPECT_THAT(hung->actions, ElementsAreArray({Action::kTerminate, Action::kArmStopTimer}));
  const auto deaf = supervisor::step(hung->next, Event::kTimeout);
  EXPECT_THAT(deaf->actions, ElementsAreArray({Action::kKill}));
  EXPECT_EQ(after({Event::kStart, Event::kTimeout, Event::kTimeout, Event::kDied, Event::kTimeout}),
            Phase::kStarting);
}

TEST(SeatMachine, AHungTemplateIsForsakenAndAskedAgain) {
  const auto hung = supervisor::step(Phase::kForking, Event::kTimeout);
  EXPECT_THAT(hung->actions, ElementsAreArray({Action::kForsake, Action::kPlanSuccessor}));
  EXPECT_EQ(after({Event::kStart, Event::kOrdered, Event::kTimeout, Event::kTimeout,
                   Event::kOrdered, Event::kForked, Event::kReady}),
            Phase::kReady);
}

TEST(SeatMachine, AWorkerThatIsTakenOverIsNotLaunchedAndNotHurried) {
  const auto found = supervisor::step(Phase::kVacant, Event::kFound);
  EXPECT_TRUE(found->actions.empty()) << "it may be stopped, and goes on when it likes";
  const auto resumed = supervisor::step(found->next, Event::kResumed);
  EXPECT_THAT(resumed->actions, ElementsAreArray({Action::kRepublish}));
}

TEST(SeatMachine, AnOverdueWorkerIsKilledAtOnceAndReplaced) {
  const auto overdue = supervisor::step(Phase::kReady, Event::kOverdue);
  EXPECT_THAT(overdue->actions, ElementsAreArray({Action::kDisarmTimer, Action::kKill}));
  EXPECT_EQ(after({Event::kStart, Event::kReady, Event::kOverdue, Event::kDied, Event::kTimeout}),
            Phase::kStarting);
}

TEST(SeatMachine, ACrashLoopEndsInFailed) {
  EXPECT_EQ(after({Event::kStart, Event::kDied, Event::kGiveUp, Event::kTimeout}), Phase::kFailed);
}

TEST(SeatMachine, AnIdleWorkerIsMarkedBeforeItIsLookedAtAndAskedToLeave) {
  const auto rested = supervisor::step(Phase::kReady, Event::kRest);
  EXPECT_THAT(rested->actions, ElementsAreArray({Action::kMarkRetiring, Action::kDrainIfIdle}));
  const auto in_use = supervisor::step(rested->next, Event::kInUse);
  EXPECT_THAT(in_use->actions, ElementsAreArray({Action::kRepublish}));
}

TEST(SeatMachine, ARetiringWorkerIsBuriedBeforeItsSeatIsDormantAndAnotherIsStartedThere) {
  const auto died = supervisor::step(Phase::kRetiring, Event::kDied);
  EXPECT_THAT(died->actions,
              ElementsAreArray({Action::kDisarmTimer, Action::kBury, Action::kRest}));
  EXPECT_EQ(after({Event::kStart, Event::kReady, Event::kRest, Event::kDied, Event::kStart}),
            Phase::kStarting);
}

TEST(SeatMachine, ARetiringWorkerIsNotHurriedWhileItServesAndKilledWhenItDoesNotGo) {
  const auto serving = supervisor::step(Phase::kRetiring, Event::kTimeoutInUse);
  EXPECT_THAT(serving->actions, ElementsAreArray({Action::kArmDrainTimer}));
  const auto idle = supervisor::step(Phase::kRetiring, Event::kTimeout);
  EXPECT_THAT(idle->actions, ElementsAreArray({Action::kKill}));
}

TEST(SeatMachine, ADormantSeatWaitsForNothingButToBeWanted) {
  for (const Event event : all_events()) {
    const bool means_something = supervisor::step(Phase::kDormant, event).has_value();
    EXPECT_EQ(means_something, event == Event::kStart || event == Event::kDrain)
        << to_string(event);
  }
}

TEST(SeatMachine, AWorkerThatLeavesWhenItIsFoundIsReplaced) {
  const auto leaving = supervisor::step(Phase::kResuming, Event::kResumedLeaving);
  EXPECT_TRUE(does(*leaving, Action::kMarkRetiring)) << "callers wait for the successor";
}

TEST(SeatMachine, AnIdleDrainingWorkerIsNotSignalledInItsTearDown) {
  const auto hastened = supervisor::step(Phase::kDraining, Event::kHastenIdle);
  EXPECT_FALSE(does(*hastened, Action::kTerminate));
  EXPECT_TRUE(does(*hastened, Action::kArmStopTimer));
}

TEST(SeatMachine, EveryPhaseAndEventHasItsOwnName) {
  std::set<std::string> names;
  for (const Phase phase : all_phases()) names.insert(to_string(phase));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kSeatPhases));
  names.clear();
  for (const Event event : all_events()) names.insert(to_string(event));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kSeatEvents));
}

}  // namespace
}  // namespace slotring::supervisor
