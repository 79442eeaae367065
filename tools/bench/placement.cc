#include "tools/bench/placement.h"

#include <sched.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace slotring::bench {

namespace {

cpu_set_t affinity_at_start() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof(set), &set);
  return set;
}

// As it was before anything was placed; children inherit the copy.
const cpu_set_t& usable_set() {
  static const cpu_set_t kSet = affinity_at_start();
  return kSet;
}

}  // namespace

std::string_view to_string(Placement placement) {
  switch (placement) {
    case Placement::kSeparate:
      return "separate";
    case Placement::kSame:
      return "same";
    case Placement::kFree:
      return "free";
  }
  return "unknown";
}

std::vector<int> usable_cpus() {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &usable_set())) cpus.push_back(cpu);
  }
  return cpus;
}

Seats choose_seats(Placement placement, int clients, int servers) {
  const std::vector<int> cpus = usable_cpus();
  if (placement == Placement::kFree || cpus.empty()) return {};
  if (placement == Placement::kSame || cpus.size() == 1) return {{cpus.back()}, {cpus.back()}};
  const int usable = static_cast<int>(cpus.size());
  const int for_servers = std::clamp(servers, 1, usable / 2);
  const int for_clients = std::clamp(clients, 1, usable - for_servers);
  const auto first_server = cpus.end() - for_servers;
  return {{first_server - for_clients, first_server}, {first_server, cpus.end()}};
}

void place(pid_t process, std::optional<int> cpu) {
  cpu_set_t set = usable_set();
  if (cpu) {
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(*cpu), &set);
  }
  std::error_code gone;
  const std::string threads = "/proc/" + std::to_string(process) + "/task";
  for (const auto& thread : std::filesystem::directory_iterator(threads, gone)) {
    ::sched_setaffinity(std::stoi(thread.path().filename().string()), sizeof(set), &set);
  }
}

}  // namespace slotring::bench
