#include "client_lib/shm/worker_seat.h"

#include <algorithm>
#include <bit>
#include <climits>
#include <utility>

namespace slotring::shm {

namespace {
constexpr std::uint32_t kLooksBetweenChecks = 1024;
}  // namespace

Result<WorkerSeat> WorkerSeat::attach(int socket, std::string_view name, MonotonicNs deadline) {
  Result<Attachment> joined = shm::attach(socket, wire::Role::Worker, name, deadline);
  if (!joined) return std::move(joined).error();
  return sit_down(*std::move(joined));
}

Result<WorkerSeat> WorkerSeat::sit_down(Attachment joined) {
  std::vector<Mapping> request_areas;
  const std::uint32_t slots = joined.segment->geometry().slots_per_worker;
  for (std::uint32_t i = 0; i < slots; ++i) {
    Result<Mapping> area = joined.requests->map_area(joined.segment->first_slot(joined.index) + i);
    if (!area) return std::move(area).error();
    request_areas.push_back(*std::move(area));
  }
  return WorkerSeat(std::move(joined), std::move(request_areas));
}

WorkerSeat::WorkerSeat(Attachment joined, std::vector<Mapping> request_areas)
    : joined_(std::move(joined)),
      pool_(*joined_.segment),
      bell_(joined_.segment->seat(joined_.index).bell),
      first_slot_(joined_.segment->first_slot(joined_.index)),
      request_areas_(std::move(request_areas)),
      to_look_at_(Bell::kPendingMask) {
  for (std::uint32_t i = 0; i < segment().geometry().slots_per_worker; ++i) {
    writers_.emplace_back(*joined_.replies, first_slot_ + i);
    readers_.emplace_back(*joined_.requests);
  }
  lanes_.resize(writers_.size());
  reply_areas_.resize(writers_.size());
  running_.resize(segment().geometry().slots_per_worker);
  started_.resize(running_.size(), kNever);
  methods_.resize(running_.size());
  // What is there is a predecessor's.
  segment().seat(index()).running.store(0, std::memory_order_relaxed);
}

Status WorkerSeat::share() {
  auto shared = std::make_unique<SeatWaiting>(segment().seat(index()).bell,
                                              static_cast<std::uint32_t>(running_.size()));
  if (Status opened = shared->open_event_fd(); !opened) return opened;
  // The predecessor's requests.
  shared->give_back(std::exchange(to_look_at_, 0), /*more=*/false);
  shared_ = std::move(shared);
  return Done{};
}

std::optional<RunningCall> WorkerSeat::try_next(const Wanted* wanted) {
  std::optional<RunningCall> call = find_next(wanted);
  if (shared_) [[unlikely]] {
    // No wait() of a shared seat does it: it has no lock.
    if (!call) let_go_of_strangers();
    // For the next thread.
    shared_->give_back(std::exchange(to_look_at_, 0), call && reconsider_);
  }
  return call;
}

void WorkerSeat::reconsider() {
  reconsider_ = !refused_.empty();
  if (shared_ && reconsider_) shared_->give_back(0, /*more=*/true);
}

std::optional<RunningCall> WorkerSeat::find_next(const Wanted* wanted) {
  // A worker that is never idle looks now and then.
  if (++looks_ % kLooksBetweenChecks == 0) let_go_of_strangers();
  if (reconsider_) [[unlikely]] {
    if (std::optional<RunningCall> call = try_refused(wanted)) return call;
  }
  if (to_look_at_ == 0) take_bits();
  const std::uint32_t slots = segment().geometry().slots_per_worker;
  while (to_look_at_ != 0) {
    // From where the last look ended, so that no slot starves.
    const std::uint32_t later = to_look_at_ & (~0u << next_bit_);
    const auto bit = static_cast<std::uint32_t>(std::countr_zero(later != 0 ? later : to_look_at_));
    for (std::uint32_t slot = bit; slot < slots; slot += Bell::kPendingBits) {
      if (std::optional<RunningCall> call = try_start(first_slot_ + slot, wanted)) {
        next_bit_ = (bit + 1) % Bell::kPendingBits;
        // With more slots than bits the bit stays: another slot of it may be requested, too.
        if (slots <= Bell::kPendingBits) to_look_at_ &= ~(1u << bit);
        return call;
      }
    }
    to_look_at_ &= ~(1u << bit);
    if (to_look_at_ == 0) take_bits();
  }
  return std::nullopt;
}

// In the order in which they were refused.
std::optional<RunningCall> WorkerSeat::try_refused(const Wanted* wanted) {
  const std::vector<SlotIndex> before = std::exchange(refused_, {});
  for (auto slot = before.begin(); slot != before.end(); ++slot) {
    std::optional<RunningCall> call = try_start(*slot, wanted);
    if (!call) continue;
    refused_.insert(refused_.end(), slot + 1, before.end());
    reconsider_ = slot + 1 != before.end();
    return call;
  }
  reconsider_ = false;
  return std::nullopt;
}

void WorkerSeat::take_bits() {
  if (shared_) [[unlikely]] {
    to_look_at_ = shared_->take_requests();
    return;
  }
  const std::uint32_t rung = bell_.look();
  if (rung == 0) return;
  // What the first call needs lies in the caller's cache: ask for it while the bell is being taken.
  const auto slot = static_cast<std::uint32_t>(std::countr_zero(rung));
  if (slot < segment().geometry().slots_per_worker) {
    __builtin_prefetch(&pool_.word(first_slot_ + slot), 1);
    prefetch_frame_to_read(request_areas_[slot].data());
    prefetch_frame_to_write(joined_.replies->area(first_slot_ + slot));
  }
  const std::uint32_t taken = bell_.take();
  to_look_at_ |= taken & Bell::kPendingMask;
  // Taken along with the requests, but meant for the next wait().
  if ((taken & Bell::kAttention) != 0) interrupted_ = true;
}

namespace {

// What a frame says of its method and its session.
void name_call(RunningCall& call, const Frame& frame) {
  call.head = frame.head;
  call.rare = frame.rare;
  if (frame.rare == nullptr) return;
  if (call.head.method == 0 && frame.rare->method_name() != nullptr) {
    call.method_name = frame.rare->method_name()->string_view();
  }
  if (frame.rare->session() != nullptr) call.session = frame.rare->session()->string_view();
}

}  // namespace

// Without starting it: the client may take it back and change it meanwhile. A frame that does not
// check is wanted, to be answered.
bool WorkerSeat::is_wanted(SlotIndex slot, const SlotWord& requested, const Wanted& wanted) {
  FrameReader& reader = readers_[slot - first_slot_];
  reader.begin();
  const Result<Frame> frame =
      reader.read(request_areas_[slot - first_slot_].data(), requested.generation);
  if (!frame) return true;
  RunningCall call{slot, requested, {}, {}, {}, {}};
  name_call(call, *frame);
  return wanted(call);
}

void WorkerSeat::refuse(SlotIndex slot) {
  // A request that was taken back may have been refused before.
  if (std::find(refused_.begin(), refused_.end(), slot) == refused_.end()) {
    refused_.push_back(slot);
  }
}

std::optional<RunningCall> WorkerSeat::try_start(SlotIndex slot, const Wanted* wanted) {
  AtomicWord& word = pool_.word(slot);
  const SlotWord requested = load_slot(word);
  if (requested.state != SlotState::kRequested) return std::nullopt;
  if (wanted != nullptr && !is_wanted(slot, requested, *wanted)) {
    refuse(slot);
    return std::nullopt;
  }
  const std::byte* area = request_areas_[slot - first_slot_].data();
  const MoveResult started = try_move(word, requested, SlotState::kRunning, Actor::kWorker);
  if (!started.moved) return std::nullopt;

  running_[slot - first_slot_] = requested.generation;
  writer(slot).begin();
  RunningCall call{slot, started.after, {}, {}, {}, {}};
  FrameReader& reader = readers_[slot - first_slot_];
  reader.begin();
  const Result<Frame> frame = reader.read(area, requested.generation);
  if (!frame) {
    fail(call, frame.error());
    return std::nullopt;
  }
  call.payload = frame->payload;
  name_call(call, *frame);
  const MonotonicNs now = monotonic_now();  // also where its service time begins
  if (call.head.deadline_ns != kNever && now >= call.head.deadline_ns) {
    fail(call, Error{.code = ErrorCode::kDeadlineExceeded,
                     .message = "the deadline passed before the call was started",
                     .retryable = true});
    return std::nullopt;
  }
  note_running(call, now);
  if (call.head.flags != 0) begin_lanes(call);
  return call;
}

void WorkerSeat::begin_lanes(const RunningCall& call) {
  std::unique_ptr<CallLanes>& lanes = lanes_[call.slot - first_slot_];
  if (!lanes) lanes = std::make_unique<CallLanes>(writer(call.slot), *joined_.requests);
  const std::uint64_t wished = call.rare == nullptr ? 0 : call.rare->window_bytes();
  const std::uint64_t window = wished == 0 ? kDefaultWindowBytes : wished;
  lanes->begin(joined_.replies->area(call.slot), request_areas_[call.slot - first_slot_].data(),
               call.word.generation,
               std::clamp(window, kMinWindowBytes, joined_.replies->area_bytes()));
}

void WorkerSeat::tell_caller(const RunningCall& call) {
  AtomicWord& word = pool_.word(call.slot);
  if (try_take_flag(word, call.word, layout::kFlagCallerSleeps)) {
    futex_wake(futex_half(word), INT_MAX);
  }
}

WorkerSeat::CallerWait WorkerSeat::await_caller(const RunningCall& call,
                                                const std::function<bool()>& done,
                                                MonotonicNs deadline) {
  if (shared_) return await_caller_beside_others(call, done, deadline);
  const auto over = [&] { return done() || cancelled(call) || interrupted_; };
  const bool ended = waiting_for_caller_.wait(
      over, [&] { sleep_for_caller(call, over, deadline); }, deadline);
  if (done()) return CallerWait::kDone;
  if (cancelled(call)) return CallerWait::kGone;
  if (!ended) return CallerWait::kDeadline;
  interrupted_ = false;
  return CallerWait::kAttention;
}

WorkerSeat::CallerWait WorkerSeat::await_caller_beside_others(const RunningCall& call,
                                                              const std::function<bool()>& done,
                                                              MonotonicNs deadline) {
  const std::uint32_t seen = shared_->interrupts();
  const auto over = [&] { return done() || cancelled(call); };
  while (!over()) {
    if (shared_->interrupts() != seen) return CallerWait::kAttention;
    if (has_passed(deadline)) return CallerWait::kDeadline;
    shared_->await_slot(
        call.slot - first_slot_, [&] { ask_to_be_rung(call); }, over, next_self_check(deadline));
  }
  return done() ? CallerWait::kDone : CallerWait::kGone;
}

// After it (seq_cst): either the caller's frame is seen here, or the caller sees the flag and
// rings.
void WorkerSeat::ask_to_be_rung(const RunningCall& call) {
  AtomicWord& word = pool_.word(call.slot);
  SlotWord seen = load_slot(word);
  while (seen.same_step(call.word) && !seen.has(layout::kFlagWorkerWaits)) {
    (void)try_set_flags(word, seen, static_cast<SlotFlags>(seen.flags | layout::kFlagWorkerWaits));
  }
}

void WorkerSeat::sleep_for_caller(const RunningCall& call, const std::function<bool()>& over,
                                  MonotonicNs deadline) {
  ask_to_be_rung(call);
  if (over()) return;
  if (bell_.rung()) return take_bits();
  // Woken by itself now and then: whoever abandoned the call may have died before it rang.
  if (bell_.try_sleep()) {
    futex_wait(futex_half(segment().seat(index()).bell), Bell::kSleeps, next_self_check(deadline));
  }
}

void WorkerSeat::note_running(const RunningCall& call, MonotonicNs since) {
  started_[call.slot - first_slot_] = since;
  methods_[call.slot - first_slot_] = call.head.method;
  // Those that run already have run for longer.
  if (++running_count_ == 1) name_running(call.slot);
}

void WorkerSeat::name_running(SlotIndex slot) {
  named_ = slot;
  const SlotIndex of_worker = slot - first_slot_;
  layout::SeatRecord& record = segment().seat(index());
  const layout::RunningWord running{*running_[of_worker], static_cast<std::uint16_t>(of_worker),
                                    methods_[of_worker]};
  // Release: who sees this time sees that the call before it is over (note_ended).
  record.running_since.store(started_[of_worker], std::memory_order_release);
  // Release: who sees the word sees its time (observed_call.cc).
  record.running.store(running.pack(), std::memory_order_release);
}

// REQUIRES: running_ says already that it runs no more. A call that was refused was never noted.
void WorkerSeat::note_ended(SlotIndex slot) {
  if (started_[slot - first_slot_] == kNever) return;
  if (--running_count_ != 0 && slot != named_) return;
  segment().seat(index()).running.store(0, std::memory_order_relaxed);
  if (running_count_ == 0) return;
  std::optional<SlotIndex> longest;
  for (SlotIndex other = 0; other < running_.size(); ++other) {
    if (!running_[other] || started_[other] == kNever) continue;
    if (!longest || started_[other] < started_[*longest]) longest = other;
  }
  if (longest) name_running(first_slot_ + *longest);
}

// Relaxed: only this worker writes its block, and each word is right by itself. Before the reply is
// published, so that who has it finds it counted.
void WorkerSeat::count(SlotIndex slot, ErrorCategory outcome) {
  const auto add = [](std::atomic<std::uint64_t>& to, std::uint64_t more) {
    to.store(to.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
  };
  // One that was refused before it ran took no time worth a look at the clock.
  const MonotonicNs started = std::exchange(started_[slot - first_slot_], kNever);
  const std::uint64_t ns = started == kNever ? 0 : monotonic_now() - started;
  layout::CallStats& stats = segment().seat_stats(index());
  add(stats.ended[static_cast<std::size_t>(outcome) % layout::kErrorKinds], 1);
  add(stats.total_ns, ns);
  add(stats.latency[layout::latency_bucket(ns)], 1);
}

void WorkerSeat::wait(MonotonicNs deadline, std::uint32_t seen) {
  if (shared_) return shared_->await_request(deadline, seen);
  if (std::exchange(interrupted_, false)) return;
  std::atomic<std::uint32_t>& word = segment().seat(index()).bell;
  waiting_.wait([this] { return pending(); },
                [&] {
                  let_go_of_strangers();
                  give_back_read_replies();
                  if (bell_.try_sleep()) futex_wait(futex_half(word), Bell::kSleeps, deadline);
                },
                deadline);
}

// Words that say that this worker has their call, which it has not: somebody scribbled over them.
// Only this worker can tell, and only it lets go of them.
void WorkerSeat::let_go_of_strangers() {
  for (SlotIndex slot = first_slot_; slot < first_slot_ + running_.size(); ++slot) {
    const SlotWord seen = load_slot(pool_.word(slot));
    if (runs(slot, seen)) continue;
    if (seen.state == SlotState::kRunning) {
      fail({slot, seen, {}, {}, {}, {}},
           Error{ErrorCode::kBadSegment, "somebody else changed the word of a called slot"});
    } else if (seen.state == SlotState::kAbandoned) {
      (void)pool_.try_release(slot, seen, Actor::kWorker);
    }
  }
}

// What large replies used behind the kept part; a client that has read one rings for it.
void WorkerSeat::give_back_read_replies() {
  for (SlotIndex slot = first_slot_; slot < first_slot_ + writers_.size(); ++slot) {
    const SlotState state = load_slot(pool_.word(slot)).state;
    // Until this worker starts the slot's next call, nobody reads or writes its reply area.
    if (state == SlotState::kFree || state == SlotState::kClaimed ||
        state == SlotState::kRequested) {
      writer(slot).trim();
    }
  }
}

void WorkerSeat::interrupt() {
  if (shared_) return shared_->interrupt();
  if (bell_.ring(Bell::kAttention)) futex_wake(futex_half(segment().seat(index()).bell), INT_MAX);
}

Result<std::span<std::byte>> WorkerSeat::reply_space(const RunningCall& call, std::uint64_t bytes) {
  return writer(call.slot).payload_space(bytes);
}

Status WorkerSeat::reply(const RunningCall& call, wire::PayloadKind kind, std::uint64_t bytes,
                         const RareHead& parts) {
  FrameHead head = call.head;
  head.kind = kind;
  Status committed = writer(call.slot).commit(head, bytes, parts);
  if (committed) let_go(call, ErrorCategory::kNone);
  return committed;
}

void WorkerSeat::fail(const RunningCall& call, const Error& error) {
  FrameHead head = call.head;
  head.generation = call.word.generation;
  head.kind = wire::PayloadKind::Empty;
  RareHead rare{.error = &error};
  std::atomic<std::uint64_t>& errors = segment().seat(index()).errors;
  errors.store(errors.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (!writer(call.slot).commit(head, 0, rare)) {
    // No memory for a long text: the same error without it always fits.
    const Error short_error{.code = error.code, .retryable = error.retryable};
    rare.error = &short_error;
    (void)writer(call.slot).commit(head, 0, rare).ok();
  }
  let_go(call, error.category());
}

void WorkerSeat::let_go(const RunningCall& call, ErrorCategory outcome) {
  AtomicWord& word = pool_.word(call.slot);
  running_[call.slot - first_slot_].reset();
  note_ended(call.slot);
  count(call.slot, outcome);
  std::atomic<std::uint64_t>& calls = segment().seat(index()).calls;
  calls.store(calls.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const MoveResult replied = try_move(word, call.word, SlotState::kReplied, Actor::kWorker);
  if (replied.moved) {
    if (replied.before.has(layout::kFlagCallerSleeps | layout::kFlagRingOwner)) {
      pool_.tell_owner(call.slot, replied.before);
    }
    return;
  }
  // The caller has gone meanwhile: the slot is ours to free. Anything else is a scribbled word,
  // which the supervisor mends.
  SlotWord abandoned = call.word;
  abandoned.state = SlotState::kAbandoned;
  if (replied.before.same_step(abandoned)) {
    writer(call.slot).trim();
    (void)pool_.try_release(call.slot, replied.before, Actor::kWorker);
    // Only the supervisor can give back what an abandoned request took.
    if (readers_[call.slot - first_slot_].read_behind_kept()) pool_.line().ring_audit();
  }
}

Result<Mapping> WorkerSeat::give_request_area(const RunningCall& call) {
  Result<Mapping> fresh = joined_.requests->map_area(call.slot);
  if (!fresh) return fresh;
  const SlotIndex own = call.slot - first_slot_;
  readers_[own].forget_mapping();
  if (lanes_[own]) lanes_[own]->forget_mapping();
  return std::exchange(request_areas_[own], *std::move(fresh));
}

Result<std::byte*> WorkerSeat::reply_area_to_view(const RunningCall& call) {
  Mapping& area = reply_areas_[call.slot - first_slot_];
  if (area.data() == nullptr) {
    Result<Mapping> mapped = joined_.replies->map_area(call.slot, Access::kReadWrite);
    if (!mapped) return std::move(mapped).error();
    area = *std::move(mapped);
  }
  return area.data();
}

Mapping WorkerSeat::give_reply_area(const RunningCall& call) {
  return std::exchange(reply_areas_[call.slot - first_slot_], Mapping());
}

bool WorkerSeat::cancelled(const RunningCall& call) const {
  return !load_slot(pool_.word(call.slot)).same_step(call.word);
}

}  // namespace slotring::shm
