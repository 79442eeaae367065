#include "client_lib/client_core.h"

#include <algorithm>
#include <climits>
#include <cstring>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/obituary.h"

namespace slotring::internal {

using layout::SeatState;
using shm::Actor;
using shm::SlotState;
using shm::SlotWord;

namespace {

// The slot that this thread used last, and of which client.
struct LastSlot {
  std::uint64_t instance = 0;
  shm::SlotIndex slot = shm::kNoSlot;
};
thread_local LastSlot last_slot;

std::uint64_t next_instance() {
  static std::atomic<std::uint64_t> instances{0};
  return instances.fetch_add(1, std::memory_order_relaxed) + 1;
}

constexpr char kSubmittedAlready[] = "the lease's request was submitted already";

Error misuse(const char* what) { return Error{ErrorCode::kInvalidArgument, what}; }

}  // namespace

shm::MonotonicNs deadline_after(std::chrono::nanoseconds timeout) {
  if (timeout == kNoTimeout) return shm::kNever;
  const auto wait_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(timeout.count(), 0));
  // Long ones need no better clock than the cheap one, which lags by less than a tick.
  if (timeout >= std::chrono::seconds(1))
    return shm::coarse_now() + shm::coarse_tick_ns() + wait_ns;
  return shm::monotonic_now() + wait_ns;
}

ClientCore::ClientCore(shm::UniqueFd socket, shm::Attachment joined, std::string socket_path)
    : joined_(std::move(joined)),
      supervisor_(std::move(socket), std::move(socket_path), joined_),
      own_(joined_.segment->geometry().slots()),
      pool_(*joined_.segment, &own_),
      owner_(static_cast<std::uint16_t>(joined_.index)),
      repair_epoch_(joined_.segment->header().repair_epoch.load(std::memory_order_acquire)),
      instance_(next_instance()) {
  const std::uint32_t slots = joined_.segment->geometry().slots();
  sides_.reserve(slots);
  for (shm::SlotIndex slot = 0; slot < slots; ++slot) sides_.emplace_back(*joined_.requests, slot);
}

ClientCore::~ClientCore() {
  if (guard_.valid() && guard_.in_child()) return;
  supervisor_.say_goodbye();
}

Status ClientCore::check_process() const {
  if (!guard_.valid()) {
    return Error{ErrorCode::kSystemLimit, "no page for the guard against fork()"};
  }
  if (guard_.in_child()) {
    return Error{ErrorCode::kForked,
                 "this process was forked from the one that attached; attach again in the child"};
  }
  return Done{};
}

Status ClientCore::prepare_to_claim(const std::stop_token& stop) {
  if (Status usable = check_process(); !usable) return usable;
  if (Status present = supervisor_.follow(); !present) return present;
  if (stop.stop_requested()) {
    return Error{ErrorCode::kCancelled, "cancelled before the call", {}, {}, /*retryable=*/true};
  }
  check_own_places();
  return Done{};
}

Result<Lease> ClientCore::claim(shm::MonotonicNs deadline, const std::stop_token& stop) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  const shm::SlotIndex last = last_slot.instance == instance_ ? last_slot.slot : shm::kNoSlot;
  Result<shm::Claim> claim =
      pool_.claim(owner_, last, deadline, stop, [this] { return supervisor_.check_pool(); });
  if (!claim) return std::move(claim).error();
  last_slot = {instance_, claim->slot};
  return lease_of(*claim, deadline, stop);
}

Result<Lease> ClientCore::claim_on(shm::SeatIndex seat, shm::MonotonicNs deadline,
                                   const std::stop_token& stop) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  Result<shm::Claim> claim =
      pool_.claim_on(owner_, seat, deadline, stop, [this] { return supervisor_.check_pool(); });
  if (!claim) return std::move(claim).error();
  return lease_of(*claim, deadline, stop);
}

Lease ClientCore::lease_of(const shm::Claim& claim, shm::MonotonicNs deadline,
                           const std::stop_token& stop) {
  shm::prefetch_frame_to_write(joined_.requests->area(claim.slot));
  sides_[claim.slot].writer.begin();
  Lease lease;
  lease.core_ = this;
  lease.slot_ = claim.slot;
  lease.generation_ = claim.word.generation;
  lease.flags_ = claim.word.flags;
  lease.deadline_ns_ = deadline;
  lease.stop_ = stop;
  return lease;
}

