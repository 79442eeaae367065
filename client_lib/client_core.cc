#include "client_lib/client_core.h"

#include <algorithm>
#include <cstring>

namespace slotring::internal {

using layout::SeatState;
using shm::Actor;
using shm::SlotState;
using shm::SlotWord;

namespace {

std::uint64_t next_instance() {
  static std::atomic<std::uint64_t> instances{0};
  return instances.fetch_add(1, std::memory_order_relaxed) + 1;
}

constexpr char kSubmittedAlready[] = "the lease's request was submitted already";

Error misuse(const char* what) { return Error{ErrorCode::kInvalidArgument, what}; }

}  // namespace

shm::MonotonicNs deadline_after(std::chrono::nanoseconds timeout, shm::MonotonicNs now) {
  if (timeout == kNoTimeout) return shm::kNever;
  return now + static_cast<std::uint64_t>(std::max<std::int64_t>(timeout.count(), 0));
}

namespace {

// Copies the payload's tensors into the slot, and sends them.
Status send_tensors(Lease& lease, std::string_view method, const Payload& payload) {
  const Result<std::uint64_t> bytes = TensorRequest::bytes_of(payload);
  if (!bytes) return bytes.error();
  // Nothing is written where it does not fit as a whole.
  if (Result<std::span<std::byte>> space = lease.request(*bytes); !space) {
    return std::move(space).error();
  }
  const std::span<const std::byte> value = payload.data();
  Status written =
      lease.put_value({reinterpret_cast<const std::uint8_t*>(value.data()), value.size()});
  if (!written) return written;
  for (const Tensor& tensor : payload.tensors()) {
    Result<MutableTensor> copy = lease.empty(tensor.dtype(), tensor.shape(), tensor.name());
    if (!copy) return std::move(copy).error();
    copy_elements(tensor, copy->data());
  }
  return lease.submit(method);
}

}  // namespace

Status send_request(Lease& lease, std::string_view method, Payload payload) {
  if (payload.kind() == PayloadKind::kTensors) [[unlikely]]
    return send_tensors(lease, method, payload);
  const std::span<const std::byte> data = payload.data();
  Result<std::span<std::byte>> space = lease.request(data.size());
  if (!space) return std::move(space).error();
  if (!data.empty()) std::memcpy(space->data(), data.data(), data.size());
  return lease.submit(method, payload.kind(), data.size(), payload.table_type());
}

Result<ReplyView> exchange(Lease& lease, std::string_view method, Payload payload) {
  if (Status sent = send_request(lease, method, payload); !sent) return std::move(sent).error();
  return lease.wait();
}

namespace {

shm::WaitBudget budget_for(const shm::ControlSegment& segment,
                           std::optional<layout::WaitingMode> mode) {
  layout::WaitingTerms terms = segment.waiting();
  terms.mode = mode.value_or(terms.mode);
  return shm::wait_budget(terms);
}

}  // namespace

ClientCore::ClientCore(shm::UniqueFd socket, shm::Attachment joined, std::string socket_path,
                       std::optional<layout::WaitingMode> waiting)
    : joined_(std::move(joined)),
      supervisor_(std::move(socket), std::move(socket_path), joined_),
      own_(joined_.segment->geometry().slots()),
      pool_(*joined_.segment, &own_),
      owner_(static_cast<std::uint16_t>(joined_.index)),
      router_(pool_, owner_),
      statistics_(*joined_.segment, owner_),
      wait_budget_(budget_for(*joined_.segment, waiting)),
      repair_epoch_(joined_.segment->header().repair_epoch.load(std::memory_order_acquire)),
      instance_(next_instance()) {
  const std::uint32_t slots = joined_.segment->geometry().slots();
  sides_.reserve(slots);
  for (shm::SlotIndex slot = 0; slot < slots; ++slot) {
    sides_.emplace_back(joined_, slot, wait_budget_);
  }
}

ClientCore::~ClientCore() {
  end_async();
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

Result<std::span<std::byte>> ClientCore::request(Lease& lease, std::size_t bytes) {
  if (Status usable = check_process(); !usable) return std::move(usable).error();
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  Result<std::span<std::byte>> space = sides_[lease.slot_].writer.payload_space(bytes);
  if (space) lease.granted_bytes_ = bytes;
  sides_[lease.slot_].tensors.clear();
  return space;
}

Result<MutableTensor> ClientCore::empty(Lease& lease, DType dtype, const Shape& shape,
                                        std::string_view name) {
  if (Status usable = check_process(); !usable) return std::move(usable).error();
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  lease.granted_bytes_ = 0;
  return sides_[lease.slot_].tensors.add(sides_[lease.slot_].writer, dtype, shape, name);
}

Status ClientCore::put_value(Lease& lease, std::span<const std::byte> value) {
  if (Status usable = check_process(); !usable) return usable;
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  lease.granted_bytes_ = 0;
  return sides_[lease.slot_].tensors.put_value(sides_[lease.slot_].writer, value);
}

Status ClientCore::submit_tensors(Lease& lease, std::string_view method) {
  const TensorRequest& tensors = sides_[lease.slot_].tensors;
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  if (Status good = tensors.check(); !good) return good;
  lease.granted_bytes_ = tensors.bytes();
  const std::vector<shm::TensorHead> heads = tensors.heads();
  return submit(lease, method, PayloadKind::kTensors, tensors.bytes(),
                {.tensors = heads, .value_bytes = tensors.value_bytes()});
}

Status ClientCore::submit(Lease& lease, std::string_view method, PayloadKind kind,
                          std::size_t bytes, const shm::RareHead& parts) {
  if (Status usable = check_process(); !usable) return usable;
  if (lease.phase_ != Lease::Phase::kClaimed) return misuse(kSubmittedAlready);
  if (bytes > lease.granted_bytes_) {
    return Error{ErrorCode::kPayloadTooLarge, "submit() of " + std::to_string(bytes) +
                                                  " bytes where request() granted " +
                                                  std::to_string(lease.granted_bytes_)};
  }
  if (!shm::is_name(method)) {
    return misuse("a method's name has 1 to 63 bytes");
  }
  if ((kind == PayloadKind::kTable) == parts.table_type.empty()) {
    return misuse("a table, and nothing else, goes with the fully qualified name of its type");
  }
  if (kind == PayloadKind::kTensors && parts.tensors.empty()) {
    return misuse("tensors are made by empty(), and sent by submit(method)");
  }
  SlotSide& side = sides_[lease.slot_];
  const std::uint16_t id = methods_.find(method, *joined_.segment);
  shm::FrameHead head{call_id_of(lease), lease.deadline_ns_, lease.generation_, id,
                      static_cast<wire::PayloadKind>(kind)};
  // An unknown method still goes to the worker, by its name, which can say what it has.
  shm::RareHead rare{.method_name = id == 0 ? method : std::string_view(),
                     .session = side.session,
                     .table_type = parts.table_type,
                     .tensors = parts.tensors,
                     .value_bytes = parts.value_bytes};
  // No tools for a call that no thread waits for, which would answer. Acquire: partner of the
  // release in add_tool().
  if (lease.submit_flags_ == 0) side.tools = tools_.load(std::memory_order_acquire);
  if (side.attends != 0 || side.tools != nullptr) [[unlikely]]
    begin_lanes(lease, head, rare);
  if (Status committed = side.writer.commit(head, bytes, rare); !committed) {
    return committed;
  }
  // Others could use the CPU meanwhile.
  if (bytes >= shm::kLongCopyBytes && !cpu_is_crowded()) side.waiting.expect_copy(bytes);
  side.mark.row = CallStatistics::row_of(id);
  const CallMark mark = side.mark;  // the slot may be another's when an error is told
  Status sent = send(lease);
  if (!sent) count_lease(mark, sent.error().category());
  return sent;
}

// The request is committed: moves the word. After an error the lease is void.
Status ClientCore::send(Lease& lease) {
  auto& word = pool_.word(lease.slot_);
  const SlotWord claimed = word_of(lease, SlotState::kClaimed);
  if (!shm::try_move(word, claimed, SlotState::kRequested, Actor::kClient, lease.submit_flags_)
           .moved) {
    return lose(lease, "somebody else changed the word of a claimed slot");
  }
  lease.phase_ = Lease::Phase::kSubmitted;
  lease.flags_ |= lease.submit_flags_;
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
  // Claimed in the moment in which the idle worker was sent away: the supervisor sees the request
  // before it leaves the seat dormant, or is told now.
  if (state == SeatState::kDormant) pool_.line().ring_audit();
  pool_.ring_worker(lease.slot_);
  return Done{};
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
  const bool large = state == SlotState::kReplied && sides_[lease.slot_].reader.read_behind_kept();
  // A word that is no longer this lease's was scribbled over; there is nothing to give back.
  (void)pool_.try_release(lease.slot_, word_of(lease, state), Actor::kClient);
  // Only the worker can give back what its reply took.
  if (large) pool_.ring_worker(lease.slot_);
}

}  // namespace slotring::internal
