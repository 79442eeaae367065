// A client's circuit breakers, one a method; see slotring/breaker.h for what they do.
//
// Thread-safe and lock-free: a breaker is one word of this process, moved by compare-and-swap. A
// call asks admit() first and tells report() how it ended, with the ticket that it got; what a call
// reports that was admitted before the breaker opened changes nothing. Time is an argument.

#ifndef SLOTRING_CLIENT_LIB_CIRCUIT_BREAKER_H_
#define SLOTRING_CLIENT_LIB_CIRCUIT_BREAKER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>

#include "client_lib/shm/futex.h"
#include "schemas/control_layout.h"
#include "slotring/breaker.h"
#include "slotring/result.h"

namespace slotring::internal {

class CircuitBreaker {
 public:
  enum class Ticket : std::uint8_t { kOrdinary, kProbe };
  enum class Verdict : std::uint8_t { kSuccess, kFailure, kNeither };

  explicit CircuitBreaker(const BreakerOptions& options, shm::MonotonicNs now);

  // Methods have ids (method_table.h); 0, of names that no worker has announced, is always
  // admitted. Errors: CIRCUIT_OPEN, retryable; it gives the method's `name`.
  Result<Ticket> admit(std::uint16_t method, std::string_view name, shm::MonotonicNs now);
  void report(std::uint16_t method, Ticket ticket, Verdict verdict, shm::MonotonicNs now);
  BreakerStatus status(std::uint16_t method, shm::MonotonicNs now) const;

  static Verdict verdict_of(const Error& error);

 private:
  // {opened at, in us since born_ns_:46 | failures:16 | state:2}
  struct Word {
    BreakerState state = BreakerState::kClosed;
    std::uint16_t failures = 0;
    std::uint64_t opened_us = 0;

    static Word unpack(std::uint64_t word) {
      return {static_cast<BreakerState>(word & 3), static_cast<std::uint16_t>(word >> 2),
              word >> 18};
    }
    std::uint64_t pack() const {
      return opened_us << 18 | std::uint64_t{failures} << 2 | static_cast<std::uint64_t>(state);
    }
  };

  std::uint64_t us(shm::MonotonicNs now) const { return (now - born_ns_) / 1000; }
  // How long until a probe is let through.
  std::uint64_t us_left(const Word& word, shm::MonotonicNs now) const;
  std::optional<Word> after(const Word& seen, Ticket ticket, Verdict verdict,
                            shm::MonotonicNs now) const;

  std::uint16_t failures_;
  std::uint64_t cool_down_us_;
  shm::MonotonicNs born_ns_;
  std::array<std::atomic<std::uint64_t>, layout::kMaxMethods + 1> words_{};
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_CIRCUIT_BREAKER_H_
