#include "tests/python/harness/session_calls.h"

#include <sched.h>

#include <cstring>

#include "client_lib/shm/doorbell.h"
#include "client_lib/shm/frame.h"

namespace slotring::testing {

namespace {
constexpr std::uint16_t kOwner = 7;  // a client of the pool that is no ClientCore
}  // namespace

std::optional<shm::Claim> SessionCalls::try_claim(shm::SeatIndex seat) const {
  const shm::SlotIndex first = pool_->segment().first_slot(seat);
  for (shm::SlotIndex slot = first; slot < first + pool_->segment().geometry().slots_per_worker;
       ++slot) {
    const shm::SlotWord seen = pool_->word(slot);
    if (seen.state != shm::SlotState::kFree) continue;
    const shm::MoveResult claimed =
        shm::try_claim_slot(pool_->pool().word(slot), seen, kOwner, /*clear_listed=*/false);
    if (claimed.moved) return shm::Claim{slot, claimed.after};
  }
  return std::nullopt;
}

Result<shm::SlotIndex> SessionCalls::start(shm::SeatIndex seat, const Request& request,
                                           shm::MonotonicNs deadline) const {
  const Result<shm::FoundSession> found =
      table_.find_or_create(request.session, shm::creator_client(kOwner));
  if (!found) return found.error();
  table_.record(found->index).last_used_ns.store(shm::monotonic_now());
  const std::optional<shm::Claim> claim = try_claim(seat);
  if (!claim) return Error{ErrorCode::kPoolSaturated, "no free slot"};
  shm::FrameWriter writer(pool_->requests(), claim->slot);
  const Result<std::span<std::byte>> space = writer.payload_space(request.payload.size());
  if (!space) return space.error();
  if (!request.payload.empty()) {
    std::memcpy(space->data(), request.payload.data(), request.payload.size());
  }
  const shm::FrameHead head{1, deadline, claim->word.generation, 0,
                            static_cast<wire::PayloadKind>(request.kind)};
  const shm::RareHead rare{.method_name = request.method, .session = request.session};
  if (Status sent = writer.commit(head, request.payload.size(), rare); !sent) return sent.error();
  (void)shm::try_move(pool_->pool().word(claim->slot), claim->word, shm::SlotState::kRequested,
                      shm::Actor::kClient);
  std::atomic<std::uint32_t>& word = pool_->segment().seat(seat).bell;
  shm::Doorbell bell(word);
  (void)bell.ring(bell.bit_of(claim->slot - pool_->segment().first_slot(seat)));
  shm::futex_wake(shm::futex_half(word), 1);
  return claim->slot;
}

Result<SessionReply> SessionCalls::finish(shm::SlotIndex slot) const {
  const shm::MonotonicNs watchdog = soon(30'000);
  shm::SlotWord replied = pool_->word(slot);
  while (replied.state != shm::SlotState::kReplied) {
    if (shm::monotonic_now() > watchdog) return Error{ErrorCode::kInternal, "no reply came"};
    ::sched_yield();
    replied = pool_->word(slot);
  }
  shm::FrameReader reader(pool_->replies());
  const Result<shm::Frame> frame = reader.read(pool_->replies().area(slot), replied.generation);
  Result<SessionReply> reply = Error{ErrorCode::kInternal, "unread"};
  if (!frame) {
    reply = frame.error();
  } else if (const std::optional<Error> error = shm::error_of(*frame)) {
    reply = *error;
  } else {
    reply = SessionReply{static_cast<int>(frame->head.kind),
                         {frame->payload.begin(), frame->payload.end()}};
  }
  (void)pool_->pool().try_release(slot, replied, shm::Actor::kClient);
  return reply;
}

std::optional<shm::FoundSession> SessionCalls::find(const std::string& session) const {
  return table_.find(session).value();
}

bool SessionCalls::end(const std::string& session) const {
  const auto found = find(session);
  return found && table_.try_end(found->index, found->word);
}

bool SessionCalls::lose(const std::string& session) const {
  auto found = find(session);
  const auto flags = found ? found->word.flags & ~layout::kFlagHasState : 0;
  return found && table_.try_update(found->index, found->word, layout::kNoHome,
                                    static_cast<std::uint8_t>(flags + layout::kLossStep));
}

bool SessionCalls::place(const std::string& session, shm::SeatIndex seat,
                         std::uint32_t generation) const {
  auto found = find(session);
  if (!found) return false;
  table_.record(found->index).home_generation.store(generation);
  return table_.try_update(found->index, found->word, static_cast<std::uint16_t>(seat + 1),
                           static_cast<std::uint8_t>(found->word.flags | layout::kFlagHasState));
}

bool SessionCalls::age(const std::string& session, std::uint64_t ns) const {
  const auto found = find(session);
  if (found) table_.record(found->index).last_used_ns.store(shm::monotonic_now() - ns);
  return found.has_value();
}

}  // namespace slotring::testing
