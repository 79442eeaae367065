#include "supervisor/seat.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>
#include <climits>
#include <exception>
#include <utility>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/reclaim.h"
#include "supervisor/process_watch.h"

namespace slotring::supervisor {

using layout::SeatState;
using std::chrono::duration_cast;
using std::chrono::milliseconds;

constexpr milliseconds kAskAgain{200};

Seat::Seat(const PoolSide& pool, shm::SeatIndex index)
    : pool_(pool),
      index_(index),
      name_(pool.config.name + "/" + std::to_string(index)),
      record_(pool.memory.segment().seat(index)),
      log_(pool.log_output.make_log(name_)),
      // Of the last worker that an earlier supervisor started here, if there was one.
      word_(pool.memory.segment().seat_word(index)),
      profile_(layout::ProfileWord::unpack(record_.profile.load(std::memory_order_relaxed))),
      generation_(word_.generation),
      predecessor_{record_.pid.load(std::memory_order_relaxed),
                   record_.pid_start_time.load(std::memory_order_relaxed)},
      launches_(generation_),
      policy_(pool.config.restart),
      chance_(std::random_device{}()),
      timer_(pool.io) {}

Seat::~Seat() = default;

void Seat::leave() {
  if (!worker_ || worker_->link->is_published() || phase_ == SeatPhase::kResuming) return;
  worker_->log->info("is not ready, and cannot be left to the next supervisor: ending it");
  supervisor::signal_group(worker_->life.fd(), worker_->pid, SIGKILL);
  // Here, where it is awaited: the next supervisor finds no trace of it but the seat's word.
  reap_group(worker_->life.fd(), worker_->pid);
}

void Seat::hasten() {
  const bool idle = pool_.memory.segment().busy_slots(index_) == 0;
  dispatch(idle ? SeatEvent::kHastenIdle : SeatEvent::kHasten);
}

void Seat::dispatch(SeatEvent event) {
  events_.push_back(event);
  if (dispatching_) return;
  dispatching_ = true;
  while (!events_.empty()) {
    const SeatEvent next = events_.front();
    events_.pop_front();
    const std::optional<SeatStep> step = supervisor::step(phase_, next);
    if (!step) {
      log_->debug("{} means nothing while {}", to_string(next), to_string(phase_));
      continue;
    }
    log_->debug("{} -> {} ({})", to_string(phase_), to_string(step->next), to_string(next));
    if (next == SeatEvent::kTimeout && worker_) {
      worker_->log->warn("was {} for too long", to_string(phase_));
    }
    phase_ = step->next;
    for (const SeatAction action : step->actions) {
      try {
        carry_out(action);
      } catch (const std::exception& failed) {  // out of memory: the other actions still count
        log_->error("{}: an action failed: {}", to_string(next), failed.what());
      }
    }
  }
  dispatching_ = false;
  pool_.on_phase();
}

void Seat::carry_out(SeatAction action) {
  switch (action) {
    case SeatAction::kLaunch:
      return launch();
    case SeatAction::kForsake:
      return forsake();
    case SeatAction::kPublish:
      return publish();
    case SeatAction::kRepublish:
      return republish();
    case SeatAction::kMarkDraining:
      return set_word(SeatState::kDraining);
    case SeatAction::kMarkRetiring:
      return set_word(SeatState::kDraining, /*returns=*/true);
    case SeatAction::kDrainIfIdle:
      return drain_if_idle();
    case SeatAction::kRest:
      return go_dormant();
    case SeatAction::kAskToDrain:
      return ask_to_drain();
    case SeatAction::kTerminate:
      return signal_group(SIGTERM);
    case SeatAction::kKill:
      return signal_group(SIGKILL);
    case SeatAction::kBury:
      return bury(/*last=*/false);
    case SeatAction::kBuryLast:
      return bury(/*last=*/true);
    case SeatAction::kRetire:
      log_->error(
          "no more restarts: {} deaths within {} s", pool_.config.restart.crash_loop_deaths,
          duration_cast<std::chrono::seconds>(pool_.config.restart.crash_loop_window).count());
      return retire();
    case SeatAction::kPlanSuccessor:
      return plan_successor();
    case SeatAction::kArmStartTimer:
      return arm(pool_.config.start_timeout);
    case SeatAction::kArmDrainTimer:
      return arm(pool_.config.drain_timeout);
    case SeatAction::kArmStopTimer:
      return arm(pool_.config.stop_timeout);
    case SeatAction::kDisarmTimer:
      return timer_.cancel();
  }
}

Status Seat::take_over(FoundWorker found) {
  auto worker = std::make_unique<WorkerProcess>();
  worker->pid = found.identity.pid;
  worker->start_time = found.identity.start_time;
  worker->log = pool_.log_output.make_log(name_ + "[" + std::to_string(worker->pid) + "]");
  Result<PipeEnds> output = make_pipe(O_NONBLOCK);
  if (!output) return std::move(output).error();
  Result<PipeEnds> error_output = make_pipe(O_NONBLOCK);
  if (!error_output) return std::move(error_output).error();
  Status watched =
      worker->watch_output(pool_.io, std::move(output->reading), std::move(error_output->reading));
  if (!watched) return watched;
  Result<std::unique_ptr<WorkerLink>> link = WorkerLink::start_resuming(
      pool_.io, std::move(found.socket), {pool_.config.name, pool_.memory, pool_.methods},
      {index_, generation_}, {std::move(output->writing), std::move(error_output->writing)},
      worker->log, [this](WorkerLink::News news) { on_news(news); });
  if (!link) return std::move(link).error();
  worker->link = *std::move(link);
  Status life =
      worker->watch_life(pool_.io, std::move(found.identity.pidfd), [this] { on_exit(); });
  if (!life) return life;
  // As the kernel says: what is there may be anybody's.
  record_.pid_start_time.store(found.identity.start_time, std::memory_order_relaxed);
  record_.pid.store(worker->pid, std::memory_order_relaxed);
  worker_ = std::move(worker);
  dispatch(SeatEvent::kFound);
  if (found.resume) worker_->link->deliver(*found.resume);
  return Done{};
}

void Seat::on_news(WorkerLink::News news) {
  switch (news) {
    case WorkerLink::News::kReady:
      return dispatch(SeatEvent::kReady);
    case WorkerLink::News::kSetupFailed:
      return dispatch(SeatEvent::kSetupFailed);
    case WorkerLink::News::kConnectionLost:
      return dispatch(SeatEvent::kConnectionLost);
    case WorkerLink::News::kResumed:
      generation_ = worker_->link->generation();
      return dispatch(SeatEvent::kResumed);
    case WorkerLink::News::kResumedLeaving:
      generation_ = worker_->link->generation();
      return dispatch(SeatEvent::kResumedLeaving);
    case WorkerLink::News::kNotHeard:
      // The phase has no timer of its own.
      return timer_.start(kAskAgain, [this] { ask_to_resume(); });
  }
}

// Connects to the worker once more, until it has answered.
void Seat::ask_to_resume() {
  const auto ask = [this]() -> Status {
    Result<shm::UniqueFd> socket = pool_.sockets.connect(index_);
    if (!socket) return std::move(socket).error();
    return worker_->link->resume_on(pool_.io, *std::move(socket));
  };
  if (phase_ != SeatPhase::kResuming || ask()) return;
  timer_.start(kAskAgain, [this] { ask_to_resume(); });
}

void Seat::ask_to_drain() {
  if (Status asked = worker_->link->ask_to_drain(); !asked) {
    worker_->log->warn("cannot be asked to drain: {}", asked.error().to_string());
  }
}

void Seat::signal_group(int signal) {
  worker_->log->info("sending {} to its process group", signal == SIGKILL ? "SIGKILL" : "SIGTERM");
  if (!supervisor::signal_group(worker_->life.fd(), worker_->pid, signal) && errno != ESRCH) {
    worker_->log->error("cannot be signalled: {}", shm::system_error("kill", errno).to_string());
  }
}

void Seat::on_exit() {
  ended_at_ = Clock::now();
  dispatch(SeatEvent::kDied);
}

void Seat::plan_successor() {
  const double chance = std::uniform_real_distribution<double>(0, 1)(chance_);
  const std::optional<milliseconds> delay =
      policy_.plan(Clock::now(), ready_for(), last_end_, chance);
  if (!delay) return dispatch(SeatEvent::kGiveUp);
  if (*delay == milliseconds(0)) {
    log_->info("a new worker is started");
  } else {
    log_->info("a new worker is started in {} ms", delay->count());
  }
  arm(*delay);
}

void Seat::arm(milliseconds delay) {
  timer_.start(delay, [this] { on_timeout(); });
}

void Seat::on_timeout() {
  const bool served_on = phase_ == SeatPhase::kRetiring && is_in_use();
  dispatch(served_on ? SeatEvent::kTimeoutInUse : SeatEvent::kTimeout);
}

void Seat::set_word(SeatState state, bool returns) {
  // seq_cst: partner of ControlSegment::seat_word(); the scans of slot words that follow a change
  // come after it.
  word_ = {generation_, state, returns};
  record_.word.store(word_.pack(), std::memory_order_seq_cst);
  pool_.slots.wake_wanting(index_);
}

void Seat::set_profile(layout::ProfileWord profile) {
  profile_ = profile;
  record_.profile.store(profile.pack(), std::memory_order_relaxed);
}

shm::PoolTruth::Seat Seat::truth() const {
  if (!worker_ && has_unwalked()) {
    return {word_, predecessor_.pid, predecessor_.start_time, profile_};
  }
  if (!worker_) return {word_, 0, 0, profile_};
  return {word_, worker_->pid, worker_->start_time, profile_};
}

milliseconds Seat::ready_for() const {
  if (ready_at_ == Clock::time_point{}) return milliseconds(0);
  return duration_cast<milliseconds>(ended_at_ - ready_at_);
}

}  // namespace slotring::supervisor
