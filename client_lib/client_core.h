// What a Client and its leases share: the attachment, and the steps of a call.
//
// Thread-safe. Per-slot state (writer, reader, what was learned about waiting) needs no lock: it is
// touched only by the thread whose lease holds the slot, and the slot word hands it from one to the
// next.

#ifndef SLOTRING_CLIENT_LIB_CLIENT_CORE_H_
#define SLOTRING_CLIENT_LIB_CLIENT_CORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/call_statistics.h"
#include "client_lib/circuit_breaker.h"
#include "client_lib/fork_guard.h"
#include "client_lib/method_table.h"
#include "client_lib/session_router.h"
#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/attachment.h"
#include "client_lib/shm/call_lanes.h"
#include "client_lib/shm/frame.h"
#include "client_lib/shm/slot_pool.h"
#include "client_lib/supervisor_contact.h"
#include "client_lib/tensor_request.h"
#include "client_lib/tool_desk.h"
#include "client_lib/word_turn.h"
#include "slotring/lease.h"
#include "slotring/result.h"

namespace slotring::internal {

// What a claim is for.
struct ClaimTerms {
  shm::MonotonicNs started = 0;  // when its call began
  shm::MonotonicNs deadline = shm::kNever;
  std::string_view session = {};  // empty for none
  SessionMode session_mode = SessionMode::kPoolDefault;
  // False where the caller counts the call's errors itself, by count_error().
  bool errors_count = true;
};

class AsyncCalls;

// Held by a shared_ptr where Replies may outlive the Client (client.h).
class ClientCore : public std::enable_shared_from_this<ClientCore> {
 public:
  // `socket_path` is where later supervisors of the pool are looked for. Without `waiting`, as the
  // pool says.
  ClientCore(shm::UniqueFd socket, shm::Attachment joined, std::string socket_path = {},
             std::optional<layout::WaitingMode> waiting = {});
  ~ClientCore();

  const std::string& pool_name() const { return joined_.pool; }
  const shm::ControlSegment& segment() const { return *joined_.segment; }
  // FORKED when this is a child of the process that attached, SYSTEM_LIMIT when that could not be
  // told.
  Status check_process() const;
  // Whether it has no error.
  bool is_own_process() const { return guard_.valid() && !guard_.in_child(); }

  // The lease keeps `stop`, as it keeps the deadline. A claim that fails is not counted here.
  Result<Lease> claim(const ClaimTerms& terms, const std::stop_token& stop = {});
  Result<Lease> claim(shm::MonotonicNs deadline, const std::stop_token& stop = {});
  // The same, of this seat and no other; waits for it. Errors besides: those of
  // SlotPool::claim_on().
  Result<Lease> claim_on(shm::SeatIndex seat, shm::MonotonicNs deadline,
                         const std::stop_token& stop = {});
  Result<std::span<std::byte>> request(Lease& lease, std::size_t bytes);
  // `parts`: what the payload consists of, where its kind alone does not say it.
  Status submit(Lease& lease, std::string_view method, PayloadKind kind, std::size_t bytes,
                const shm::RareHead& parts = {});
  Result<MutableTensor> empty(Lease& lease, DType dtype, const Shape& shape, std::string_view name);
  Status put_value(Lease& lease, std::span<const std::byte> value);
  Status submit_tensors(Lease& lease, std::string_view method);
  Result<ReplyView> wait(Lease& lease);
  void release(Lease& lease);

