#include "client_lib/async_calls.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace slotring::internal {

using shm::MonotonicNs;
using shm::OwnerBell;

AsyncCalls::Call::Call(const CallOptions& options, Placement place, OnReply reply_to)
    : started(shm::monotonic_now()),
      deadline(deadline_after(options.timeout, started)),
      stop(options.stop),
      placement(place),
      on_reply(std::move(reply_to)) {}

AsyncCalls::AsyncCalls(ClientCore& core)
    : core_(core),
      bell_(core.bell()),
      slots_(core.segment().geometry().slots()),
      sent_(std::make_unique<std::atomic<Call*>[]>(slots_)),
      next_check_(shm::monotonic_now() + shm::kSelfCheckNs),
      thread_([this] { run(); }) {}

void AsyncCalls::end() {
  ending_.store(true, std::memory_order_seq_cst);
  ring(OwnerBell::kAttention, /*wake_anyway=*/true);
  thread_.join();
}

void AsyncCalls::ring(std::uint32_t bits, bool wake_anyway) {
  if (bell_.ring(bits) || wake_anyway) shm::futex_wake(shm::futex_half(core_.bell()), 1);
}

void AsyncCalls::look_at_all() {
  // seq_cst, before the ring: the thread takes the ring and then looks for this.
  look_at_all_.store(true, std::memory_order_seq_cst);
  ring(OwnerBell::kAttention);
}

// Beginning a call, on its caller's thread.

void AsyncCalls::begin(std::string_view method, Payload payload, const CallOptions& options,
                       Placement placement, OnReply on_reply) {
  auto call = std::make_unique<Call>(options, placement, std::move(on_reply));
  call->method = method;
  if (std::optional<Error> refusal = refusal_of(options, *call)) {
    return refuse(std::move(call), *std::move(refusal));
  }
  if (!try_send_at_once(call, payload)) enqueue(std::move(call), payload);
}

std::optional<Error> AsyncCalls::refusal_of(const CallOptions& options, Call& call) {
  if (ending_.load(std::memory_order_relaxed)) {
    return Error{.code = ErrorCode::kCancelled,
                 .message = "the client is being destroyed",
                 .retryable = true};
  }
  if (options.retry) {
    return Error{ErrorCode::kInvalidArgument,
                 "an asynchronous call is not sent again by itself: leave CallOptions::retry out, "
                 "and call again when its error says `retryable`, or use Client::call()"};
  }
  if (!options.session.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "an asynchronous call has no session: leave CallOptions::session out, or use "
                 "Session::call(), on a thread that may wait"};
  }
  CircuitBreaker* breaker = core_.breaker();
  if (breaker == nullptr) return std::nullopt;
  call.method_id = core_.method_id(call.method);
  Result<CircuitBreaker::Ticket> ticket = breaker->admit(call.method_id, call.method, call.started);
  if (!ticket) return std::move(ticket).error();
  call.admitted = *ticket;
  return std::nullopt;
}

ClaimTerms AsyncCalls::terms_of(const Call& call) const {
  // Errors are counted where the call ends.
  return {.started = call.started, .deadline = call.deadline, .errors_count = false};
}

// False, and `call` is as it was, when it has to wait for a slot.
bool AsyncCalls::try_send_at_once(CallPtr& call, Payload payload) {
  for (;;) {
    if (queued_.load(std::memory_order_seq_cst) != 0) return false;
    Result<std::optional<Lease>> lease = core_.try_claim(terms_of(*call), call->stop);
    if (lease && !*lease) return false;
    Status sent = Done{};
    if (lease) {
      call->lease.emplace(**std::move(lease));
      sent = try_send(*call, payload);
    } else {
      sent = std::move(lease).error();
    }
    if (sent) {
      under_way_.fetch_add(1, std::memory_order_seq_cst);
      put_in_place(std::move(call));
      return true;
    }
    call->lease.reset();
    if (is_worth_another_slot(sent.error()) && !shm::has_passed(call->deadline)) continue;
    refuse(std::move(call), std::move(sent).error());
    return true;
  }
}