Result<std::span<std::byte>> ClientCore::request(Lease& lease, std::size_t bytes) {
  if (Status usable = check_process(); !usable) return std::move(usable).error();
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  Result<std::span<std::byte>> space = sides_[lease.slot_].writer.payload_space(bytes);
  if (space) lease.granted_bytes_ = bytes;
  return space;
}

Status ClientCore::submit(Lease& lease, std::string_view method, PayloadKind kind,
                          std::size_t bytes) {
  if (Status usable = check_process(); !usable) return usable;
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  if (bytes > lease.granted_bytes_) {
    return Error{ErrorCode::kPayloadTooLarge, "submit() of " + std::to_string(bytes) +
                                                  " bytes where request() granted " +
                                                  std::to_string(lease.granted_bytes_)};
  }
  if (method.empty() || method.size() > layout::kMaxNameBytes) {
    return misuse("a method's name has 1 to 63 bytes");
  }
  const std::uint16_t id = methods_.find(method, *joined_.segment);
  const shm::FrameHead head{call_id_of(lease), lease.deadline_ns_, lease.generation_, id,
                            static_cast<wire::PayloadKind>(kind)};
  // An unknown method still goes to the worker, by its name, which can say what it has.
  const shm::RareHead rare{.method_name = id == 0 ? method : std::string_view()};
  if (Status committed = sides_[lease.slot_].writer.commit(head, bytes, rare); !committed) {
    return committed;
  }
  auto& word = pool_.word(lease.slot_);
  const SlotWord claimed = word_of(lease, SlotState::kClaimed);
  if (!shm::try_move(word, claimed, SlotState::kRequested, Actor::kClient).moved) {
    return lose(lease, "somebody else changed the word of a claimed slot");
  }
  lease.phase_ = Lease::Phase::kSubmitted;
  // After the store of REQUESTED (seq_cst, both): either the reaper of a retired seat sees the
  // request in its walk, or this sees that the seat is retired.
  const SeatState state = joined_.segment->seat_word(joined_.segment->seat_of(lease.slot_)).state;
  if (state == SeatState::kRetired || state == SeatState::kVacant) {
    if (end_call(lease) == SlotState::kRequested) {
      return Error{.code = ErrorCode::kWorkerUnavailable,
                   .message = "the slot's worker left for good before the call was sent",
                   .retryable = true};
    }
    return Done{};  // the reaper was first; wait() tells its verdict
  }
  ring_bell(lease.slot_);
  return Done{};
}

void ClientCore::ring_bell(shm::SlotIndex slot, bool wake_anyway) const {
  const shm::SeatIndex seat = joined_.segment->seat_of(slot);
  std::atomic<std::uint32_t>& word = joined_.segment->seat(seat).bell;
  shm::Doorbell bell(word);
  const std::uint32_t slot_of_worker = slot - joined_.segment->first_slot(seat);
  if (bell.ring(bell.bit_of(slot_of_worker)) || wake_anyway) {
    shm::futex_wake(shm::futex_half(word), 1);
  }
}

bool ClientCore::awaits_reply(const Lease& lease, const SlotWord& seen) const {
  return seen.generation == lease.generation_ && seen.owner == owner_ &&
         (seen.state == SlotState::kRequested || seen.state == SlotState::kRunning);
}

ClientCore::WaitEnd ClientCore::await_reply(const Lease& lease) {
  auto& word = pool_.word(lease.slot_);
  bool unserved = false;
  const auto sleep = [&] {
    const shm::MonotonicNs until = shm::next_self_check(lease.deadline_ns_);
    sleep_until_replied(lease, until);
    if (until != lease.deadline_ns_ && shm::monotonic_now() >= until) {
      unserved = !check_by_itself(lease);
    }
  };
  const auto over = [&] {
    return unserved || !awaits_reply(lease, shm::load_slot(word)) || lease.stop_.stop_requested();
  };
  const bool ended = sides_[lease.slot_].waiting.wait(over, sleep, lease.deadline_ns_);
  if (unserved) return WaitEnd::kUnserved;
  return !ended || lease.stop_.stop_requested() ? WaitEnd::kGivenUp : WaitEnd::kReplied;
}

