// How a seat gets its process: launched by this one, or forked from the pool's template.

#include <utility>

#include "client_lib/shm/obituary.h"
#include "supervisor/process_watch.h"
#include "supervisor/seat.h"

namespace slotring::supervisor {

using layout::SeatState;

void Seat::launch() {
  if (Status walked = ensure_walked(); !walked) return fail_launch(walked.error());
  ++generation_;
  ready_at_ = {};
  calls_before_ = calls();
  set_word(SeatState::kStarting);
  record_.restarts.store(launches_++, std::memory_order_relaxed);
  if (Status started = start_process(); !started) {
    bury_unborn(started.error());
    fail_launch(started.error());
  }
}

Status Seat::start_process() {
  Result<shm::UniqueFd> seat_socket = pool_.sockets.listen(index_);
  if (!seat_socket) return std::move(seat_socket).error();
  std::vector<std::string> arguments = worker_arguments(pool_.config, index_);
  if (pool_.worker_template != nullptr) {
    dispatch(SeatEvent::kOrdered);
    pool_.worker_template->fork(
        {index_, std::move(arguments), *std::move(seat_socket),
         [this](Result<LaunchedProcess> process) { on_forked(std::move(process)); }});
    return Done{};
  }
  LaunchOrder order =
      make_python_order(pool_.config, pool_.package_path, "slotring.worker", std::move(arguments));
  order.seat_socket = seat_socket->get();
  Result<LaunchedProcess> process = supervisor::launch(order);
  if (!process) return std::move(process).error();
  return take_on(*std::move(process));
}

void Seat::on_forked(Result<LaunchedProcess> process) {
  Status taken = process ? take_on(*std::move(process)) : Status(process.error());
  if (taken) return dispatch(SeatEvent::kForked);
  bury_unborn(taken.error());
  fail_launch(taken.error());
}

void Seat::forsake() {
  pool_.worker_template->withdraw(index_);
  bury_unborn({ErrorCode::kWorkerUnavailable, "the template did not fork it in time"});
  last_end_ = StartEnd::kWorkerDied;
}

// Tells those who wait for this generation's worker that there is none.
void Seat::bury_unborn(const Error& why) {
  set_word(SeatState::kLost);
  constexpr int kNotFoundStatus = 127 << 8;  // a shell's exit status for it, as of waitpid
  shm::write_obituary(pool_.memory.segment(), index_, generation_, 0, kNotFoundStatus, why.message);
  walk_slots(/*last=*/false);
}

void Seat::fail_launch(const Error& why) {
  log_->error("cannot start a worker: {}", why.to_string());
  const bool shortage = why.category() == ErrorCategory::kResource;
  last_end_ = shortage ? StartEnd::kShortage : StartEnd::kWorkerDied;
  dispatch(SeatEvent::kLaunchFailed);
}

// Watches a process that was launched. One that cannot be watched is killed again.
Status Seat::take_on(LaunchedProcess process) {
  auto worker = std::make_unique<WorkerProcess>();
  worker->pid = process.pid;
  worker->start_time = process.start_time;
  worker->log = pool_.log_output.make_log(name_ + "[" + std::to_string(process.pid) + "]");
  const auto watch = [&]() -> Status {
    Status output =
        worker->watch_output(pool_.io, std::move(process.output), std::move(process.error_output));
    if (!output) return output;
    Result<std::unique_ptr<WorkerLink>> link = WorkerLink::start(
        pool_.io, std::move(process.socket), {pool_.config.name, pool_.memory, pool_.methods},
        {index_, generation_}, worker->log, [this](WorkerLink::News news) { on_news(news); });
    if (!link) return std::move(link).error();
    worker->link = *std::move(link);
    return worker->watch_life(pool_.io, std::move(process.pidfd), [this] { on_exit(); });
  };
  if (Status watched = watch(); !watched) {
    kill_and_reap(worker->pid);
    return watched;
  }
  record_.pid_start_time.store(process.start_time, std::memory_order_relaxed);
  record_.pid.store(worker->pid, std::memory_order_relaxed);
  set_profile(profile_word(pool_.config));
  worker->log->info("started, generation {}", generation_);
  worker_ = std::move(worker);
  return Done{};
}

}  // namespace slotring::supervisor