Status AsyncCalls::try_send(Call& call, Payload payload) {
  core_.have_owner_rung(*call.lease);
  // Before the call is sent, and may end.
  if (call.stop.stop_possible() && !call.stirs) call.stirs.emplace(call.stop, Stir{this});
  return send_request(*call.lease, call.method, payload);
}

// REQUIRES: it was sent, and is counted as under way.
void AsyncCalls::put_in_place(CallPtr call) {
  const shm::SlotIndex slot = ClientCore::slot_of(*call->lease);
  const MonotonicNs deadline = call->deadline;
  const std::stop_token stop = call->stop;
  note_deadline(*call);
  sent_[slot].store(call.release(), std::memory_order_seq_cst);
  // From here on the thread may end the call. A ring before this found nothing in place.
  if (core_.is_replied(slot)) ring(OwnerBell::bit_of(slot));
  if (stop.stop_requested()) look_at_all();
  wake_if_asleep_until_after(deadline);
}

void AsyncCalls::enqueue(CallPtr call, Payload payload) {
  const Result<std::uint64_t> sized = TensorRequest::bytes_of(payload);
  if (!sized) return refuse(std::move(call), sized.error());
  const std::uint64_t bytes = *sized;
  std::optional<Error> refusal;
  if (bytes > core_.request_area_bytes()) {
    refusal = Error{ErrorCode::kPayloadTooLarge,
                    "a payload of " + std::to_string(bytes) +
                        " bytes does not fit: a slot of this pool takes less than " +
                        std::to_string(core_.request_area_bytes()) +
                        " (slot_bytes in its configuration)"};
  } else {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= kMaxQueuedCalls || bytes > kMaxQueuedBytes - queued_bytes_) {
      refusal = Error{.code = ErrorCode::kPoolSaturated,
                      .message = "no slot is free, and " + std::to_string(queue_.size()) +
                                 " calls of this client with " + std::to_string(queued_bytes_) +
                                 " bytes wait for one already",
                      .retryable = true};
    }
  }
  if (!refusal) {
    try {
      call->copy = OwnedPayload(payload);
    } catch (const std::bad_alloc&) {
      refusal = Error{.code = ErrorCode::kOutOfMemory,
                      .message = "no memory for the payload of a call that waits for a slot",
                      .retryable = true};
    }
  }
  if (refusal) return refuse(std::move(call), *std::move(refusal));
  if (call->stop.stop_possible() && !call->stirs) call->stirs.emplace(call->stop, Stir{this});
  note_deadline(*call);
  const MonotonicNs deadline = call->deadline;
  const std::stop_token stop = call->stop;
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    first = queue_.empty();
    queued_bytes_ += bytes;  // a little over the bound, where others came at the same time
    queued_.fetch_add(1, std::memory_order_seq_cst);
    under_way_.fetch_add(1, std::memory_order_seq_cst);
    queue_.push_back(std::move(call));
  }
  // The thread stands in line for the first, and tries again when it has been served.
  if (first) ring(OwnerBell::kAttention);
  if (stop.stop_requested()) look_at_all();
  wake_if_asleep_until_after(deadline);
}

void AsyncCalls::refuse(CallPtr call, Error error) {
  call->lease.reset();
  call->refusal = std::move(error);
  {
    const std::lock_guard lock(mutex_);
    under_way_.fetch_add(1, std::memory_order_seq_cst);
    refused_.push_back(std::move(call));
  }
  ring(OwnerBell::kAttention, sleeps_until_.load(std::memory_order_seq_cst) == kForever);
}

void AsyncCalls::note_deadline(const Call& call) {
  if (call.deadline == shm::kNever) return;
  MonotonicNs seen = next_deadline_.load(std::memory_order_seq_cst);
  while (call.deadline < seen &&
         !next_deadline_.compare_exchange_weak(seen, call.deadline, std::memory_order_seq_cst)) {
  }
}

