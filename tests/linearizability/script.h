// What callers and servers do in a run, at random, each operation recorded.

#ifndef SLOTRING_TESTS_LINEARIZABILITY_SCRIPT_H_
#define SLOTRING_TESTS_LINEARIZABILITY_SCRIPT_H_

#include "tests/linearizability/recorder.h"
#include "tests/linearizability/subject.h"
#include "tests/support/random_source.h"

namespace slotring::linearizability {

// Claims, calls and gives up, `rounds` times. `first_value` is of the first call; each next one is
// one more.
void run_caller(Caller& caller, Recorder& log, testing::RandomSource& random, int rounds,
                std::uint64_t first_value);

// What a call with `value` is answered with.
constexpr std::uint64_t reply_to(std::uint64_t value) { return value + 1'000'000; }

// Looks for a call, and answers it. False when there is none. A few of those looks are recorded.
bool serve_once(Server& server, Recorder& log, testing::RandomSource& random);

}  // namespace slotring::linearizability

#endif  // SLOTRING_TESTS_LINEARIZABILITY_SCRIPT_H_