  // Lanes (schemas/area_layout.h). The caller of a claimed lease says before submit() that it
  // attends to a stream, and how large the windows may be.
  void attend_to_stream(const Lease& lease, std::uint8_t flags, std::uint64_t window_bytes);
  // Of a submitted call that attends to something.
  shm::CallLanes& lanes(const Lease& lease) { return *sides_[lease.slot_].lanes; }
  // Null: the call's client has no tools.
  ToolDesk* desk(const Lease& lease) {
    return sides_[lease.slot_].tools == nullptr ? nullptr : sides_[lease.slot_].desk.get();
  }
  // Wakes the worker, if it waits for the caller. After each commit to, or release of, a lane.
  void tell_worker(const Lease& lease) const;
  // kReady: what the caller waited for is there. kReplied: the call has ended, and it is not.
  // kGivenUp: at the deadline, or by a stop. kUnserved: nobody is left who would reply. kBroken:
  // the worker broke the rules, and ToolDesk::error() says how.
  enum class WaitEnd { kReady, kReplied, kGivenUp, kUnserved, kBroken };
  // Waits until `ready`, which looks at the call's lanes. Threads that wait for the same call have
  // a `waiting` each.
  WaitEnd await_lanes(const Lease& lease, shm::AdaptiveWait& waiting, shm::MonotonicNs deadline,
                      const std::function<bool()>& ready);
  // Ends such waits in other threads, which then look again.
  void wake_caller(const Lease& lease) const;
  // How a submitted call ended, whose wait ended otherwise than kReady: the second half of wait().
  Result<ReplyView> end_wait(Lease& lease, WaitEnd end);
  // From now on the lease counts the errors of its call.
  void count_errors_of(const Lease& lease) { sides_[lease.slot_].mark.errors_count = true; }
  // Ends a submitted call whose outcome nobody needs; counts it as this.
  void end_unread(Lease& lease, ErrorCategory outcome);
  // Whether the call of a submitted lease has not ended.
  bool is_under_way(const Lease& lease) const {
    return awaits_reply(lease, shm::load_slot(pool_.word(lease.slot_)));
  }
  // Why a call that was waited for is given up, that a worker had started.
  Error given_up_error(const Lease& lease) const {
    return given_up_error(lease, shm::SlotState::kRunning);
  }
  static shm::MonotonicNs deadline_of(const Lease& lease) { return lease.deadline_ns_; }
  static std::uint32_t generation_of(const Lease& lease) { return lease.generation_; }
  static bool stop_requested(const Lease& lease) { return lease.stop_.stop_requested(); }
  // Whether its caller is not to wait any longer.
  static bool is_given_up(const Lease& lease) {
    return stop_requested(lease) || shm::has_passed(lease.deadline_ns_);
  }

  // Tools. Calls that are submitted later answer to it. Errors: those of Client::add_tool().
  Status add_tool(std::string_view name, Tool tool);
  bool has_tools() const { return tools_.load(std::memory_order_relaxed) != nullptr; }
  void count_nested(std::string_view method, ErrorCategory outcome, shm::MonotonicNs started) {
    count(CallStatistics::row_of(method_id(method)), {}, outcome, started);
  }

  // For calls that no thread sleeps for (async_calls.h), all of which never block.
  // Claims; nothing when no slot is free, or others wait already. Errors: FORKED, NOT_ATTACHED,
  // CANCELLED.
  Result<std::optional<Lease>> try_claim(const ClaimTerms& terms, const std::stop_token& stop);
  // The same standing in line, see SlotPool::try_claim_in_line(), which has the other errors.
  Result<std::optional<Lease>> try_claim_in_line(const ClaimTerms& terms,
                                                 const std::stop_token& stop,
                                                 std::optional<shm::WaiterIndex>& place,
                                                 bool look_anyway);
  void leave_line(std::optional<shm::WaiterIndex>& place) { pool_.leave_line(owner_, place); }
  // Of one that stands there for long: whether somebody is left who would serve it.
  Status check_line();
  // The bell is rung when the lease's call is REPLIED. Before submit().
  void have_owner_rung(Lease& lease) const { lease.submit_flags_ = layout::kFlagRingOwner; }
  // What wait() returns, if it would not block. kAlone: this is no answer to a ring, the caller
  // looks by itself. kEnd: ends the call, as a stop does, unless its reply is there.
  enum class Look { kRung, kAlone, kEnd };
  std::optional<Result<ReplyView>> try_wait(Lease& lease, Look look);
  static shm::SlotIndex slot_of(const Lease& lease) { return lease.slot_; }
  bool is_replied(shm::SlotIndex slot) const {
    const shm::SlotWord seen = shm::load_slot(pool_.word(slot));
    return seen.owner == owner_ && seen.state == shm::SlotState::kReplied;
  }
  // How its waits may wait.
  const shm::WaitBudget& wait_budget() const { return wait_budget_; }
  std::atomic<std::uint32_t>& bell() const { return segment().client(owner_).bell; }
  std::uint64_t request_area_bytes() const { return joined_.requests->area_bytes(); }

