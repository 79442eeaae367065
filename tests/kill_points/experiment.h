// One operation, cut off before one instruction, with everybody else alive around it: what then
// must hold.
//
// On the stage are: the operation's client and worker (seat 0), one or both of them in the child
// process that is stepped; a bystander that holds all slots of a second worker (seat 1); perhaps a
// client that waits in line. Who is not in the child lives in this process.
//
// After a kill, the supervisor's walks for the dead, and no others. After a pause, none at all for
// who was paused: a live owner is never expired. In both cases, then:
//   - what the living held is still theirs, and each of their calls has its one right outcome;
//   - what a living worker runs was given to nobody meanwhile;
//   - every slot is free, is found by its hint, and is claimed once; nobody is left in line;
//   - a call on every slot gets its own reply, by who lives and by a fresh worker.

#ifndef SLOTRING_TESTS_KILL_POINTS_EXPERIMENT_H_
#define SLOTRING_TESTS_KILL_POINTS_EXPERIMENT_H_

#include <cstdint>
#include <string>

#include "tests/kill_points/stepped_process.h"
#include "tests/support/last_operation.h"

namespace slotring::testing {

enum class Cut { kKill, kPause };

struct Experiment {
  LastOperation operation;
  Cut cut = Cut::kKill;
  bool somebody_waits = false;
  bool single_steps_only = false;
  // A seeded bug: the walk for a dead worker passes over ABANDONED slots.
  bool reaper_skips_abandoned = false;
};

// The instructions of the operation, when nothing cuts it off.
Trace trace_of(const Experiment& experiment);

struct Outcome {
  std::string damage;    // empty when all holds
  bool strayed = false;  // the child took another way than the trace, and was cut off at its end
};

// Cuts it off before instruction `point` of `trace`; at trace.size(), after its last one.
Outcome try_point(const Experiment& experiment, const Trace& trace, std::uint32_t point);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_KILL_POINTS_EXPERIMENT_H_