void AsyncCalls::wake_if_asleep_until_after(MonotonicNs deadline) {
  const MonotonicNs until = sleeps_until_.load(std::memory_order_seq_cst);
  if (until == kForever) {
    // It does not look by itself, whatever has become of its bell.
    ring(OwnerBell::kAttention, /*wake_anyway=*/true);
  } else if (deadline != shm::kNever && deadline < until) {
    ring(OwnerBell::kAttention);
  }
}

// The waiting thread.

void AsyncCalls::run() {
  while (look_around()) sleep();
  core_.leave_line(place_);
}

// False when all has ended.
bool AsyncCalls::look_around() {
  std::uint32_t bits = bell_.take();
  const bool ending = ending_.load(std::memory_order_seq_cst);
  const MonotonicNs now = shm::monotonic_now();
  const bool alone = now >= next_check_;
  if (alone) next_check_ = now + shm::kSelfCheckNs;
  idle_ = alone && under_way_.load(std::memory_order_seq_cst) == 0;
  const bool stirred = look_at_all_.exchange(false, std::memory_order_seq_cst);
  const bool all =
      alone || ending || stirred || now >= next_deadline_.load(std::memory_order_seq_cst);
  if (all) {
    // Each call that goes on notes its own again, and one that begins meanwhile notes it after this
    // or is found.
    next_deadline_.store(kForever, std::memory_order_seq_cst);
    bits = OwnerBell::kPendingMask;
  }
  look_at_bits(bits & OwnerBell::kPendingMask, ending  ? ClientCore::Look::kEnd
                                               : alone ? ClientCore::Look::kAlone
                                                       : ClientCore::Look::kRung);
  if (all) end_given_up_in_queue();
  end_refused();
  serve_queue(alone);
  return !ending || under_way_.load(std::memory_order_seq_cst) != 0;
}

void AsyncCalls::look_at_bits(std::uint32_t bits, ClientCore::Look look) {
  for (; bits != 0; bits &= bits - 1) {
    const auto bit = static_cast<shm::SlotIndex>(std::countr_zero(bits));
    for (shm::SlotIndex slot = bit; slot < slots_; slot += OwnerBell::kPendingBits) {
      look_at(slot, look);
    }
  }
}

void AsyncCalls::look_at(shm::SlotIndex slot, ClientCore::Look look) {
  if (sent_[slot].load(std::memory_order_seq_cst) == nullptr) return;
  // Out of its place while it may end: its slot, once free, may be another call's at any moment.
  CallPtr call(sent_[slot].exchange(nullptr, std::memory_order_seq_cst));
  std::optional<Result<ReplyView>> reply = core_.try_wait(*call->lease, look);
  if (reply) return end_call(std::move(call), *std::move(reply));
  note_deadline(*call);
  sent_[slot].store(call.release(), std::memory_order_seq_cst);
}

void AsyncCalls::end_refused() {
  std::vector<CallPtr> refused;
  {
    const std::lock_guard lock(mutex_);
    refused.swap(refused_);
  }
  for (CallPtr& call : refused) {
    Error error = *std::move(call->refusal);
    end_call(std::move(call), std::move(error));
  }
}

void AsyncCalls::end_given_up_in_queue() {
  const bool ending = ending_.load(std::memory_order_relaxed);
  std::vector<CallPtr> ended;
  {
    const std::lock_guard lock(mutex_);
    for (CallPtr& call : queue_) {
      Status wanted = shm::check_still_wanted(call->deadline, call->stop);
      if (wanted && ending) {
        wanted = Error{.code = ErrorCode::kCancelled,
                       .message = "the client was destroyed before a slot was free",
                       .retryable = true};
      }
      if (wanted) {
        note_deadline(*call);
        continue;
      }
      call->refusal = std::move(wanted).error();
      queued_bytes_ -= call->copy.data().size();
      ended.push_back(std::move(call));
    }
    std::erase(queue_, nullptr);
  }
  for (CallPtr& call : ended) {
    queued_.fetch_sub(1, std::memory_order_seq_cst);
    Error error = *std::move(call->refusal);
    end_call(std::move(call), std::move(error));
  }
}

