// How many CPUs two processes can use at once that wait for each other: what decides whether a wait
// by spinning can ever succeed.
//
// What limits it is the machine, and the quota of the control groups that the process is in (v2:
// cpu.max; v1: cpu.cfs_quota_us), as containers set it. A quota below two CPUs is spent twice as
// fast by two processes that spin, and then the kernel stops them both for the rest of its period.
// The affinity of a thread is no limit of the pair: its peer may be bound to another CPU, and where
// both are bound to one, they learn it in a few waits.

#ifndef SLOTRING_CLIENT_LIB_SHM_CPU_ALLOWANCE_H_
#define SLOTRING_CLIENT_LIB_SHM_CPU_ALLOWANCE_H_

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

namespace slotring::shm {

// The smallest CPU quota, in CPUs, of the control groups that `membership` names (the text of
// /proc/self/cgroup) below `root` (/sys/fs/cgroup); nothing where there is none, or where it cannot
// be read.
std::optional<double> cpu_quota(std::string_view membership, const std::filesystem::path& root);

// Whole CPUs that can run at once, at least 1: those of the machine within this process' quota.
// Read once.
std::uint32_t concurrent_cpus();

// Those of them that the calling thread may run on, by its affinity now.
std::uint32_t usable_cpus();

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_CPU_ALLOWANCE_H_
