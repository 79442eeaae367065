#include "client_lib/shm/named_chain.h"

#include "client_lib/shm/session_steps.h"

namespace slotring::shm {

using layout::SessionLink;
using layout::SessionRecord;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kAcqRel = std::memory_order_acq_rel;

}  // namespace

Error broken_chain() {
  return Error{ErrorCode::kBadSegment, "a chain of the session table is broken"};
}

NamedChain::NamedChain(const ControlSegment& segment, const SessionName& name)
    : segment_(segment),
      name_(name),
      hash_(name.hash(segment.header().instance)),
      bucket_(static_cast<std::uint32_t>(hash_ & (segment.session_bucket_count() - 1))) {}

Result<std::optional<FoundSession>> NamedChain::find() {
  SessionWalk walk(segment_, bucket_);
  for (;;) {
    const SessionWalk::Step step = walk.next();
    if (step == SessionWalk::Step::kBroken) return broken_chain();
    head_ = walk.head();
    if (step == SessionWalk::Step::kEnd) return std::optional<FoundSession>();
    if (const auto found = found_at(walk.index(), walk.word())) return std::optional(*found);
  }
}

bool NamedChain::try_join(SessionIndex index, std::uint32_t incarnation) const {
  // Relaxed: published by the bucket.
  segment_.session(index).next.store(SessionLink{incarnation, false, head_.record_plus_1}.pack(),
                                     kRelaxed);
  std::uint64_t expected = head_.pack();
  return segment_.session_bucket(bucket_).compare_exchange_strong(
      expected, SessionLink{incarnation, false, index + 1}.pack(), kAcqRel, kAcquire);
}

std::optional<bool> NamedChain::has(SessionIndex index, std::uint32_t incarnation) const {
  SessionWalk walk(segment_, bucket_);
  for (;;) {
    const SessionWalk::Step step = walk.next();
    if (step == SessionWalk::Step::kBroken) return std::nullopt;
    if (step == SessionWalk::Step::kEnd) return false;
    if (walk.index() == index && walk.word().incarnation == incarnation) return true;
  }
}

bool NamedChain::tidy() const {
  SessionWalk walk(segment_, bucket_);
  SessionWalk::Step step = walk.next();
  while (step == SessionWalk::Step::kRecord) step = walk.next();
  return step == SessionWalk::Step::kEnd;
}

std::optional<FoundSession> NamedChain::found_at(SessionIndex index, const SessionWord& met) const {
  SessionRecord& record = segment_.session(index);
  if (!name_.is_of(record)) return std::nullopt;
  // After the name: it is that of the record that the walk has met, if that is still there.
  SessionWord seen = SessionWord::unpack(record.word.load(kAcquire));
  while (seen.incarnation == met.incarnation && seen.state == SessionState::kCreating) {
    if (try_step(record, seen, activated(seen))) break;
  }
  if (seen.incarnation != met.incarnation || seen.state != SessionState::kActive) {
    return std::nullopt;
  }
  return FoundSession{index, seen, false};
}

bool try_vacate(const ControlSegment& segment, SessionIndex index, SessionWord ended) {
  SessionRecord& record = segment.session(index);
  const SessionName name = SessionName::load(record);
  // Where the record is another by now, the chain is another's, and the last step fails.
  if (!NamedChain(segment, name).tidy()) return false;
  return try_step(record, ended, in_state(ended, SessionState::kVacant));
}

}  // namespace slotring::shm
