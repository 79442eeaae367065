// A client's asynchronous calls, and the one thread that looks after them.
//
// Callers' threads only begin calls: they claim, write and send, and put the call where its slot
// finds it; or into the queue, where no slot is free. Only the waiting thread ends calls, whatever
// ends them (a reply, a deadline, a stop, a death, the client's end): so each ends once.
//
// The thread sleeps on the client's bell (shm/owner_bell.h) and on nothing else. It is rung for
// replies, for a slot where it stands in line for the queue, and by callers: a stop, a call that
// ends earlier than the thread would wake by itself. What makes that safe, all seq_cst: who begins
// a call puts it in place and then looks whether its reply has come; a worker replies and then
// rings; the thread takes the ring and then looks into the place. And who changes what the thread's
// sleep depends on then looks for how long it sleeps; the thread says that first, and looks then.

#ifndef SLOTRING_CLIENT_LIB_ASYNC_CALLS_H_
#define SLOTRING_CLIENT_LIB_ASYNC_CALLS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "client_lib/async_queue.h"
#include "client_lib/client_core.h"
#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/owner_bell.h"
#include "slotring/async.h"
#include "slotring/client.h"

namespace slotring::internal {

class AsyncCalls {
 public:
  // `core` outlives this. Throws std::system_error when there is no thread to be had.
  explicit AsyncCalls(ClientCore& core);
  // REQUIRES: end() was called.
  ~AsyncCalls() = default;

  using Placement = AsyncCall::Placement;
  // Begins a call; on_reply is called by the waiting thread, whatever becomes of it.
  void begin(std::string_view method, Payload payload, const CallOptions& options,
             Placement placement, OnReply on_reply);

  // Ends every call with CANCELLED, and the thread. Not from a callback; once.
  void end();

  // Has the thread look at all calls: one of them may have been stopped. Any thread.
  void look_at_all();

 private:
  using Call = AsyncCall;
  using CallPtr = AsyncCallPtr;
  static constexpr shm::MonotonicNs kForever = ~shm::MonotonicNs{0};

  // By any thread.
  std::optional<Error> refusal_of(const CallOptions& options, Call& call);
  bool try_send_at_once(CallPtr& call, Payload payload);
  Status try_send(Call& call, Payload payload);
  void put_in_place(CallPtr call);
  void enqueue(CallPtr call, Payload payload);
  Status copy_payload(Call& call, Payload payload);
  void refuse(CallPtr call, Error error);
  ClaimTerms terms_of(const Call& call) const;
  void note_deadline(const Call& call);
  void wake_if_asleep_until_after(shm::MonotonicNs deadline);
  void ring(std::uint32_t bits, bool wake_anyway = false);

  // By the waiting thread.
  void run();
  bool look_around();
  void look_at(shm::SlotIndex slot, ClientCore::Look look);
  void look_at_bits(std::uint32_t bits, ClientCore::Look look);
  void end_refused();
  void end_with_refusal(CallPtr call);
  void end_given_up_in_queue();
  void serve_queue(bool look_anyway);
  // False when there is nothing to be had for now.
  bool serve_first(Call& first, const Status& served, bool look_anyway);
  void end_call(CallPtr call, Result<ReplyView> reply);
  Result<Reply> reply_of(Call& call, const ReplyView& view);
  void sleep();
  shm::MonotonicNs choose_wake() const;

  ClientCore& core_;
  shm::OwnerBell bell_;
  std::uint32_t slots_;
  // By slot: the call that is sent there. Who holds the slot's lease puts it there; the thread
  // takes it out before it ends it.
  std::unique_ptr<std::atomic<Call*>[]> sent_;

  AsyncQueue queue_;
  std::mutex mutex_;  // guards the next
  std::vector<CallPtr> refused_;

  std::atomic<std::size_t> under_way_{0};  // calls that have not ended
  std::atomic<bool> look_at_all_{false};   // a stop was requested
  std::atomic<bool> ending_{false};
  std::atomic<shm::MonotonicNs> next_deadline_{kForever};  // not after any call's
  std::atomic<shm::MonotonicNs> sleeps_until_{0};          // 0: it is awake

  // The waiting thread's own.
  std::optional<shm::WaiterIndex> place_;
  shm::MonotonicNs next_check_ = 0;
  bool idle_ = false;  // nothing was under way at the last look by itself
  shm::AdaptiveWait waiting_;
  std::thread thread_;
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_ASYNC_CALLS_H_
