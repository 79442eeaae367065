// A call that streams both ways and asks tools, whose client or whose worker is killed on the way:
// what then must hold.
//
// On the stage are a client and the worker of seat 0. One of the two, the victim, is a child
// process; the other lives here, as a thread, and goes on. They talk: the client writes an item,
// the worker asks a tool about it, which calls the worker in its turn, and sends the item back. A
// bystander has a call on another slot of the worker.
//
// After the kill, and the supervisor's walk for the dead:
//   - who lives has seen each item and each question once and in order, whole, up to some point,
//     and has one outcome: all of it, WORKER_LOST, or that its caller has gone;
//   - the bystander has its one right outcome;
//   - every slot is free, is found by its hint, and is claimed once; a call on every slot gets its
//     own reply.
//
// Two processes talk, so that no two children take the same way: a point is a number of
// instructions behind a mark that the victim passes between its steps.

#ifndef SLOTRING_TESTS_KILL_POINTS_STREAM_STAGE_H_
#define SLOTRING_TESTS_KILL_POINTS_STREAM_STAGE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace slotring::testing {

enum class Victim { kClient, kWorker };

struct StreamExperiment {
  Victim victim;
  // A seeded bug: the worker sends items twice.
  bool repeats_items = false;
};

struct StreamPoint {
  std::uint32_t mark = 0;  // so many were passed; 0: none yet
  std::uint32_t instructions = 0;
};

// About how many instructions the victim takes behind each mark, when nobody kills it.
std::vector<std::uint32_t> marks_of(const StreamExperiment& experiment);

// Kills the victim there, or at its end if it does not come there. What does not hold; empty when
// all does.
std::string damage_of_kill(const StreamExperiment& experiment, const StreamPoint& point);

// So many points, spread over the whole way.
std::vector<StreamPoint> spread(const std::vector<std::uint32_t>& marks, std::uint32_t points,
                                double offset);

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_KILL_POINTS_STREAM_STAGE_H_
