#include "client_lib/circuit_breaker.h"

#include <algorithm>
#include <limits>
#include <string>

namespace slotring::internal {

namespace {

// A word says all that there is to say: nothing else is read because of it.
constexpr auto kRelaxed = std::memory_order_relaxed;

Error circuit_open(std::string_view method, const std::string& when) {
  return Error{.code = ErrorCode::kCircuitOpen,
               .message = "the method '" + std::string(method) +
                          "' kept failing, and is not called now; " + when,
               .retryable = true};
}

}  // namespace

CircuitBreaker::CircuitBreaker(const BreakerOptions& options, shm::MonotonicNs now)
    : failures_(static_cast<std::uint16_t>(std::clamp<std::uint32_t>(
          options.failures, 1, std::numeric_limits<std::uint16_t>::max()))),
      cool_down_us_(
          static_cast<std::uint64_t>(std::max<std::int64_t>(options.cool_down.count(), 0)) / 1000),
      born_ns_(now) {}

Result<CircuitBreaker::Ticket> CircuitBreaker::admit(std::uint16_t method, std::string_view name,
                                                     shm::MonotonicNs now) {
  if (method == 0 || method >= words_.size()) return Ticket::kOrdinary;
  std::uint64_t seen = words_[method].load(kRelaxed);
  for (;;) {
    Word word = Word::unpack(seen);
    if (word.state == BreakerState::kClosed) return Ticket::kOrdinary;
    if (word.state == BreakerState::kProbing) {
      return circuit_open(name, "one call is finding out whether it works again");
    }
    if (const std::uint64_t left = us_left(word, now); left > 0) {
      return circuit_open(name,
                          "the next attempt is in " + std::to_string((left + 999) / 1000) + " ms");
    }
    word.state = BreakerState::kProbing;
    if (words_[method].compare_exchange_weak(seen, word.pack(), kRelaxed)) return Ticket::kProbe;
  }
}

void CircuitBreaker::report(std::uint16_t method, Ticket ticket, Verdict verdict,
                            shm::MonotonicNs now) {
  if (method == 0 || method >= words_.size()) return;
  std::uint64_t seen = words_[method].load(kRelaxed);
  for (;;) {
    const std::optional<Word> next = after(Word::unpack(seen), ticket, verdict, now);
    // Nothing is written while all is well: the word stays shared between the callers' cores.
    if (!next || next->pack() == seen) return;
    if (words_[method].compare_exchange_weak(seen, next->pack(), kRelaxed)) return;
  }
}

// What a report makes of a breaker; nothing where it is no longer about this state.
std::optional<CircuitBreaker::Word> CircuitBreaker::after(const Word& seen, Ticket ticket,
                                                          Verdict verdict,
                                                          shm::MonotonicNs now) const {
  const Word opened{BreakerState::kOpen, failures_, us(now)};
  if (ticket == Ticket::kProbe) {
    if (verdict == Verdict::kSuccess) return Word{};
    if (verdict == Verdict::kFailure) return opened;
    return Word{BreakerState::kOpen, failures_, seen.opened_us};  // the next call probes
  }
  if (seen.state != BreakerState::kClosed || verdict == Verdict::kNeither) return std::nullopt;
  if (verdict == Verdict::kSuccess) return Word{};
  const auto failures = static_cast<std::uint16_t>(seen.failures + 1);
  return failures >= failures_ ? opened : Word{BreakerState::kClosed, failures, 0};
}

BreakerStatus CircuitBreaker::status(std::uint16_t method, shm::MonotonicNs now) const {
  if (method == 0 || method >= words_.size()) return {};
  const Word word = Word::unpack(words_[method].load(kRelaxed));
  BreakerStatus status{word.state, word.failures, {}};
  if (word.state == BreakerState::kOpen) {
    status.probe_in = std::chrono::microseconds(us_left(word, now));
  }
  return status;
}

CircuitBreaker::Verdict CircuitBreaker::verdict_of(const Error& error) {
  if (error.code == ErrorCode::kCancelled) return Verdict::kNeither;
  switch (error.category()) {
    case ErrorCategory::kHandler:
    case ErrorCategory::kProgram:
    case ErrorCategory::kWorker:
    case ErrorCategory::kTimeout:
    case ErrorCategory::kInternal:
      return Verdict::kFailure;
    default:
      return Verdict::kNeither;
  }
}

std::uint64_t CircuitBreaker::us_left(const Word& word, shm::MonotonicNs now) const {
  const std::uint64_t end_us = word.opened_us + cool_down_us_;
  return end_us > us(now) ? end_us - us(now) : 0;
}

}  // namespace slotring::internal