  // Made, with its thread, by the first call of this. Errors: FORKED, SYSTEM_LIMIT.
  Result<AsyncCalls*> async();
  // Ends all asynchronous calls, and the thread. REQUIRES: nobody calls async() any more.
  void end_async();

  // See SupervisorContact::broadcast().
  Result<std::uint32_t> broadcast(const shm::Setting& setting, shm::MonotonicNs deadline) {
    return supervisor_.broadcast(setting, deadline);
  }
  // Before the first call. Null from breaker(): there is none.
  void set_breaker(const BreakerOptions& options) {
    breaker_ = std::make_unique<CircuitBreaker>(options, shm::monotonic_now());
  }
  CircuitBreaker* breaker() const { return breaker_.get(); }
  // 0 for a name that no worker has announced.
  std::uint16_t method_id(std::string_view method) {
    return methods_.find(method, *joined_.segment);
  }

  const SessionRouter& router() const { return router_; }
  // Takes the record of a session away of which there is nothing else.
  void drop_session(std::string_view name);

  // Counts a call that ended with `error`, which a lease of it has not counted. An empty method or
  // session: it had none.
  void count_error(std::string_view method, std::string_view session, const Error& error,
                   shm::MonotonicNs started);

 private:
  // How the call of a lease is counted.
  struct CallMark {
    shm::MonotonicNs started = 0;
    std::uint16_t row = 0;
    bool errors_count = true;
    SessionRef session = {};
  };
  // This client's side of one slot.
  struct SlotSide {
    SlotSide(const shm::Attachment& joined, shm::SlotIndex slot, const shm::WaitBudget& budget)
        : writer(*joined.requests, slot), reader(*joined.replies), waiting(budget) {}
    shm::FrameWriter writer;
    shm::FrameReader reader;
    TensorRequest tensors;              // made in place so far
    std::vector<Tensor> reply_tensors;  // of the reply that the lease has
    shm::AdaptiveWait waiting;
    std::string session;  // of the lease; empty for none
    CallMark mark;
    std::uint8_t attends = 0;               // wire::FrameFlags of the lease's call
    std::uint64_t window_bytes = 0;         // of those lanes
    const ToolTable* tools = nullptr;       // that the call answers to
    std::unique_ptr<shm::CallLanes> lanes;  // from its first call that attends to some
    std::unique_ptr<ToolDesk> desk;
    std::unique_ptr<WordTurn> turn;
  };

