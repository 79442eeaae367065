// One operation of a history: who asked the pool for what, between which two moments, and what came
// back.
//
// An operation without outcome is one whose process died in it, or that was cut off: it may have
// taken effect or not, until `returned`.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_OPERATION_H_
#define SLOTRING_TESTS_LINEARIZABILITY_OPERATION_H_

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace slotring::linearizability {

enum class Kind : std::uint8_t {
  kClaim,          // -> slot, generation
  kSubmit,         // slot, generation, value
  kServe,          // -> slot, generation, value: a worker starts a call
  kReply,          // slot, generation, value
  kReceive,        // slot, generation -> value
  kAbandon,        // slot, generation: the client gives up a call that it submitted
  kRelease,        // slot, generation: of a claim without call, or of a reply that was read
  kReclaimClient,  // slot: the reaper's step for a client (`actor`) that is dead
  kReclaimWorker,  // slot: the same for a worker
};

enum class Outcome : std::uint8_t {
  kNone,     // nobody came back to tell
  kDone,     // it took effect, and returned the values above
  kNothing,  // it returned that there is nothing to have
  kLost,     // of kReceive: the worker died in the call
};

inline constexpr std::uint64_t kEnd = std::numeric_limits<std::uint64_t>::max();

struct Operation {
  Kind kind = Kind::kClaim;
  Outcome outcome = Outcome::kNone;
  std::uint16_t actor = 0;   // a client's index, or a worker's seat
  std::uint16_t thread = 0;  // of the history; only to be read by people
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  std::uint64_t value = 0;
  std::uint64_t called = 0;       // CLOCK_MONOTONIC
  std::uint64_t returned = kEnd;  // the same; without outcome: when its process was proven dead

  // Whether it must have taken effect.
  bool has_outcome() const { return outcome != Outcome::kNone; }
  // Whether the slot is known: given by the caller, or told by the response.
  bool names_slot() const {
    return (kind != Kind::kClaim && kind != Kind::kServe) || outcome == Outcome::kDone;
  }
};

using History = std::vector<Operation>;

// A line of text for one operation, and a table of a whole history in the order of its calls.
std::string to_string(const Operation& operation);
std::string to_string(const History& history);

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_OPERATION_H_
