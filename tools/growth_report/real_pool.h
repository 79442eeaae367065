// A pool of a supervisor's own with real workers and clients, and a look into its memory.

#ifndef SLOTRING_TOOLS_GROWTH_REPORT_REAL_POOL_H_
#define SLOTRING_TOOLS_GROWTH_REPORT_REAL_POOL_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "client_lib/shm/attachment.h"
#include "tools/bench/child_process.h"
#include "tools/bench/scratch_folder.h"
#include "tools/bench/slotring_transport.h"
#include "tools/growth_report/figures.h"

namespace slotring::growth {

// Client processes that have attached, hold a slot each, if they are to, and do nothing else.
class IdleClients {
 public:
  // Returns when all of them have come so far.
  IdleClients(const std::string& socket_path, int count, bool with_a_slot);

  // SIGKILL for all of them, the sooner the better.
  void kill();

 private:
  std::vector<bench::ChildProcess> processes_;
};

// A supervisor with these pools, whose workers are all ready.
class RealPool {
 public:
  RealPool(const RealPools& real, const std::vector<bench::PoolShape>& pools);

  std::string socket_path(const std::string& pool) const { return supervisor_.socket_path(pool); }
  pid_t supervisor() const { return supervisor_.pid(); }
  std::vector<pid_t> workers(const std::string& pool) { return supervisor_.await_workers(pool); }

 private:
  bench::ScratchFolder folder_;
  bench::OwnSupervisor supervisor_;
};

// A pool's memory, as anybody who may attach sees it.
class Observed {
 public:
  explicit Observed(const std::string& socket_path);

  // How many clients are in the table, or being taken out of it, and how many slots they hold.
  std::uint32_t clients() const;
  std::uint32_t held_slots() const;

 private:
  shm::UniqueFd socket_;
  std::shared_ptr<shm::ControlSegment> segment_;
};

}  // namespace slotring::growth

#endif  // SLOTRING_TOOLS_GROWTH_REPORT_REAL_POOL_H_
