// The whole program behind its command line: all pools of a config on one event loop, until a
// signal ends it.
//
//     SIGTERM, SIGINT   drain, then end the workers; once more: do not wait; once more: kill
//     SIGHUP            open the log file again
//
// It ends because of those only: a worker's, a client's or a shortage's failure is logged and lived
// with.

#ifndef SLOTRING_SUPERVISOR_SUPERVISOR_H_
#define SLOTRING_SUPERVISOR_SUPERVISOR_H_

#include <chrono>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "supervisor/log_output.h"
#include "supervisor/pool.h"

namespace slotring::supervisor {

class Supervisor {
 public:
  explicit Supervisor(LogOutput& log_output);

  // Runs all pools to their end. Errors: what kept a pool from being made or started; nothing is
  // left running then.
  Status run(const std::vector<PoolConfig>& pools);

 private:
  Status make_pools(const std::vector<PoolConfig>& pools);
  Status start_pools();
  void await_signal();
  void on_signal(int signal);
  void stop();
  void on_change();
  void run_loop();

  LogOutput& log_output_;
  Log log_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  std::vector<std::unique_ptr<Pool>> pools_;
  bool draining_ = false;
  bool was_ready_ = false;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SUPERVISOR_H_
