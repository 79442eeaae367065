// What all threads of all clients did, in memory that outlives them: calls begun, and what became
// of each.
//
// A thread makes one call after the other: it counts the call as begun, calls, and counts its
// outcome. So whoever is killed leaves at most one call without outcome, and who lives none.

#ifndef SLOTRING_TESTS_CHAOS_LEDGER_H_
#define SLOTRING_TESTS_CHAOS_LEDGER_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace slotring::chaos {

enum Outcome : std::size_t {
  kReply,
  kRaised,
  kWorkerLost,
  kDeadlineExceeded,
  kCancelled,
  kSaturated,
  kNotAttached,  // the pool was made anew, since all its workers died while it had no supervisor
  kWorkerUnavailable,  // the same, seen before there was a new one
  kGivenUp,            // by the caller, who let go of the lease
  kOutcomes,
};
inline constexpr std::array<std::string_view, kOutcomes> kOutcomeNames = {
    "reply",          "HANDLER_RAISED", "WORKER_LOST",        "DEADLINE_EXCEEDED",  "CANCELLED",
    "POOL_SATURATED", "NOT_ATTACHED",   "WORKER_UNAVAILABLE", "given up by caller",
};

struct ThreadLedger {
  std::atomic<std::uint64_t> begun;
  std::array<std::atomic<std::uint64_t>, kOutcomes> outcomes;
  std::atomic<std::uint64_t> wrong;       // replies that are not to the request, or second ones
  std::atomic<std::uint64_t> unexpected;  // errors that nothing here explains
  std::atomic<std::uint64_t> hung;        // calls that came back much too late
  std::atomic<std::uint64_t> held;        // claims that were held and dropped; no calls
  std::atomic<std::uint64_t> latest_ns;   // the longest that a call came back after its deadline

  std::uint64_t ended() const {
    std::uint64_t sum = unexpected.load();
    for (const auto& count : outcomes) sum += count.load();
    return sum;
  }
};

inline constexpr std::size_t kThreadsPerClient = 4;
inline constexpr std::size_t kMaxLives = 8192;  // of clients, one after the other

struct ClientLife {
  std::array<ThreadLedger, kThreadsPerClient> threads;
};

struct Ledger {
  std::atomic<bool> stop;  // clients end after the call at hand
  std::atomic<bool> complained;
  std::array<char, 400> first_complaint;  // of an unexpected error or a wrong reply
  std::array<ClientLife, kMaxLives> lives;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace slotring::chaos

#endif  // SLOTRING_TESTS_CHAOS_LEDGER_H_
