// Asynchronous calls, and those of them that wait for a slot, with copies of their payloads.

#ifndef SLOTRING_CLIENT_LIB_ASYNC_QUEUE_H_
#define SLOTRING_CLIENT_LIB_ASYNC_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/circuit_breaker.h"
#include "client_lib/shm/futex.h"
#include "slotring/async.h"
#include "slotring/client.h"
#include "slotring/lease.h"

namespace slotring::internal {

class AsyncCalls;

struct AsyncCall {
  // Where the reply is to be when it is handed over.
  enum class Placement { kInSlot, kCopied };
  // Rings for a stop; made and destroyed while the bell is there.
  struct Stir {
    AsyncCalls* calls;
    void operator()() const;
  };

  AsyncCall(std::string_view method, const CallOptions& options, Placement placement,
            OnReply on_reply);

  std::string method;
  shm::MonotonicNs started;
  shm::MonotonicNs deadline;
  std::stop_token stop;
  Placement placement;
  OnReply on_reply;
  std::uint16_t method_id = 0;
  std::optional<CircuitBreaker::Ticket> admitted;  // by the breaker
  OwnedPayload copy;                               // of its payload, while it is queued
  std::optional<Lease> lease;
  std::optional<Error> refusal;  // how it ended before it was sent
  std::optional<std::stop_callback<Stir>> stirs;
};
using AsyncCallPtr = std::unique_ptr<AsyncCall>;

// In the order in which they came, up to kMaxQueuedCalls and kMaxQueuedBytes. Any thread puts calls
// in, one takes them out.
class AsyncQueue {
 public:
  // Errors: POOL_SATURATED. Others may come before this call is put in, and go a little over.
  Status check_room(std::uint64_t bytes);
  // REQUIRES: it has the copy of its payload. True when it is the first.
  bool put(AsyncCallPtr call);

  // How many calls there are that later ones must not overtake. Those that were taken count until
  // overtake_taken().
  std::size_t waiting() const { return waiting_.load(std::memory_order_seq_cst); }

  // These are for the one thread that takes.
  AsyncCall* first();
  // REQUIRES: there is a first. Without the copy of its payload.
  AsyncCallPtr take_first();
  // Takes those of which `check` returns an error, which becomes their refusal.
  std::vector<AsyncCallPtr> take_given_up(const std::function<Status(const AsyncCall&)>& check);
  // One that was taken has been sent, or ends.
  void overtake_taken() { waiting_.fetch_sub(1, std::memory_order_seq_cst); }

 private:
  std::mutex mutex_;  // guards the next two
  std::deque<AsyncCallPtr> calls_;
  std::size_t bytes_ = 0;
  std::atomic<std::size_t> waiting_{0};
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_ASYNC_QUEUE_H_