void AsyncCalls::serve_queue(bool look_anyway) {
  const Status served = look_anyway && place_ ? core_.check_line() : Status(Done{});
  // Not more than there are now: replies must have their turn.
  for (std::size_t most = queued_.load(std::memory_order_seq_cst); most > 0; --most) {
    Call* first = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (!queue_.empty()) first = queue_.front().get();  // only this thread takes it out
    }
    if (first == nullptr) break;
    if (!serve_first(*first, served, look_anyway)) return;
    look_anyway = true;  // there may be more
  }
  if (queued_.load(std::memory_order_seq_cst) != 0) {
    ring(OwnerBell::kAttention);
  } else {
    core_.leave_line(place_);
  }
}

bool AsyncCalls::serve_first(Call& first, const Status& served, bool look_anyway) {
  const auto end_with = [this](Error error) {
    CallPtr call = take_first();
    queued_.fetch_sub(1, std::memory_order_seq_cst);
    end_call(std::move(call), std::move(error));
    return true;
  };
  if (Status wanted = shm::check_still_wanted(first.deadline, first.stop); !wanted) {
    return end_with(std::move(wanted).error());
  }
  Result<std::optional<Lease>> lease =
      core_.try_claim_in_line(terms_of(first), first.stop, place_, look_anyway);
  if (!lease) return end_with(std::move(lease).error());
  if (!*lease) return served ? false : end_with(served.error());
  first.lease.emplace(**std::move(lease));
  Status sent = try_send(first, first.copy.payload());
  if (sent) {
    put_in_place(take_first());
    queued_.fetch_sub(1, std::memory_order_seq_cst);  // others may not be sent before this
    return true;
  }
  first.lease.reset();
  return is_worth_another_slot(sent.error()) || end_with(std::move(sent).error());
}

AsyncCalls::CallPtr AsyncCalls::take_first() {
  CallPtr call;
  {
    const std::lock_guard lock(mutex_);
    call = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= call->copy.data().size();
  }
  call->copy = {};  // sent, or never to be
  return call;
}

void AsyncCalls::end_call(CallPtr call, Result<ReplyView> ended) {
  Result<Reply> reply = ended ? reply_of(*call, *ended) : Result<Reply>(std::move(ended).error());
  call->stirs.reset();
  if (call->admitted) {
    core_.breaker()->report(
        call->method_id, *call->admitted,
        reply ? CircuitBreaker::Verdict::kSuccess : CircuitBreaker::verdict_of(reply.error()),
        shm::monotonic_now());
  }
  if (!reply) core_.count_error(call->method, {}, reply.error(), call->started);
  under_way_.fetch_sub(1, std::memory_order_seq_cst);
  OnReply on_reply = std::move(call->on_reply);
  call.reset();
  on_reply(std::move(reply));
}

Result<Reply> AsyncCalls::reply_of(Call& call, const ReplyView& view) {
  Reply reply(*std::move(call.lease), view);
  call.lease.reset();
  if (call.placement == Placement::kCopied) return std::move(reply).copied();
  reply.keeps_ = core_.weak_from_this().lock();
  return reply;
}

MonotonicNs AsyncCalls::choose_wake() const {
  if (idle_ && under_way_.load(std::memory_order_seq_cst) == 0) return kForever;
  return std::min(next_check_, next_deadline_.load(std::memory_order_seq_cst));
}

void AsyncCalls::sleep() {
  MonotonicNs until = 0;
  // Said first, then looked at again: see wake_if_asleep_until_after().
  do {
    until = choose_wake();
    sleeps_until_.store(until, std::memory_order_seq_cst);
  } while (choose_wake() < until);
  const MonotonicNs deadline = until == kForever ? shm::kNever : until;
  waiting_.wait([this] { return bell_.rung(); },
                [&] {
                  if (!bell_.try_sleep()) return;
                  shm::futex_wait(shm::futex_half(core_.bell()), OwnerBell::kSleeps, deadline);
                },
                deadline);
  sleeps_until_.store(0, std::memory_order_seq_cst);
  // It was not to look by itself so far.
  if (until == kForever) next_check_ = shm::monotonic_now() + shm::kSelfCheckNs;
}

}  // namespace slotring::internal
