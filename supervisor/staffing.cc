#include "supervisor/staffing.h"

#include <algorithm>
#include <tuple>

#include "client_lib/shm/session_table.h"

namespace slotring::supervisor {

using layout::SeatState;

namespace {

// An idle worker is ended at most so much of idle_timeout late.
constexpr int kLooksPerTimeout = 4;

// Whether an earlier supervisor left this of a worker that it wanted to have.
bool was_staffed(SeatState found) {
  return found == SeatState::kStarting || found == SeatState::kReady || found == SeatState::kLost;
}

}  // namespace

void Staff::count(SeatPhase phase) {
  switch (phase) {
    case SeatPhase::kReady:
    case SeatPhase::kResuming:
      ++serving;
      return;
    case SeatPhase::kForking:
    case SeatPhase::kStarting:
    case SeatPhase::kBackoff:
    case SeatPhase::kEvicting:  // a successor follows
      ++coming;
      return;
    case SeatPhase::kDormant:
      ++dormant;
      return;
    case SeatPhase::kVacant:
    case SeatPhase::kFailed:
    case SeatPhase::kRetiring:
    case SeatPhase::kDraining:
    case SeatPhase::kStopping:
    case SeatPhase::kStopped:
      return;
  }
}

std::uint32_t workers_to_start(const Staff& staff, std::uint32_t min,
                               std::uint32_t slots_per_worker, std::uint32_t waiting, bool still) {
  if (waiting == 0 || (staff.serving > 0 && !still)) return 0;
  const std::uint32_t there = staff.serving + staff.coming;
  const std::uint32_t for_min = min > there ? min - there : 0;
  const std::uint32_t needed = (waiting - 1) / slots_per_worker + 1;
  const std::uint32_t for_callers = needed > staff.coming ? needed - staff.coming : 0;
  return std::min(std::max(for_min, for_callers), staff.dormant);
}

void Staffing::start() {
  std::vector<Seat*> vacant;
  std::uint32_t there = 0;
  for (const auto& seat : seats_) {
    if (seat->phase() != SeatPhase::kVacant) {
      ++there;
    } else if (!config_.elastic() || was_staffed(seat->state_found())) {
      ++there;
      seat->start();
    } else {
      vacant.push_back(seat.get());
    }
  }
  const bool sleeps = config_.lazy && there == 0;
  for (Seat* seat : vacant) {
    if (sleeps || there >= config_.min_workers) {
      seat->rest();
    } else {
      ++there;
      seat->start();
    }
  }
  on_settings();  // the last worker of an earlier supervisor may be leaving
}

void Staffing::on_waiting(bool still) {
  if (stopped_) return;
  start_dormant(workers_to_start(staff(), config_.min_workers, config_.slots_per_worker,
                                 slots_.line().count_waiting(), still));
}

void Staffing::on_settings() {
  if (settings_.any_in_effect()) {
    want_one();
  } else {
    on_phase();  // the worker that was kept for them may go
  }
}

void Staffing::want_one() {
  const Staff now = staff();
  if (stopped_ || now.serving + now.coming > 0) return;
  // Where the only seats are those of workers that are leaving, the first that has left is owed it.
  one_owed_ = now.dormant == 0;
  start_dormant(1);
}

void Staffing::start_dormant(std::uint32_t count) {
  for (const auto& seat : seats_) {
    if (count == 0) return;
    if (seat->phase() != SeatPhase::kDormant) continue;
    seat->start();
    --count;
  }
}

void Staffing::on_phase() {
  if (stopped_) return;
  if (one_owed_ && staff().dormant > 0) {
    one_owed_ = false;
    want_one();
  }
  if (!config_.shrinks() || looking_ || ready() <= least()) return;
  looking_ = true;
  look_again_.start(config_.idle_timeout / kLooksPerTimeout, [this] { look_for_idle(); });
}

void Staffing::look_for_idle() {
  looking_ = false;
  if (stopped_) return;
  const std::uint32_t ready_now = ready();
  if (ready_now > least()) {
    std::uint32_t to_end = ready_now - least();
    const std::vector<Seat*> idle = idle_for_long();
    const std::vector<bool> holding = idle.empty() ? std::vector<bool>() : seats_with_state();
    for (Seat* seat : idle) {
      if (to_end == 0) break;
      if (holding[seat->index()]) continue;
      seat->rest();
      if (seat->phase() != SeatPhase::kReady) --to_end;
    }
  }
  on_phase();
}

// Newest first.
std::vector<Seat*> Staffing::idle_for_long() {
  std::vector<Seat*> idle;
  const Clock::time_point now = Clock::now();
  for (const auto& seat : seats_) {
    Seen& seen = last_seen_[seat->index()];
    const std::uint64_t calls = seat->calls();
    if (seat->phase() != SeatPhase::kReady || seat->is_in_use() || calls != seen.calls ||
        seen.idle_since < seat->ready_since()) {
      seen = {calls, now};
    } else if (now - seen.idle_since >= config_.idle_timeout) {
      idle.push_back(seat.get());
    }
  }
  std::sort(idle.begin(), idle.end(), [](const Seat* a, const Seat* b) {
    return std::tuple(a->ready_since(), a->index()) > std::tuple(b->ready_since(), b->index());
  });
  return idle;
}

bool Staffing::holds_state(shm::SeatIndex seat) const { return seats_with_state()[seat]; }

std::vector<bool> Staffing::seats_with_state() const {
  std::vector<bool> holding(seats_.size(), false);
  const shm::ControlSegment& segment = slots_.segment();
  if (!config_.session_database.empty() || config_.max_sessions == 0) return holding;
  const shm::SessionTable table(segment);
  table.for_each([&](shm::SessionIndex index, const shm::SessionWord& word) {
    if (!word.has_state() || word.home == layout::kNoHome || word.home > holding.size()) return;
    const shm::SeatIndex seat = word.home - 1u;
    // Acquire, of the word: the generation was stored before its flag. State of a worker that is
    // gone is lost already.
    const std::uint32_t generation =
        table.record(index).home_generation.load(std::memory_order_relaxed);
    if (generation == segment.seat_word(seat).generation) holding[seat] = true;
  });
  return holding;
}

Staff Staffing::staff() const {
  Staff staff;
  for (const auto& seat : seats_) staff.count(seat->phase());
  return staff;
}

std::uint32_t Staffing::ready() const {
  return static_cast<std::uint32_t>(
      std::count_if(seats_.begin(), seats_.end(),
                    [](const auto& seat) { return seat->phase() == SeatPhase::kReady; }));
}

std::uint32_t Staffing::least() const {
  return std::max(config_.min_workers, settings_.any_in_effect() ? 1u : 0u);
}

void Staffing::stop() {
  stopped_ = true;
  look_again_.cancel();
}

}  // namespace slotring::supervisor
