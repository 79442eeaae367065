// The whole program behind its command line: all pools of a config on one event loop, until a
// signal ends it.
//
//     SIGTERM, SIGINT   drain, then end the workers; once more: do not wait; once more: kill
//     SIGHUP            open the log file again
//     `slotring upgrade`   leave everything as it is to the program that is on disk now
//
// It ends because of those only: a worker's, a client's or a shortage's failure is logged and lived
// with.

#ifndef SLOTRING_SUPERVISOR_SUPERVISOR_H_
#define SLOTRING_SUPERVISOR_SUPERVISOR_H_

#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "supervisor/log_output.h"
#include "supervisor/pool.h"

namespace slotring::supervisor {

class Supervisor {
 public:
  enum class Ending { kStopped, kUpgrade };

  // Says whether the program on disk can take over, and what the file says of the pools now.
  using CheckSuccessor = std::function<Result<std::vector<PoolConfig>>()>;

  Supervisor(LogOutput& log_output, CheckSuccessor check_successor);

  // Runs all pools to their end, or until the program is to be replaced: all processes go on then.
  // Errors: what kept a pool from being made or started; what was started for it is ended then.
  Result<Ending> run(const std::vector<PoolConfig>& pools);

 private:
  Status make_pools(const std::vector<PoolConfig>& pools);
  Status start_pools();
  void await_signal();
  void on_signal(int signal);
  void stop();
  void give_up();
  void on_change();
  bool asked_to_stop();
  Result<std::string> prepare_upgrade();
  void run_loop();

  LogOutput& log_output_;
  CheckSuccessor check_successor_;
  Log log_;
  boost::asio::io_context io_;
  boost::asio::signal_set signals_;
  std::vector<std::unique_ptr<Pool>> pools_;
  bool made_ = false;  // pools_ holds all of them
  bool draining_ = false;
  bool upgrading_ = false;
  bool was_ready_ = false;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SUPERVISOR_H_
