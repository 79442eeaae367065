// Which CPUs the participants of an exchange run on.

#ifndef SLOTRING_TOOLS_BENCH_PLACEMENT_H_
#define SLOTRING_TOOLS_BENCH_PLACEMENT_H_

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace slotring::bench {

enum class Placement {
  kSeparate,  // clients and servers on CPUs of their own
  kSame,      // all on one CPU
  kFree,      // wherever the kernel puts them
};

std::string_view to_string(Placement placement);

// The CPUs that this process may use.
std::vector<int> usable_cpus();

// Where each of some clients and servers runs. Nothing: anywhere.
struct Seats {
  std::vector<int> client_cpus;  // taken in turn; empty: anywhere
  std::vector<int> server_cpus;

  std::optional<int> client_cpu(int client) const { return in_turn(client_cpus, client); }
  std::optional<int> server_cpu(int server) const { return in_turn(server_cpus, server); }

 private:
  static std::optional<int> in_turn(const std::vector<int>& cpus, int number) {
    if (cpus.empty()) return std::nullopt;
    return cpus[static_cast<std::size_t>(number) % cpus.size()];
  }
};

// The last CPUs that are usable: the first one has the most interrupts to serve. Servers get at
// most half of them, and clients those before.
Seats choose_seats(Placement placement, int clients, int servers);

// Binds all threads of a process to a CPU, or, without one, to all usable ones. A process that is
// gone is left alone.
void place(pid_t process, std::optional<int> cpu);

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_PLACEMENT_H_
