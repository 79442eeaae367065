// What a seat does to its slots: offers those of a ready worker, and takes back what a dead one
// had.

#include <sys/wait.h>

#include <utility>

#include "client_lib/shm/observed_call.h"
#include "client_lib/shm/reclaim.h"
#include "supervisor/process_watch.h"
#include "supervisor/seat.h"

namespace slotring::supervisor {

using layout::SeatState;

// Of a worker that found no memory or no descriptors when it joined (slotring/worker.py).
constexpr int kShortageStatus = 75;  // EX_TEMPFAIL of sysexits.h

void Seat::publish() {
  record_.ready_ns.store(shm::monotonic_now(), std::memory_order_relaxed);
  republish();
}

void Seat::republish() {
  if (ready_at_ == Clock::time_point{}) ready_at_ = Clock::now();
  set_word(SeatState::kReady);
  pool_.slots.publish(index_);
}

// Walks the slots of an earlier supervisor's worker, which may still live: that its socket is
// closed proves nothing. Repeats a walk that was done already: the record of it is anybody's to
// write. Errors: SYSTEM_LIMIT while it lives, so that it is tried again.
Status Seat::ensure_walked() {
  if (walked_ == generation_) return Done{};
  // Anybody can have written another's pid there, too: what does not hold the memory is not meant.
  if (shm::is_alive(predecessor_) &&
      shm::holds_memory(predecessor_.pid, pool_.memory.segment().memory())) {
    return Error{ErrorCode::kSystemLimit,
                 "the earlier supervisor's worker, pid " + std::to_string(predecessor_.pid) +
                     ", lives and cannot be reached; its seat is free when it has ended"};
  }
  const layout::Obituary& obituary =
      pool_.memory.segment().obituary(index_, generation_ % layout::kObituariesPerSeat);
  if (obituary.generation.load(std::memory_order_acquire) != generation_) {
    log_->warn("the earlier supervisor's worker, pid {}, has died meanwhile", predecessor_.pid);
    shm::write_obituary(pool_.memory.segment(), index_, generation_, predecessor_.pid,
                        layout::kUnknownWaitStatus, "");
  }
  set_word(SeatState::kLost);
  walk_slots(/*last=*/false);
  return Done{};
}

// Returns how many calls were lost. REQUIRES: the worker of this generation is dead, its obituary
// is written, and the seat's word says LOST or RETIRED.
std::uint32_t Seat::walk_slots(bool last) {
  const std::uint32_t lost = shm::reclaim_worker(pool_.slots, index_, generation_, last);
  record_.pid.store(0, std::memory_order_relaxed);
  set_profile({});
  walked_ = generation_;
  // Release: whoever finds this recorded finds the slots walked.
  record_.walked.store(generation_, std::memory_order_release);
  pool_.on_walked();
  return lost;
}

// The call may end between this look at it and the kill, some microseconds later; the worker's next
// call is then lost in its place.
void Seat::end_overdue() {
  // Who drains because the pool stops has a limit of its own.
  if (phase_ != SeatPhase::kReady && phase_ != SeatPhase::kRetiring) return;
  const std::optional<shm::ObservedCall> call =
      shm::observe_call(pool_.memory.segment(), index_, shm::monotonic_now());
  const std::chrono::nanoseconds limit = pool_.config.call_time_limit;
  if (!call || call->run_ns < static_cast<std::uint64_t>(limit.count())) return;
  const std::string_view method = pool_.methods.name_of(call->running.method);
  verdict_ = fmt::format(
      "a call of {} ran for {:.2f} s, longer than call_time_limit_s = {:g}; the interpreter was {}",
      method.empty() ? "an unlisted method" : fmt::format("'{}'", method),
      static_cast<double>(call->run_ns) / 1e9, std::chrono::duration<double>(limit).count(),
      call->hung() ? "hung: no thread of the worker got it" : "busy, not hung");
  worker_->log->warn("{}", verdict_);
  dispatch(SeatEvent::kOverdue);
}

void Seat::bury(bool last) {
  const std::unique_ptr<WorkerProcess> dead = std::move(worker_);
  set_word(last ? SeatState::kRetired : SeatState::kLost);
  const int status = reap_group(dead->life.fd(), dead->pid);
  dead->finish_output();
  shm::write_obituary(pool_.memory.segment(), index_, generation_, dead->pid, status,
                      dead->error_output->tail(), verdict_);
  const std::uint32_t lost = walk_slots(last);
  last_end_ = end_of(status, lost > 0);
  verdict_.clear();
  const bool retiring = phase_ == SeatPhase::kDormant;  // the phase it has gone to
  const bool recycled = last_end_ == StartEnd::kRecycled;
  const bool expected = lost == 0 && (last || recycled || (retiring && status == 0));
  dead->log->log(expected ? spdlog::level::info : spdlog::level::warn, "{}{}; {} {} running",
                 recycled && !last && !retiring ? "ended by itself: " : "",
                 describe_wait_status(status), counted(lost, "call"), lost == 1 ? "was" : "were");
  pool_.on_buried();
}

StartEnd Seat::end_of(int wait_status, bool lost_calls) const {
  if (!verdict_.empty()) return StartEnd::kOverdueCall;
  if (!WIFEXITED(wait_status)) return StartEnd::kWorkerDied;
  const bool was_ready = ready_at_ != Clock::time_point{};
  if (!was_ready && WEXITSTATUS(wait_status) == kShortageStatus) return StartEnd::kShortage;
  // One that ends well without having been called would end again, and again.
  const bool was_called = was_ready && (lost_calls || calls() != calls_before_);
  return was_called && WEXITSTATUS(wait_status) == 0 ? StartEnd::kRecycled : StartEnd::kWorkerDied;
}

void Seat::retire() {
  set_word(SeatState::kRetired);
  shm::reclaim_worker(pool_.slots, index_, generation_, /*retired=*/true);
  pool_.slots.line().wake_all();
}

// Does without a worker until one is wanted.
void Seat::go_dormant() {
  if (Status walked = ensure_walked(); !walked) {
    // It is launched when that can be: launch() tries again until then.
    log_->warn("{}", walked.error().message);
    return dispatch(SeatEvent::kStart);
  }
  set_word(SeatState::kDormant);
  log_->debug("does without a worker until one is wanted");
  serve_requested();
}

// A caller that claimed in the very moment in which the seat was marked may request its call after
// the worker has gone. Either it is seen here, after the word was set (seq_cst, both), or it sees
// DORMANT and rings for the audit, which looks here again (Pool::repair()).
void Seat::serve_requested() {
  if (phase_ == SeatPhase::kDormant && is_requested()) dispatch(SeatEvent::kStart);
}

bool Seat::is_requested() const {
  const shm::ControlSegment& segment = pool_.memory.segment();
  const shm::SlotIndex first = segment.first_slot(index_);
  for (shm::SlotIndex slot = first; slot < first + segment.geometry().slots_per_worker; ++slot) {
    if (shm::load_slot(pool_.slots.word(slot)).state == shm::SlotState::kRequested) return true;
  }
  return false;
}

bool Seat::is_in_use() const { return pool_.memory.segment().busy_slots(index_) != 0; }

// The seat is marked already, so nobody claims here any more. In this order: a call that ended
// before its slot was seen free has left its session's state in the table.
void Seat::drain_if_idle() {
  if (is_in_use() || pool_.holds_state(index_)) return dispatch(SeatEvent::kInUse);
  worker_->log->info("was idle for long: asking it to leave");
  ask_to_drain();
  arm(pool_.config.drain_timeout);
}

}  // namespace slotring::supervisor
