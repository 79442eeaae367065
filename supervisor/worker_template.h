// A pool's template: a process that has imported what each of the pool's workers would import, and
// is forked for each of them (docs/startup.md, python_side/slotring/template.py).
//
//     NONE -- start, fork --> IMPORTING -- Preloaded --> READY -- dead --> NONE
//
// What it forks is a child of this process, as what launcher.h launches is: so nothing else differs
// between the two. Guarantees:
//   - Killed or stopped at any instruction, it leaves no process behind. What it has forked stays
//     in its process group until this process has taken it out, and the group ends with it.
//   - Each request is answered once, unless it is withdrawn. When it dies, what it was just asked
//     for, and everything where it was not ready, is answered with an error; the rest waits for the
//     next template.
//   - Nothing waits for a template: one that hangs costs those that asked it their start_timeout.
// Belongs to the thread of the io_context.

#ifndef SLOTRING_SUPERVISOR_WORKER_TEMPLATE_H_
#define SLOTRING_SUPERVISOR_WORKER_TEMPLATE_H_

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/peer_socket.h"
#include "supervisor/config.h"
#include "supervisor/event_watch.h"
#include "supervisor/launcher.h"
#include "supervisor/restart_policy.h"
#include "supervisor/watched_process.h"

namespace slotring::supervisor {

class WorkerTemplate {
 public:
  // Outlives this.
  struct PoolSide {
    boost::asio::io_context& io;
    LogOutput& log_output;
    const PoolConfig& config;
    const std::string& package_path;
    std::function<void()> on_stopped;
  };
  struct Request {
    shm::SeatIndex seat;
    std::vector<std::string> arguments;  // as of LaunchOrder
    shm::UniqueFd seat_socket;
    // With a process as of launch(); or its errors; or REFUSED, why the template cannot be forked,
    // and WORKER_UNAVAILABLE, how it ended.
    std::function<void(Result<LaunchedProcess>)> on_forked;
  };

  explicit WorkerTemplate(const PoolSide& pool);
  ~WorkerTemplate() { end(); }

  // Has the modules imported, if nothing does so yet.
  void start();
  // Has a worker forked as soon as the template is ready, and starts that where there is none.
  void fork(Request request);
  // The seat waits no longer: the template hangs, and is ended.
  void withdraw(shm::SeatIndex seat);
  // Asks the template to leave, withdraws every request, and calls on_stopped when it has left.
  void stop();
  bool stopped() const { return stopping_ && !process_; }
  // Ends it now, and withdraws every request.
  void end();

 private:
  using Clock = RestartPolicy::Clock;
  struct Process : WatchedProcess {
    ReadableWatch socket;
    bool ready = false;
    bool given_up = false;                   // who asked has been told why, or waits no longer
    Clock::time_point since = Clock::now();  // started or, if ready, became so
  };

  Status launch();
  Status take_on(LaunchedProcess launched);
  void on_readable();
  bool receive();
  void on_packet(const shm::Packet& packet);
  void on_preloaded();
  void on_forked(pid_t pid);
  void on_refused(const Error& why);
  void send_next();
  Status send_order(const Request& request);
  Result<LaunchedProcess> take_out(pid_t pid);
  void answer(Result<LaunchedProcess> with);
  void answer_all(const Error& why);
  void on_exit();
  void plan_successor(std::chrono::milliseconds ready_for);
  void kill_after(std::chrono::milliseconds delay);
  static int reap(const Process& process);

  PoolSide pool_;
  Log log_;
  std::unique_ptr<Process> process_;
  std::deque<Request> requests_;
  std::optional<Connections> ordered_;  // of the first request, when the template was told of it
  RestartPolicy policy_;
  Timer timer_;  // to kill the process, or to start the next
  bool stopping_ = false;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_WORKER_TEMPLATE_H_
