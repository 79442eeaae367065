#include "client_lib/shm/cpu_allowance.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

namespace slotring::shm {

namespace {

constexpr double kNoQuota = std::numeric_limits<double>::infinity();

double quota_of(double quota_us, double period_us) {
  return quota_us > 0 && period_us > 0 ? quota_us / period_us : kNoQuota;
}

// "150000 100000", or "max 100000".
double read_v2(const std::filesystem::path& group) {
  std::ifstream file(group / "cpu.max");
  double quota = 0;
  double period = 0;
  return file >> quota >> period ? quota_of(quota, period) : kNoQuota;
}

double read_v1(const std::filesystem::path& group) {
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  return quota_file >> quota && period_file >> period ? quota_of(quota, period) : kNoQuota;
}

// A group's limit holds for all below it. In a container the group's path may name what lies
// outside of its view: what is not there limits nothing, and the root is looked at anyway.
template <class Read>
double least_up_to(const std::filesystem::path& root, std::string_view path, Read read) {
  double least = read(root);
  std::filesystem::path group = root;
  for (const std::filesystem::path& part : std::filesystem::path(path).relative_path()) {
    if (part == "..") break;
    group /= part;
    least = std::min(least, read(group));
  }
  return least;
}

bool lists_cpu(std::string_view controllers) {
  for (;;) {
    const std::size_t comma = controllers.find(',');
    if (controllers.substr(0, comma) == "cpu") return true;
    if (comma == std::string_view::npos) return false;
    controllers.remove_prefix(comma + 1);
  }
}

std::uint32_t online_cpus() {
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

std::optional<double> cpu_quota(std::string_view membership, const std::filesystem::path& root) {
  double least = kNoQuota;
  while (!membership.empty()) {
    // hierarchy-ID:controller-list:path
    const std::string_view line = membership.substr(0, membership.find('\n'));
    membership.remove_prefix(std::min(line.size() + 1, membership.size()));
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty()) {
      least = std::min(least, least_up_to(root, path, read_v2));
    } else if (lists_cpu(controllers)) {
      least = std::min(least, least_up_to(root / controllers, path, read_v1));
      least = std::min(least, least_up_to(root / "cpu", path, read_v1));
    }
  }
  if (least == kNoQuota) return std::nullopt;
  return least;
}

std::uint32_t concurrent_cpus() {
  static const std::uint32_t once = [] {
    const std::string membership = read_file("/proc/self/cgroup");
    const double quota = cpu_quota(membership, "/sys/fs/cgroup").value_or(kNoQuota);
    const double cpus = std::min(static_cast<double>(online_cpus()), quota);
    return static_cast<std::uint32_t>(std::max(1.0, cpus));
  }();
  return once;
}

std::uint32_t usable_cpus() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return concurrent_cpus();
  return std::min(concurrent_cpus(), static_cast<std::uint32_t>(CPU_COUNT(&set)));
}

}  // namespace slotring::shm