  // What every claim begins with.
  Status prepare_to_claim(const std::stop_token& stop);
  // Of one that may take any slot.
  Result<shm::Claim> claim_anywhere(const ClaimTerms& terms, const std::stop_token& stop);
  Result<Lease> claim_in_session(const ClaimTerms& terms, const std::stop_token& stop);
  // Whether a caller that waits for this seat, and no other, will have a worker.
  Status check_served_by(shm::SeatIndex seat);
  // This thread's: the next claim goes to another.
  static void forget_last_slot();
  Lease lease_of(const shm::Claim& claim, const ClaimTerms& terms, const std::stop_token& stop);
  Status send(Lease& lease);
  // Of the calling thread.
  static void note_call(std::uint64_t ns, shm::MonotonicNs now);
  static bool cpu_is_crowded();
  void count_lease(const CallMark& mark, ErrorCategory outcome);
  void count(std::uint16_t row, const SessionRef& session, ErrorCategory outcome,
             shm::MonotonicNs started);
  shm::SlotWord word_of(const Lease& lease, shm::SlotState state) const {
    return {lease.generation_, owner_, state, lease.flags_};
  }
  // A slot and its generation name one call of the pool; 0 names none.
  static std::uint64_t call_id_of(const Lease& lease) {
    return (std::uint64_t{lease.slot_} + 1) << 32 | lease.generation_;
  }
  // The lease's word is not what it left there: it holds nothing any more.
  Error lose(Lease& lease, const char* what);
  // After the supervisor has looked for scribbled words, looks for those that name this client.
  void check_own_places();
  // Whether the word is still this lease's call, on its way to a reply.
  bool awaits_reply(const Lease& lease, const shm::SlotWord& seen) const;
  template <class Ready>
  WaitEnd await(const Lease& lease, shm::AdaptiveWait& waiting, shm::MonotonicNs deadline,
                const Ready& ready);
  WaitEnd await_reply(const Lease& lease);
  WaitEnd await_reply_and_tools(const Lease& lease);
  bool check_by_itself(const Lease& lease);
  template <class Ready>
  void sleep_until(const Lease& lease, shm::MonotonicNs until, const Ready& ready) const;
  template <class Over>
  void sleep_on_word(const Lease& lease, shm::MonotonicNs until, const Over& over) const;
  // What a call that attends to lanes tells its worker.
  void begin_lanes(const Lease& lease, shm::FrameHead& head, shm::RareHead& rare);
  // Ends a call that was not replied to: takes the request back, or abandons it. The state it was
  // ended in; kReplied when a reply came first.
  shm::SlotState end_call(Lease& lease);
  // Why a wait was given up for a call that end_call() ended in this state.
  Error given_up_error(const Lease& lease, shm::SlotState ended_in) const;
  Result<ReplyView> conclude(Lease& lease, WaitEnd end);
  // Of a call whose worker broke the rules.
  Error break_off(Lease& lease);
  Result<ReplyView> read_reply(Lease& lease, const shm::SlotWord& replied);
  Error fail(Error error) const;  // counts it

  shm::Attachment joined_;
  SupervisorContact supervisor_;
  shm::OwnPlaces own_;
  shm::SlotPool pool_;
  std::uint16_t owner_;
  SessionRouter router_;
  CallStatistics statistics_;
  shm::WaitBudget wait_budget_;
  ForkGuard guard_;
  MethodTable methods_;
  std::unique_ptr<CircuitBreaker> breaker_;
  std::vector<SlotSide> sides_;
  std::mutex adding_tools_;
  std::vector<std::unique_ptr<const ToolTable>> tool_tables_;  // all that there were
  std::atomic<const ToolTable*> tools_{nullptr};               // the last of them
  std::atomic<std::uint32_t> repair_epoch_;  // when own_ was last compared with the words
  std::uint64_t instance_;  // tells this core from an earlier one at the same address
  std::mutex making_async_;
  std::atomic<AsyncCalls*> async_{nullptr};  // owned; written under making_async_
};

// Whether a call that ended so has not run, and may be sent again: its worker left for good.
inline bool is_worth_another_slot(const Error& error) {
  return error.category() == ErrorCategory::kWorker && error.retryable;
}

// Sends `payload` in the lease's slot. Errors: those of Lease's steps.
Status send_request(Lease& lease, std::string_view method, Payload payload);
// The same, and waits for the reply. Errors: those of Lease's steps.
Result<ReplyView> exchange(Lease& lease, std::string_view method, Payload payload);

// What deadline a timeout means, from `now` on.
shm::MonotonicNs deadline_after(std::chrono::nanoseconds timeout,
                                shm::MonotonicNs now = shm::monotonic_now());

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_CLIENT_CORE_H_
