// A worker as the supervisor starts it, of one seat of a LocalPool, that can be stepped.

#ifndef SLOTRING_TESTS_BUDGET_PYTHON_WORKER_H_
#define SLOTRING_TESTS_BUDGET_PYTHON_WORKER_H_

#include <array>
#include <string>
#include <string_view>

#include "client_lib/shm/unique_fd.h"
#include "tests/kill_points/stepped_process.h"
#include "tests/support/local_pool.h"
#include "tests/support/temporary_folder.h"

namespace slotring::testing {

class PythonWorker {
 public:
  // Returns when it serves seat 0. Throws when it does not come to that.
  PythonWorker(const LocalPool& pool, std::string_view module);

  // It runs freely.
  SteppedProcess& process() { return process_; }
  // As it says itself, such as "CPython 3.11.2".
  const std::string& runtime() const { return runtime_; }

 private:
  using SocketPair = std::array<shm::UniqueFd, 2>;

  static SocketPair connected_pair();
  void become_worker(std::string_view module) const;
  void join(const LocalPool& pool);

  TemporaryFolder folder_;
  SocketPair ends_ = connected_pair();  // the pool's, the worker's
  SteppedProcess process_;
  std::string runtime_;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_BUDGET_PYTHON_WORKER_H_
