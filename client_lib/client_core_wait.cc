// How ClientCore waits for a reply and reads it.

#include <climits>

#include "client_lib/client_core.h"
#include "client_lib/reply_view.h"
#include "client_lib/shm/obituary.h"

namespace slotring::internal {

using shm::Actor;
using shm::SlotState;
using shm::SlotWord;

bool ClientCore::awaits_reply(const Lease& lease, const SlotWord& seen) const {
  return seen.generation == lease.generation_ && seen.owner == owner_ &&
         (seen.state == SlotState::kRequested || seen.state == SlotState::kRunning);
}

// Until `ready`, or until the call's end.
template <class Ready>
ClientCore::WaitEnd ClientCore::await(const Lease& lease, shm::AdaptiveWait& waiting,
                                      shm::MonotonicNs deadline, const Ready& ready) {
  auto& word = pool_.word(lease.slot_);
  bool unserved = false;
  const auto sleep = [&] {
    const shm::MonotonicNs until = shm::next_self_check(deadline);
    sleep_until(lease, until, ready);
    if (until != deadline && shm::monotonic_now() >= until) unserved = !check_by_itself(lease);
  };
  const auto over = [&] {
    return unserved || ready() || !awaits_reply(lease, shm::load_slot(word)) ||
           lease.stop_.stop_requested();
  };
  const bool ended = waiting.wait(over, sleep, deadline);
  // After the look at the word: what came before the reply is found here.
  if (ready()) return WaitEnd::kReady;
  if (unserved) return WaitEnd::kUnserved;
  return !ended || lease.stop_.stop_requested() ? WaitEnd::kGivenUp : WaitEnd::kReplied;
}

ClientCore::WaitEnd ClientCore::await_reply(const Lease& lease) {
  SlotSide& side = sides_[lease.slot_];
  if (side.tools != nullptr) [[unlikely]]
    return await_reply_and_tools(lease);
  return await(lease, side.waiting, lease.deadline_ns_, [] { return false; });
}

ClientCore::WaitEnd ClientCore::await_lanes(const Lease& lease, shm::AdaptiveWait& waiting,
                                            shm::MonotonicNs deadline,
                                            const std::function<bool()>& ready) {
  return await(lease, waiting, deadline, ready);
}

// What a caller does that has slept for long. False when nobody is left who would end its call.
bool ClientCore::check_by_itself(const Lease& lease) {
  // Its words, and the bell that it rang, may have been scribbled over by a peer.
  check_own_places();
  if (shm::load_slot(pool_.word(lease.slot_)).state == SlotState::kRequested) {
    pool_.ring_worker(lease.slot_, /*wake_anyway=*/true);
  }
  return supervisor_.check_seat(joined_.segment->seat_of(lease.slot_));
}

template <class Ready>
void ClientCore::sleep_until(const Lease& lease, shm::MonotonicNs until, const Ready& ready) const {
  // Made only here: a wait that is over before it sleeps pays for no callback.
  const std::stop_callback wakes(lease.stop_, [&] { wake_caller(lease); });
  const auto over = [&] { return lease.stop_.stop_requested() || ready(); };
  const SlotSide& side = sides_[lease.slot_];
  // Only a call with lanes may be waited for by two threads, one at each end of its stream.
  if (side.attends == 0) return sleep_on_word(lease, until, over);
  const auto sleep = [&] {
    sleep_on_word(lease, until, [&] { return side.turn->pass_on(), over(); });
  };
  side.turn->sleep(until, sleep, [&] {
    return over() || !awaits_reply(lease, shm::load_slot(pool_.word(lease.slot_)));
  });
}

template <class Over>
void ClientCore::sleep_on_word(const Lease& lease, shm::MonotonicNs until, const Over& over) const {
  auto& word = pool_.word(lease.slot_);
  SlotWord seen = shm::load_slot(word);
  while (awaits_reply(lease, seen)) {
    const auto flags = static_cast<shm::SlotFlags>(seen.flags | layout::kFlagCallerSleeps);
    if (seen.flags == flags || shm::try_set_flags(word, seen, flags)) {
      seen.flags = flags;
      // After the flag is set: either the stop, or the frame, is seen here, or who brings it
      // changes the word.
      if (over()) return;
      shm::futex_wait(shm::futex_half(word), static_cast<std::uint32_t>(seen.pack()), until);
      return;
    }
  }
}

void ClientCore::wake_caller(const Lease& lease) const {
  auto& word = pool_.word(lease.slot_);
  SlotWord seen = shm::load_slot(word);
  // The word is changed (even if the flag is not set yet: a read-modify-write that the sleeper's
  // own comes before or after), so that who has read it does not fall asleep on it.
  while (awaits_reply(lease, seen)) {
    const auto flags = static_cast<shm::SlotFlags>(seen.flags & ~layout::kFlagCallerSleeps);
    if (shm::try_set_flags(word, seen, flags)) break;
  }
  shm::futex_wake(shm::futex_half(word), INT_MAX);
}

Result<ReplyView> ClientCore::wait(Lease& lease) {
  if (Status usable = check_process(); !usable) return std::move(usable).error();
  if (lease.phase_ != Lease::Phase::kSubmitted) {
    return Error{ErrorCode::kInvalidArgument, "the lease has no submitted call to wait for"};
  }
  return end_wait(lease, await_reply(lease));
}

Result<ReplyView> ClientCore::end_wait(Lease& lease, WaitEnd end) {
  // A copy: after an error the slot may be another thread's already.
  const CallMark mark = sides_[lease.slot_].mark;
  Result<ReplyView> reply = end == WaitEnd::kBroken ? fail(break_off(lease)) : conclude(lease, end);
  count_lease(mark, reply ? ErrorCategory::kNone : reply.error().category());
  return reply;
}

Result<ReplyView> ClientCore::conclude(Lease& lease, WaitEnd end) {
  if (end != WaitEnd::kReplied) {
    const shm::SeatIndex seat = joined_.segment->seat_of(lease.slot_);
    const SlotState ended_in = end_call(lease);
    if (ended_in != SlotState::kReplied) {
      if (end == WaitEnd::kUnserved) forget_last_slot();
      return fail(end == WaitEnd::kGivenUp
                      ? given_up_error(lease, ended_in)
                      : supervisor_.unserved_error(seat, ended_in == SlotState::kRequested));
    }
  }
  __builtin_prefetch(&pool_.word(lease.slot_), 1);  // to be freed soon
  shm::prefetch_frame_to_read(joined_.replies->area(lease.slot_));
  const SlotWord replied = shm::load_slot(pool_.word(lease.slot_));
  if (!replied.same_step(word_of(lease, SlotState::kReplied))) {
    return fail(lose(lease, "somebody else changed the word of a called slot"));
  }
  lease.phase_ = Lease::Phase::kReplied;
  lease.flags_ = replied.flags;
  return read_reply(lease, replied);
}

SlotState ClientCore::end_call(Lease& lease) {
  auto& word = pool_.word(lease.slot_);
  const SlotWord requested = word_of(lease, SlotState::kRequested);
  const SlotWord running = word_of(lease, SlotState::kRunning);
  if (shm::try_move(word, requested, SlotState::kClaimed, Actor::kClient).moved) {
    lease.phase_ = Lease::Phase::kClaimed;
    release(lease);
    return SlotState::kRequested;
  }
  if (pool_.try_abandon(lease.slot_, running, Actor::kClient)) {
    lease.core_ = nullptr;  // the worker frees it
    own_.drop(lease.slot_, lease.generation_);
    return SlotState::kRunning;
  }
  return SlotState::kReplied;
}

Error ClientCore::given_up_error(const Lease& lease, SlotState ended_in) const {
  const bool never_started = ended_in == SlotState::kRequested;
  const bool cancelled = lease.stop_.stop_requested();
  std::string message = cancelled ? "the call was cancelled" : "the deadline passed";
  message += never_started ? " before a worker started the call" : " while the handler ran";
  return Error{.code = cancelled ? ErrorCode::kCancelled : ErrorCode::kDeadlineExceeded,
               .message = std::move(message),
               .retryable = never_started};
}

Result<ReplyView> ClientCore::read_reply(Lease& lease, const SlotWord& replied) {
  if (replied.has(layout::kFlagLost)) {
    Error lost = shm::lost_error(*joined_.segment, lease.slot_, replied.flags);
    release(lease);
    return fail(std::move(lost));
  }
  const shm::DataMemory& replies = *joined_.replies;
  shm::FrameReader& reader = sides_[lease.slot_].reader;
  reader.begin();
  Result<shm::Frame> frame = reader.read(replies.area(lease.slot_), lease.generation_);
  std::optional<Error> error;
  if (frame) error = shm::error_of(*frame);
  // A worker that could not read the request says so without its call id.
  const bool unread = error && frame->head.call_id == 0;
  if (frame && frame->head.call_id != call_id_of(lease) && !unread) {
    frame = Error{ErrorCode::kBadFrame, "the reply's frame is of another call"};
  }
  Result<ReplyView> view = frame ? view_of(*frame, sides_[lease.slot_].reply_tensors)
                                 : Result<ReplyView>(std::move(frame).error());
  if (!view) error = std::move(view).error();
  if (error) {
    release(lease);
    return fail(*std::move(error));
  }
  joined_.segment->client(owner_).calls.fetch_add(1, std::memory_order_relaxed);
  return view;
}

Error ClientCore::break_off(Lease& lease) {
  Error error = sides_[lease.slot_].desk->error();
  release(lease);
  return error;
}

}  // namespace slotring::internal
