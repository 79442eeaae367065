#include "client_lib/async_calls.h"

#include <new>
#include <string>
#include <utility>

namespace slotring::internal {

using shm::MonotonicNs;
using shm::OwnerBell;

AsyncCalls::AsyncCalls(ClientCore& core)
    : core_(core),
      bell_(core.bell()),
      slots_(core.segment().geometry().slots()),
      sent_(std::make_unique<std::atomic<Call*>[]>(slots_)),
      next_check_(shm::monotonic_now() + shm::kSelfCheckNs),
      waiting_(core.wait_budget()),
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

void AsyncCall::Stir::operator()() const { calls->look_at_all(); }

void AsyncCalls::begin(std::string_view method, Payload payload, const CallOptions& options,
                       Placement placement, OnReply on_reply) {
  auto call = std::make_unique<Call>(method, options, placement, std::move(on_reply));
  if (std::optional<Error> refusal = refusal_of(options, *call)) {
    return refuse(std::move(call), *std::move(refusal));
  }
  // Before the call is sent or queued, and may end.
  if (call->stop.stop_possible()) call->stirs.emplace(call->stop, Call::Stir{this});
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
    if (queue_.waiting() != 0) return false;
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
  if (Status copied = copy_payload(*call, payload); !copied) {
    return refuse(std::move(call), std::move(copied).error());
  }
  note_deadline(*call);
  const MonotonicNs deadline = call->deadline;
  const std::stop_token stop = call->stop;
  // Before the thread may end it.
  under_way_.fetch_add(1, std::memory_order_seq_cst);
  // The thread stands in line for the first, and tries again when it has been served.
  if (queue_.put(std::move(call))) ring(OwnerBell::kAttention);
  if (stop.stop_requested()) look_at_all();
  wake_if_asleep_until_after(deadline);
}

// Errors: PAYLOAD_TOO_LARGE, INVALID_ARGUMENT, POOL_SATURATED, OUT_OF_MEMORY.
Status AsyncCalls::copy_payload(Call& call, Payload payload) {
  const Result<std::uint64_t> bytes = TensorRequest::bytes_of(payload);
  if (!bytes) return bytes.error();
  if (*bytes > core_.request_area_bytes()) {
    return Error{ErrorCode::kPayloadTooLarge,
                 "a payload of " + std::to_string(*bytes) +
                     " bytes does not fit: a slot of this pool takes less than " +
                     std::to_string(core_.request_area_bytes()) +
                     " (slot_bytes in its configuration)"};
  }
  if (Status room = queue_.check_room(*bytes); !room) return room;
  try {
    call.copy = OwnedPayload(payload);
  } catch (const std::bad_alloc&) {
    return Error{.code = ErrorCode::kOutOfMemory,
                 .message = "no memory for the payload of a call that waits for a slot",
                 .retryable = true};
  }
  return Done{};
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

}  // namespace slotring::internal
