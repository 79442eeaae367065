#include "tests/linearizability/checker.h"

#include <algorithm>
#include <cassert>

namespace slotring::linearizability {

Checker::Checker(const SequentialPool& initial, History history)
    : initial_(initial), history_(std::move(history)) {
  assert(history_.size() <= kMaxOperations);
  std::stable_sort(history_.begin(), history_.end(),
                   [](const Operation& a, const Operation& b) { return a.called < b.called; });
  for (std::size_t i = 0; i < history_.size(); ++i) must_happen_[i] = history_[i].has_outcome();
}

bool Checker::linearizable() { return search({}, initial_, 0); }

bool Checker::search(const Happened& happened, const SequentialPool& pool,
                     std::uint64_t latest_call) {
  if ((must_happen_ & ~happened).none()) return true;
  if (!seen_.insert({happened, pool}).second) return false;
  std::uint64_t first_return = kEnd;
  for (std::size_t i = 0; i < history_.size(); ++i) {
    if (must_happen_[i] && !happened[i]) {
      first_return = std::min(first_return, history_[i].returned);
    }
  }
  std::vector<SequentialPool> next;
  for (std::size_t i = 0; i < history_.size(); ++i) {
    const Operation& op = history_[i];
    if (op.called > first_return) break;  // one that must come before it has not happened
    if (happened[i]) continue;
    if (op.returned < latest_call) continue;  // its process was dead by then
    next.clear();
    pool.after(op, next);
    Happened more = happened;
    more.set(i);
    for (const SequentialPool& changed : next) {
      if (search(more, changed, std::max(latest_call, op.called))) return true;
    }
  }
  return false;
}

namespace {

bool is_violation(const SequentialPool& initial, const History& history) {
  return !Checker(initial, history).linearizable();
}

// What was known of the history at `end`.
History until(const History& history, std::uint64_t end) {
  History part;
  for (Operation op : history) {
    if (op.called > end) continue;
    if (op.returned > end) {
      op.outcome = Outcome::kNone;
      op.returned = kEnd;
    }
    part.push_back(op);
  }
  return part;
}

// The part that has to do with one slot. Restricting a linearizable history to it leaves one, since
// slots do not depend on each other.
History of_slot(const History& history, std::uint32_t slot) {
  History part;
  for (const Operation& op : history) {
    const bool nothing = op.outcome == Outcome::kNothing && op.kind == Kind::kClaim;
    if (!nothing && (!op.names_slot() || op.slot == slot)) part.push_back(op);
  }
  return part;
}

}  // namespace

History smallest_violation(const SequentialPool& initial, const History& history) {
  std::vector<std::uint64_t> ends;
  for (const Operation& op : history) {
    if (op.has_outcome()) ends.push_back(op.returned);
  }
  std::sort(ends.begin(), ends.end());
  // A beginning of a linearizable history is linearizable, so one end parts the two.
  const auto first_bad = std::partition_point(ends.begin(), ends.end(), [&](std::uint64_t end) {
    return !is_violation(initial, until(history, end));
  });
  const History part = first_bad == ends.end() ? history : until(history, *first_bad);
  for (std::uint32_t slot = 0; slot < SequentialPool::kMaxSlots; ++slot) {
    const History one = of_slot(part, slot);
    if (is_violation(initial, one)) return one;
  }
  return part;
}

}  // namespace slotring::linearizability
