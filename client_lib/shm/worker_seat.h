// A worker's end: its seat, its doorbell, and the calls that it serves. One thread uses it at a
// time; after share(), several do, each under one lock of theirs (Python's GIL), but for those
// methods that wait, which are called without it.
//
//     WorkerSeat seat = WorkerSeat::attach(socket, deadline).value();   // Hello, Welcome, memory
//     mapped
//     ... set up ...; announce Ready; receive Published
//     for (;;) {
//       while (auto call = seat.try_next()) {
//         ... call->payload ... seat.reply_space(*call, n) ...
//         seat.reply(*call, kind, n);  or  seat.fail(*call, error);
//       }
//       seat.wait(kNever);
//     }
//
// Guarantee: a call that try_next() returned is RUNNING and belongs to this worker until reply() or
// fail(). Those two let go of the slot exactly once: REPLIED when the caller still wants it, FREE
// when it has abandoned the call. Killed at any instruction, the slot is left as the reaper expects
// it (reclaim.h).
//
// A call whose deadline has passed before it started is answered with DEADLINE_EXCEEDED here, and
// one whose frame does not check with BAD_FRAME; neither reaches a handler. Everything that a
// request frame says is checked before the call is handed out.

#ifndef SLOTRING_CLIENT_LIB_SHM_WORKER_SEAT_H_
#define SLOTRING_CLIENT_LIB_SHM_WORKER_SEAT_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client_lib/shm/adaptive_wait.h"
#include "client_lib/shm/attachment.h"
#include "client_lib/shm/call_lanes.h"
#include "client_lib/shm/cpu_sharing.h"
#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/frame.h"
#include "client_lib/shm/running_calls.h"
#include "client_lib/shm/seat_waiting.h"
#include "client_lib/shm/served_slot.h"
#include "client_lib/shm/slot_pool.h"

namespace slotring::shm {

// A call that this worker runs.
struct RunningCall {
  SlotIndex slot;
  SlotWord word;  // as started: RUNNING
  FrameHead head;
  std::string_view method_name;          // only when head.method is 0; valid until the call ends
  std::string_view session;              // empty for none; valid until the call ends
  std::span<const std::byte> payload;    // in the request area, read-only
  const wire::RarePart* rare = nullptr;  // in private memory; valid until the call ends

  bool caller_attends(wire::FrameFlags to) const {
    return (head.flags & static_cast<std::uint8_t>(to)) != 0;
  }
};

class WorkerSeat {
 public:
  // Says Hello on `socket`, maps what the Welcome brings. Errors: as receive_welcome(), and those
  // of opening the memories.
  static Result<WorkerSeat> attach(int socket, std::string_view name, MonotonicNs deadline);
  // The same for a worker that has joined already.
  static Result<WorkerSeat> sit_down(Attachment joined);

  SeatIndex index() const { return joined_.index; }
  std::uint32_t generation() const { return joined_.generation; }
  const std::string& pool_name() const { return joined_.pool; }
  const ControlSegment& segment() const { return *joined_.segment; }
  // The most bytes that a reply's payload may have.
  std::uint64_t max_reply_bytes() const {
    return joined_.replies->area_bytes() - layout::kPayloadOffset;
  }

  // Lets several threads serve the seat at once, or one that waits for other things besides, by an
  // eventfd. Before any of them does. Errors: SYSTEM_LIMIT.
  Status share();
  // How they wait; null for a seat that one thread serves.
  SeatWaiting* shared() const { return shared_.get(); }

  // The next requested call, now RUNNING, or nothing when none is pending. Never blocks. Of
  // requests that `wanted` refuses, nothing has changed, and they are passed over until
  // reconsider(). It sees their methods and sessions only, and is a first look: the client may
  // change them before the call is started.
  using Wanted = std::function<bool(const RunningCall&)>;
  [[nodiscard]] std::optional<RunningCall> try_next(const Wanted* wanted = nullptr);
  // Has try_next() look again at what was refused, oldest first.
  void reconsider();

  // Waits until something is pending or somebody wants attention, or until `deadline`. Needs
  // nothing of Python: the GIL may be released around it. Of a shared seat: since `seen` interrupts
  // (SeatWaiting).
  void wait(MonotonicNs deadline, std::uint32_t seen = 0);
  // Whether try_next() might find something at once.
  bool pending() const {
    return to_look_at_ != 0 || reconsider_ || (shared_ ? shared_->pending() : bell_.rung());
  }
  // Ends a wait() in another thread, or the next one; all of them in a shared seat.
  void interrupt();

  // Space for a reply of `bytes`, 64-byte aligned. Errors: PAYLOAD_TOO_LARGE, OUT_OF_MEMORY.
  Result<std::span<std::byte>> reply_space(const RunningCall& call, std::uint64_t bytes);

