#include "tests/linearizability/sequential_pool.h"

#include <cassert>

namespace slotring::linearizability {

using layout::SlotState;

SequentialPool::SequentialPool(const std::vector<std::uint32_t>& generations,
                               std::uint32_t slots_per_worker)
    : count_(static_cast<std::uint32_t>(generations.size())), slots_per_worker_(slots_per_worker) {
  assert(count_ <= kMaxSlots);
  for (std::uint32_t slot = 0; slot < count_; ++slot) slots_[slot].generation = generations[slot];
}

void SequentialPool::after(const Operation& op, std::vector<SequentialPool>& next) const {
  if (op.kind == Kind::kClaim) return after_claim(op, next);
  if (op.kind == Kind::kServe) return after_serve(op, next);
  if (op.slot >= count_) return;
  Slot slot = slots_[op.slot];
  const bool own = slot.owner == op.actor && slot.generation == op.generation;
  switch (op.kind) {
    case Kind::kSubmit:
      if (!own || slot.state != SlotState::kClaimed) return;
      slot.state = SlotState::kRequested;
      slot.value = op.value;
      return next.push_back(with(op.slot, slot));
    case Kind::kReply:
      if (slot.generation != op.generation) return;
      if (slot.state == SlotState::kRunning) {
        slot.state = SlotState::kReplied;
        slot.value = op.value;
        return next.push_back(with(op.slot, slot));
      }
      if (slot.state != SlotState::kAbandoned) return;
      slot.free();
      return next.push_back(with(op.slot, slot));
    case Kind::kRelease:
      if (!own || (slot.state != SlotState::kClaimed && slot.state != SlotState::kReplied)) return;
      slot.free();
      return next.push_back(with(op.slot, slot));
    case Kind::kReceive:
      return after_receive(op, next);
    case Kind::kAbandon:
      return after_abandon(op, next);
    default:
      return after_reclaim(op, next);
  }
}

void SequentialPool::after_claim(const Operation& op, std::vector<SequentialPool>& next) const {
  if (op.outcome == Outcome::kNothing) return next.push_back(*this);
  for (std::uint32_t i = 0; i < count_; ++i) {
    Slot slot = slots_[i];
    if (slot.state != SlotState::kFree) continue;
    if (op.has_outcome() && (i != op.slot || slot.generation != op.generation)) continue;
    slot.state = SlotState::kClaimed;
    slot.owner = op.actor;
    next.push_back(with(i, slot));
  }
}

void SequentialPool::after_serve(const Operation& op, std::vector<SequentialPool>& next) const {
  bool any = false;
  for (std::uint32_t i = 0; i < count_; ++i) {
    Slot slot = slots_[i];
    if (slot.state != SlotState::kRequested || i / slots_per_worker_ != op.actor) continue;
    any = true;
    if (op.outcome == Outcome::kDone &&
        (i != op.slot || slot.generation != op.generation || slot.value != op.value)) {
      continue;
    }
    slot.state = SlotState::kRunning;
    if (op.outcome != Outcome::kNothing) next.push_back(with(i, slot));
  }
  if (op.outcome == Outcome::kNothing && !any) next.push_back(*this);
}

void SequentialPool::after_receive(const Operation& op, std::vector<SequentialPool>& next) const {
  Slot slot = slots_[op.slot];
  if (slot.state != SlotState::kReplied || slot.owner != op.actor ||
      slot.generation != op.generation) {
    return;
  }
  const bool lost = slot.lost;
  if (lost != (op.outcome == Outcome::kLost) && op.has_outcome()) return;
  if (op.outcome == Outcome::kDone && slot.value != op.value) return;
  if (lost) slot.free();  // who is told of the loss has given the slot back
  next.push_back(with(op.slot, slot));
}

void SequentialPool::after_abandon(const Operation& op, std::vector<SequentialPool>& next) const {
  Slot slot = slots_[op.slot];
  if (slot.owner != op.actor || slot.generation != op.generation) return;
  switch (slot.state) {
    case SlotState::kRequested:
      if (!op.has_outcome()) {  // died with the request taken back, and the slot not yet given back
        Slot taken_back = slot;
        taken_back.state = SlotState::kClaimed;
        next.push_back(with(op.slot, taken_back));
      }
      slot.free();
      return next.push_back(with(op.slot, slot));
    case SlotState::kReplied:
      slot.free();
      return next.push_back(with(op.slot, slot));
    case SlotState::kRunning:
      slot.state = SlotState::kAbandoned;
      return next.push_back(with(op.slot, slot));
    default:
      return;
  }
}

void SequentialPool::after_reclaim(const Operation& op, std::vector<SequentialPool>& next) const {
  Slot slot = slots_[op.slot];
  if (op.kind == Kind::kReclaimClient) {
    if (slot.owner != op.actor || slot.state == SlotState::kAbandoned) {
      return next.push_back(*this);
    }
    if (slot.state == SlotState::kRunning) {
      slot.state = SlotState::kAbandoned;
    } else if (slot.state != SlotState::kFree) {
      slot.free();
    }
    return next.push_back(with(op.slot, slot));
  }
  if (op.slot / slots_per_worker_ != op.actor) return next.push_back(*this);
  if (slot.state == SlotState::kRunning) {
    slot.state = SlotState::kReplied;
    slot.lost = true;
  } else if (slot.state == SlotState::kAbandoned) {
    slot.free();
  }
  next.push_back(with(op.slot, slot));
}

SequentialPool SequentialPool::with(std::uint32_t slot, const Slot& changed) const {
  SequentialPool pool = *this;
  pool.slots_[slot] = changed;
  return pool;
}

std::size_t SequentialPool::hash() const {
  std::uint64_t hash = 0xCBF29CE484222325;
  const auto fold = [&hash](std::uint64_t fact) {
    hash = (hash ^ fact) * 0x100000001B3 ^ hash >> 29;
  };
  for (std::uint32_t i = 0; i < count_; ++i) {
    const Slot& slot = slots_[i];
    fold(static_cast<std::uint64_t>(slot.state) | std::uint64_t{slot.lost} << 8 |
         std::uint64_t{slot.owner} << 16 | std::uint64_t{slot.generation} << 32);
    fold(slot.value);
  }
  return hash;
}

}  // namespace slotring::linearizability
