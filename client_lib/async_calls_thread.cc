// The waiting thread of a client's asynchronous calls.

#include <algorithm>
#include <bit>
#include <utility>

#include "client_lib/async_calls.h"

namespace slotring::internal {

using shm::MonotonicNs;
using shm::OwnerBell;

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
  for (CallPtr& call : refused) end_with_refusal(std::move(call));
}

void AsyncCalls::end_with_refusal(CallPtr call) {
  Error error = *std::move(call->refusal);
  end_call(std::move(call), std::move(error));
}

void AsyncCalls::end_given_up_in_queue() {
  const bool ending = ending_.load(std::memory_order_relaxed);
  const auto check = [&](const Call& call) -> Status {
    Status wanted = shm::check_still_wanted(call.deadline, call.stop);
    if (!wanted) return wanted;
    if (ending) {
      return Error{.code = ErrorCode::kCancelled,
                   .message = "the client was destroyed before a slot was free",
                   .retryable = true};
    }
    note_deadline(call);
    return Done{};
  };
  for (CallPtr& call : queue_.take_given_up(check)) {
    queue_.overtake_taken();
    end_with_refusal(std::move(call));
  }
}

void AsyncCalls::serve_queue(bool look_anyway) {
  const Status served = look_anyway && place_ ? core_.check_line() : Status(Done{});
  // Not more than there are now: replies must have their turn.
  for (std::size_t most = queue_.waiting(); most > 0; --most) {
    Call* first = queue_.first();
    if (first == nullptr) break;
    if (!serve_first(*first, served, look_anyway)) return;
    look_anyway = true;  // there may be more
  }
  if (queue_.waiting() != 0) {
    ring(OwnerBell::kAttention);
  } else {
    core_.leave_line(place_);
  }
}

bool AsyncCalls::serve_first(Call& first, const Status& served, bool look_anyway) {
  const auto end_with = [this](Error error) {
    CallPtr call = queue_.take_first();
    queue_.overtake_taken();
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
    put_in_place(queue_.take_first());
    queue_.overtake_taken();  // others may not be sent before this
    return true;
  }
  first.lease.reset();
  return is_worth_another_slot(sent.error()) || end_with(std::move(sent).error());
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