  // Ends the call with `bytes` of reply, written to reply_space() before.
  // `parts`: what the payload consists of, where its kind alone does not say it.
  Status reply(const RunningCall& call, wire::PayloadKind kind, std::uint64_t bytes,
               const RareHead& parts = {});
  // Ends the call with an error.
  void fail(const RunningCall& call, const Error& error);

  // For a handler that keeps looking at `call.payload` after its call: gives away the mapping that
  // the payload lies in, to be cut off from shared memory (Mapping::make_private) before the call
  // ends. Later calls of the slot use a new mapping of the same area. Errors: OUT_OF_MEMORY;
  // nothing has changed then.
  Result<Mapping> give_request_area(const RunningCall& call) {
    return slot_at(call.slot).give_request_area();
  }

  // A second mapping of the call's reply area, beside the one that reply_space() is in: for views
  // that a handler may keep. Made with the first such call of the slot. Errors: OUT_OF_MEMORY,
  // SYSTEM_LIMIT.
  Result<std::byte*> reply_area_to_view(const RunningCall& call) {
    return slot_at(call.slot).reply_area_to_view();
  }
  // Gives that mapping away, to be cut off as a request's. REQUIRES: it was made.
  Mapping give_reply_area(const RunningCall& call) { return slot_at(call.slot).give_reply_area(); }
  // Where in the reply area's memory `space`, of reply_space(), begins.
  std::uint64_t reply_offset(const RunningCall& call, std::span<const std::byte> space) const {
    return static_cast<std::uint64_t>(space.data() - joined_.replies->area(call.slot));
  }

  // The lanes of a call whose caller attends to some (wire::FrameFlags); as one thread.
  CallLanes& lanes(const RunningCall& call) { return slot_at(call.slot).lanes(); }
  // Wakes the caller, if it sleeps. After each commit to, or release of, a lane.
  void tell_caller(const RunningCall& call);
  // Waits until `done`, which looks at the call's lanes, or until the caller has gone, somebody
  // wants attention (a signal: look, and wait again), or the deadline has passed. Requests of other
  // slots that come meanwhile are left to try_next(). Needs nothing of Python.
  enum class CallerWait { kDone, kGone, kAttention, kDeadline };
  CallerWait await_caller(const RunningCall& call, const std::function<bool()>& done,
                          MonotonicNs deadline);
  // Has the slot's bit rung, once, when the caller has something, or has gone. For who waits by
  // itself: look after this.
  void ask_to_be_rung(const RunningCall& call);

  // Whether the caller has gone: its deadline passed, it cancelled, or it died.
  bool cancelled(const RunningCall& call) const;

  // How many of this seat's slots are not FREE; 0 means that a draining worker may leave.
  std::uint32_t busy_slots() const { return segment().busy_slots(index()); }

 private:
  using Bell = Doorbell<std::atomic<std::uint32_t>>;

  WorkerSeat(Attachment joined, std::vector<ServedSlot> slots);
  void take_bits();
  void share_cpu();
  void note_start(MonotonicNs now);
  void let_go_of_strangers();
  std::optional<RunningCall> find_next(const Wanted* wanted);
  std::optional<RunningCall> try_refused(const Wanted* wanted);
  std::optional<RunningCall> try_start(SlotIndex slot, const Wanted* wanted);
  bool is_wanted(SlotIndex slot, const SlotWord& requested, const Wanted& wanted);
  void refuse(SlotIndex slot);
  void let_go(const RunningCall& call, ErrorCategory outcome);
  void give_back_read_replies();
  CallerWait await_caller_beside_others(const RunningCall& call, const std::function<bool()>& done,
                                        MonotonicNs deadline);
  void sleep_for_caller(const RunningCall& call, const std::function<bool()>& over,
                        MonotonicNs deadline);
  ServedSlot& slot_at(SlotIndex slot) { return slots_[slot - first_slot_]; }
  FrameWriter& writer(SlotIndex slot) { return slot_at(slot).writer(); }

  Attachment joined_;
  SlotPool pool_;
  Bell bell_;
  SlotIndex first_slot_;
  std::vector<ServedSlot> slots_;  // of this seat
  RunningCalls running_;
  std::vector<SlotIndex> refused_;  // requested, and not wanted when they were looked at
  bool reconsider_ = false;
  std::uint32_t looks_ = 0;
  std::uint32_t starts_ = 0;
  AdaptiveWait waiting_;
  AdaptiveWait waiting_for_caller_;
  std::uint32_t
      to_look_at_;  // bits taken from the bell; at first all, for a predecessor's requests
  std::uint32_t next_bit_ = 0;  // where the search goes on, so that none starves
  CpuSharing sharing_{CpuSharing::Part::kWorker};
  MonotonicNs last_started_ = 0;
  MonotonicNs last_clock_ = 0;  // at the last start, or the last turn's end
  MonotonicNs next_spread_ = 0;
  bool interrupted_ = false;  // try_next() took an interrupt that no wait() has answered yet
  std::unique_ptr<SeatWaiting> shared_;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_WORKER_SEAT_H_
