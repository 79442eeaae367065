// One client process: its sessions, and what it does in them while workers are killed.

#ifndef SLOTRING_EXAMPLES_PROGRAMS_CLIENT_WORK_H_
#define SLOTRING_EXAMPLES_PROGRAMS_CLIENT_WORK_H_

#include <cstdint>
#include <functional>
#include <string>

#include "ledger.h"

namespace programs_demo {

struct ClientWork {
  std::string socket;
  int number = 0;  // of the client: its sessions are "client-NUMBER-..."
  int sessions = 25;
  int steps = 400;
  std::uint64_t seed = 0;
};

// Makes `steps` random commands in the sessions; each is repeated until it is answered, and its
// result or error is checked, as is all in the end. Calls `acknowledged` after each. Throws what is
// wrong.
Ledger do_work(const ClientWork& plan, const std::function<void()>& acknowledged);

// Whether everything that a ledger knows is there, in the pool as it is now. Throws what is not.
void check(const std::string& socket, const Ledger& ledger);

}  // namespace programs_demo

#endif  // SLOTRING_EXAMPLES_PROGRAMS_CLIENT_WORK_H_