// What a caller does that has slept for long. False when nobody is left who would end its call.
bool ClientCore::check_by_itself(const Lease& lease) {
  // Its words, and the bell that it rang, may have been scribbled over by a peer.
  check_own_places();
  if (shm::load_slot(pool_.word(lease.slot_)).state == SlotState::kRequested) {
    ring_bell(lease.slot_, /*wake_anyway=*/true);
  }
  return supervisor_.check_seat(joined_.segment->seat_of(lease.slot_));
}

void ClientCore::sleep_until_replied(const Lease& lease, shm::MonotonicNs until) const {
  auto& word = pool_.word(lease.slot_);
  // Made only here: a wait that is over before it sleeps pays for no callback.
  const std::stop_callback wakes(lease.stop_, [&] { wake_caller(lease); });
  SlotWord seen = shm::load_slot(word);
  while (awaits_reply(lease, seen)) {
    const auto flags = static_cast<shm::SlotFlags>(seen.flags | layout::kFlagCallerSleeps);
    if (seen.flags == flags || shm::try_set_flags(word, seen, flags)) {
      // After the flag is set: either the stop is seen here, or wake_caller() changes the word.
      if (lease.stop_.stop_requested()) return;
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
    return misuse("the lease has no submitted call to wait for");
  }
  if (const WaitEnd end = await_reply(lease); end != WaitEnd::kReplied) {
    const shm::SeatIndex seat = joined_.segment->seat_of(lease.slot_);
    const SlotState ended_in = end_call(lease);
    if (ended_in != SlotState::kReplied) {
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
  Result<shm::Frame> frame = sides_[lease.slot_].reader.read(
      replies.area(lease.slot_), replies.area_bytes(), 0, lease.generation_, replies.warm_bytes());
  std::optional<Error> error;
  if (frame) error = shm::error_of(*frame);
  // A worker that could not read the request says so without its call id.
  const bool unread = error && frame->head.call_id == 0;
  if (frame && frame->head.call_id != call_id_of(lease) && !unread) {
    frame = Error{ErrorCode::kBadFrame, "the reply's frame is of another call"};
  }
  if (frame && frame->head.kind > wire::PayloadKind::Value) {
    frame = Error{ErrorCode::kBadFrame, "the reply's payload is of an unknown kind"};
  }
  if (!frame) error = std::move(frame).error();
  if (error) {
    release(lease);
    return fail(*std::move(error));
  }
  joined_.segment->client(owner_).calls.fetch_add(1, std::memory_order_relaxed);
  return ReplyView{static_cast<PayloadKind>(frame->head.kind), frame->payload};
}

Error ClientCore::lose(Lease& lease, const char* what) {
  lease.core_ = nullptr;  // nothing to give back
  own_.drop(lease.slot_, lease.generation_);
  pool_.line().ring_audit();  // the supervisor mends what else was changed
  return Error{ErrorCode::kBadSegment, what};
}

void ClientCore::check_own_places() {
  // Acquire: partner of the release after the supervisor's repair.
  const std::uint32_t epoch =
      joined_.segment->header().repair_epoch.load(std::memory_order_acquire);
  if (repair_epoch_.load(std::memory_order_relaxed) == epoch) return;
  repair_epoch_.store(epoch, std::memory_order_relaxed);
  pool_.disown_strangers(owner_);
}

Error ClientCore::fail(Error error) const {
  layout::ClientRecord& record = joined_.segment->client(owner_);
  record.calls.fetch_add(1, std::memory_order_relaxed);
  record.errors.fetch_add(1, std::memory_order_relaxed);
  return error;
}

void ClientCore::release(Lease& lease) {
  lease.core_ = nullptr;
  if (guard_.in_child()) return;
  // A call under way is taken back or abandoned, unless its reply comes first.
  if (lease.phase_ == Lease::Phase::kSubmitted) {
    if (end_call(lease) != SlotState::kReplied) return;
    lease.phase_ = Lease::Phase::kReplied;
  }
  sides_[lease.slot_].writer.trim();
  const SlotState state =
      lease.phase_ == Lease::Phase::kReplied ? SlotState::kReplied : SlotState::kClaimed;
  // A word that is no longer this lease's was scribbled over; there is nothing to give back.
  if (!pool_.try_release(lease.slot_, word_of(lease, state), Actor::kClient)) {
    own_.drop(lease.slot_, lease.generation_);
  }
}

}  // namespace slotring::internal
