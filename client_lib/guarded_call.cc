// A call with a circuit breaker before it, or with retries after it.

#include <utility>

#include "client_lib/client_core.h"
#include "client_lib/retry.h"
#include "slotring/client.h"

namespace slotring {

using internal::CircuitBreaker;
using internal::ClientCore;
using std::chrono::nanoseconds;

namespace {

// A call that a breaker has let through; it always learns of its end, or a probe would keep it
// shut.
class Admission {
 public:
  Admission(CircuitBreaker* breaker, std::uint16_t method, CircuitBreaker::Ticket ticket)
      : breaker_(breaker), method_(method), ticket_(ticket) {}
  ~Admission() {
    if (breaker_ != nullptr) breaker_->report(method_, ticket_, verdict_, shm::monotonic_now());
  }
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  void ended(const Result<Reply>& reply) {
    verdict_ =
        reply ? CircuitBreaker::Verdict::kSuccess : CircuitBreaker::verdict_of(reply.error());
  }

 private:
  CircuitBreaker* breaker_;
  std::uint16_t method_;
  CircuitBreaker::Ticket ticket_;
  CircuitBreaker::Verdict verdict_ = CircuitBreaker::Verdict::kNeither;
};

nanoseconds left_until(shm::MonotonicNs deadline) {
  if (deadline == shm::kNever) return kNoTimeout;
  const shm::MonotonicNs now = shm::monotonic_now();
  return nanoseconds(static_cast<std::int64_t>(now < deadline ? deadline - now : 0));
}

}  // namespace

Result<Reply> Client::call_admitted(ClientCore& core, std::string_view method, Payload payload,
                                    const CallOptions& options) {
  CircuitBreaker* breaker = core.breaker();
  if (breaker == nullptr) return call_once(core, method, payload, options);
  const std::uint16_t id = core.method_id(method);
  const shm::MonotonicNs started = shm::monotonic_now();
  const Result<CircuitBreaker::Ticket> ticket = breaker->admit(id, method, started);
  if (!ticket) {
    core.count_error(method, options.session, ticket.error(), started);
    return ticket.error();
  }
  Admission admission(breaker, id, *ticket);
  Result<Reply> reply = call_once(core, method, payload, options);
  admission.ended(reply);
  return reply;
}

Result<Reply> Client::call_guarded(ClientCore& core, std::string_view method, Payload payload,
                                   const CallOptions& options) {
  if (!options.idempotent || !options.retry) return call_admitted(core, method, payload, options);
  const shm::MonotonicNs deadline = internal::deadline_after(options.timeout);
  internal::RetrySchedule schedule(*options.retry, internal::random_up_to);
  CallOptions attempt = options;
  for (;;) {
    Result<Reply> reply = call_admitted(core, method, payload, attempt);
    if (reply) return reply;
    const std::optional<nanoseconds> delay = schedule.next(reply.error(), left_until(deadline));
    if (!delay) return reply;
    if (!internal::sleep_unless_stopped(*delay, options.stop)) {
      return Error{ErrorCode::kCancelled,
                   "cancelled before the call was sent again, which had "
                   "ended with " +
                       reply.error().to_string()};
    }
    attempt.timeout = left_until(deadline);
  }
}

BreakerStatus Client::breaker_state(std::string_view method) const {
  const CircuitBreaker* breaker = core_->breaker();
  if (breaker == nullptr) return {};
  return breaker->status(core_->method_id(method), shm::monotonic_now());
}

}  // namespace slotring
