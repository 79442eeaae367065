// Which CPUs the participants of a one-to-one exchange run on.

#ifndef SLOTRING_TOOLS_BENCH_PLACEMENT_H_
#define SLOTRING_TOOLS_BENCH_PLACEMENT_H_

#include <sys/types.h>

#include <optional>
#include <string_view>
#include <vector>

namespace slotring::bench {

enum class Placement {
  kSeparate,  // client and server each on a CPU of its own
  kSame,      // both on one CPU
  kFree,      // wherever the kernel puts them
};

std::string_view to_string(Placement placement);

// The CPUs that this process may use.
std::vector<int> usable_cpus();

struct Seats {
  std::optional<int> client_cpu;  // nothing: anywhere
  std::optional<int> server_cpu;
};

// The last CPUs that are usable: the first one has the most interrupts to serve.
Seats choose_seats(Placement placement);

// Binds all threads of a process to a CPU, or, without one, to all usable ones. A process that is
// gone is left alone.
void place(pid_t process, std::optional<int> cpu);

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_PLACEMENT_H_
