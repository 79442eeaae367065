// One client process of a chaos run: attaches to every pool, and calls from several threads until
// it is told to stop.

#ifndef SLOTRING_TESTS_CHAOS_CLIENT_H_
#define SLOTRING_TESTS_CHAOS_CLIENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tests/chaos/ledger.h"

namespace slotring::chaos {

// Runs in the calling process, to its end: the process's exit status. `sockets` are the pools'.
int run_client(const std::vector<std::string>& sockets, Ledger& ledger, ClientLife& life,
               std::uint64_t seed);

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_CLIENT_H_
