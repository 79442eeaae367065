#include "client_lib/shm/worker_seat.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "client_lib/shm/worker_spread.h"

namespace slotring::shm {

namespace {
constexpr std::uint32_t kLooksBetweenChecks = 1024;
// A worker is moved to another CPU seldom.
constexpr std::uint32_t kStartsBetweenCpus = 16;
}  // namespace

Result<WorkerSeat> WorkerSeat::attach(int socket, std::string_view name, MonotonicNs deadline) {
  Result<Attachment> joined = shm::attach(socket, wire::Role::Worker, name, deadline);
  if (!joined) return std::move(joined).error();
  return sit_down(*std::move(joined));
}

Result<WorkerSeat> WorkerSeat::sit_down(Attachment joined) {
  std::vector<ServedSlot> slots;
  const SlotIndex first = joined.segment->first_slot(joined.index);
  for (std::uint32_t i = 0; i < joined.segment->geometry().slots_per_worker; ++i) {
    Result<ServedSlot> slot = ServedSlot::map(joined, first + i);
    if (!slot) return std::move(slot).error();
    slots.push_back(*std::move(slot));
  }
  return WorkerSeat(std::move(joined), std::move(slots));
}

WorkerSeat::WorkerSeat(Attachment joined, std::vector<ServedSlot> slots)
    : joined_(std::move(joined)),
      pool_(*joined_.segment),
      bell_(joined_.segment->seat(joined_.index).bell),
      first_slot_(joined_.segment->first_slot(joined_.index)),
      slots_(std::move(slots)),
      running_(*joined_.segment, joined_.index),
      waiting_(wait_budget(joined_.segment->waiting())),
      waiting_for_caller_(waiting_.budget()),
      to_look_at_(Bell::kPendingMask) {}

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
  if (waiting_.budget().shares_cpu && sharing_.due(last_clock_)) [[unlikely]]
    share_cpu();
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
  if (slot < slots_.size()) {
    __builtin_prefetch(&pool_.word(first_slot_ + slot), 1);
    prefetch_frame_to_read(slots_[slot].request_area());
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
  const Result<Frame> frame = slot_at(slot).read_request(requested.generation);
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
  const MoveResult started = try_move(word, requested, SlotState::kRunning, Actor::kWorker);
  if (!started.moved) return std::nullopt;

  running_.start(slot - first_slot_, requested.generation);
  writer(slot).begin();
  RunningCall call{slot, started.after, {}, {}, {}, {}};
  const Result<Frame> frame = slot_at(slot).read_request(requested.generation);
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
  running_.show(slot - first_slot_, call.head.method, now);
  note_start(now);
  if (call.head.flags != 0) {
    slot_at(slot).begin_lanes(requested.generation,
                              call.rare == nullptr ? 0 : call.rare->window_bytes());
  }
  return call;
}

void WorkerSeat::share_cpu() {
  if (shared_) return;  // its threads wait for one another besides
  last_clock_ = sharing_.between_calls(last_clock_);
  if (!sharing_.takes_part() || last_clock_ < next_spread_) return;
  next_spread_ = last_clock_ + CpuSharing::kBeatNs;
  spread(segment(), index());
}

void WorkerSeat::note_start(MonotonicNs now) {
  sharing_.note_call(now - last_started_, now);
  last_started_ = last_clock_ = now;
  if (starts_++ % kStartsBetweenCpus != 0) return;
  std::atomic<std::uint32_t>& shown = segment().seat(index()).cpu;
  const std::uint32_t cpu = current_cpu().value_or(~0u) + 1;
  if (shown.load(std::memory_order_relaxed) != cpu) shown.store(cpu, std::memory_order_relaxed);
}

// Words that say that this worker has their call, which it has not: somebody scribbled over them.
// Only this worker can tell, and only it lets go of them.
void WorkerSeat::let_go_of_strangers() {
  for (SlotIndex slot = first_slot_; slot < first_slot_ + slots_.size(); ++slot) {
    const SlotWord seen = load_slot(pool_.word(slot));
    if (running_.runs(slot - first_slot_, seen.generation)) continue;
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
  for (SlotIndex slot = first_slot_; slot < first_slot_ + slots_.size(); ++slot) {
    const SlotState state = load_slot(pool_.word(slot)).state;
    // Until this worker starts the slot's next call, nobody reads or writes its reply area.
    if (state == SlotState::kFree || state == SlotState::kClaimed ||
        state == SlotState::kRequested) {
      writer(slot).trim();
    }
  }
}

Result<std::span<std::byte>> WorkerSeat::reply_space(const RunningCall& call, std::uint64_t bytes) {
  return writer(call.slot).payload_space(bytes);
}

Status WorkerSeat::reply(const RunningCall& call, wire::PayloadKind kind, std::uint64_t bytes,
                         const RareHead& parts) {
  FrameHead head = call.head;
  head.kind = kind;
  Status committed = writer(call.slot).commit(head, bytes, parts);
  if (!committed) return committed;
  let_go(call, ErrorCategory::kNone);
  // The caller reads the reply, and writes as much as before for its next call.
  const std::uint64_t copied = bytes + call.payload.size();
  if (copied >= kLongCopyBytes && !sharing_.crowded()) waiting_.expect_copy(copied);
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
  running_.end(call.slot - first_slot_, outcome);
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
    if (slot_at(call.slot).read_behind_kept()) pool_.line().ring_audit();
  }
}

}  // namespace slotring::shm
