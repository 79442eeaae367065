// How ClientCore claims a slot.

#include "client_lib/client_core.h"
#include "client_lib/shm/cpu_sharing.h"
#include "client_lib/shm/waiting_policy.h"

namespace slotring::internal {

namespace {

// The slot that this thread used last, and of which client.
struct LastSlot {
  std::uint64_t instance = 0;
  shm::SlotIndex slot = shm::kNoSlot;
};
thread_local LastSlot last_slot;

thread_local shm::CpuSharing cpu_sharing{shm::CpuSharing::Part::kClient};

// Whether others may have run meanwhile.
bool share_cpu(const ClaimTerms& terms) {
  if (shm::hurries(terms.deadline, terms.started)) {
    cpu_sharing.take_no_part();
    return false;
  }
  return cpu_sharing.between_calls(terms.started) != terms.started;
}

}  // namespace

void ClientCore::note_call(std::uint64_t ns, shm::MonotonicNs now) {
  cpu_sharing.note_call(ns, now);
}

bool ClientCore::cpu_is_crowded() { return cpu_sharing.crowded(); }

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
  return claim({.started = shm::monotonic_now(), .deadline = deadline}, stop);
}

Result<Lease> ClientCore::claim(const ClaimTerms& terms, const std::stop_token& stop) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  // Another worker may have the CPU that the last one had.
  if (wait_budget_.shares_cpu && cpu_sharing.due(terms.started) && share_cpu(terms)) [[unlikely]]
    forget_last_slot();
  if (!terms.session.empty()) return claim_in_session(terms, stop);
  Result<shm::Claim> claim = claim_anywhere(terms, stop);
  if (!claim) return std::move(claim).error();
  last_slot = {instance_, claim->slot};
  return lease_of(*claim, terms, stop);
}

Result<shm::Claim> ClientCore::claim_anywhere(const ClaimTerms& terms,
                                              const std::stop_token& stop) {
  const shm::SlotIndex last = last_slot.instance == instance_ ? last_slot.slot : shm::kNoSlot;
  if (wait_budget_.shares_cpu && cpu_sharing.takes_part()) [[unlikely]] {
    const std::optional<std::uint32_t> cpu = shm::current_cpu();
    std::optional<shm::Claim> claim;
    if (cpu) claim = pool_.try_claim_beside(owner_, last, *cpu);
    if (claim) return *claim;
  }
  return pool_.claim(owner_, last, terms.deadline, stop,
                     [this] { return supervisor_.check_pool(); });
}

void ClientCore::forget_last_slot() { last_slot = {}; }

Lease ClientCore::lease_of(const shm::Claim& claim, const ClaimTerms& terms,
                           const std::stop_token& stop) {
  shm::prefetch_frame_to_write(joined_.requests->area(claim.slot));
  SlotSide& side = sides_[claim.slot];
  side.writer.begin();
  side.tensors.clear();
  side.session.clear();
  side.attends = 0;
  side.tools = nullptr;
  side.mark = {.started = terms.started, .row = 0, .errors_count = terms.errors_count};
  Lease lease;
  lease.core_ = this;
  lease.slot_ = claim.slot;
  lease.generation_ = claim.word.generation;
  lease.flags_ = claim.word.flags;
  lease.deadline_ns_ = terms.deadline;
  lease.stop_ = stop;
  return lease;
}

}  // namespace slotring::internal
