#include "tools/bench/process_usage.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace slotring::bench {

namespace {

double cpu_seconds(pid_t process) {
  clockid_t clock;
  timespec used{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &used) != 0) return 0;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

double page_faults(const std::string& folder) {
  std::string line;
  std::getline(std::ifstream(folder + "/stat"), line);
  // Behind the program's name: state, 6 numbers, minor faults, those of children, major faults.
  std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string skipped;
  double minor = 0, of_children = 0, major = 0;
  for (int i = 0; i < 7; ++i) fields >> skipped;
  fields >> minor >> of_children >> major;
  return minor + major;
}

double wake_ups(const std::string& folder) {
  constexpr char kField[] = "voluntary_ctxt_switches:";
  double switches = 0;
  std::error_code gone;
  for (const auto& thread : std::filesystem::directory_iterator(folder + "/task", gone)) {
    std::ifstream status(thread.path() / "status");
    double of_thread = 0;
    for (std::string field; status >> field;) {
      if (field == kField && status >> of_thread) switches += of_thread;
    }
  }
  return switches;
}

}  // namespace

ProcessUsage& ProcessUsage::operator+=(const ProcessUsage& other) {
  cpu_seconds += other.cpu_seconds;
  page_faults += other.page_faults;
  wake_ups += other.wake_ups;
  return *this;
}

ProcessUsage& ProcessUsage::operator-=(const ProcessUsage& other) {
  cpu_seconds -= other.cpu_seconds;
  page_faults -= other.page_faults;
  wake_ups -= other.wake_ups;
  return *this;
}

ProcessUsage own_usage() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime),
          .page_faults = static_cast<double>(used.ru_minflt + used.ru_majflt),
          .wake_ups = static_cast<double>(used.ru_nvcsw)};
}

ProcessUsage usage_of(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  return {cpu_seconds(process), page_faults(folder), wake_ups(folder)};
}

ProcessUsage usage_of_all(const std::vector<pid_t>& processes) {
  ProcessUsage all;
  for (const pid_t process : processes) all += usage_of(process);
  return all;
}

double busy_cpu_seconds() {
  std::ifstream stat("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupt = 0, soft = 0, stolen = 0;
  stat >> name >> user >> nice >> system >> idle >> waiting >> interrupt >> soft >> stolen;
  const auto ticks_per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return (user + nice + system + interrupt + soft + stolen) / ticks_per_second;
}

}  // namespace slotring::bench
