#include "client_lib/shm/session_table.h"

#include <time.h>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/session_chain.h"

namespace slotring::shm {

using layout::SessionLink;
using layout::SessionRecord;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;
constexpr auto kAcqRel = std::memory_order_acq_rel;

// Each failure needs another's success; correct peers do not cause so many in a row.
constexpr int kAttempts = 1 << 12;

std::uint64_t realtime_now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

Error broken() { return Error{ErrorCode::kBadSegment, "a chain of the session table is broken"}; }

// Acquire and release: who sees the record's new state sees what was written before.
bool try_set(SessionRecord& record, SessionWord& seen, const SessionWord& next) {
  std::uint64_t expected = seen.pack();
  const bool set = record.word.compare_exchange_strong(expected, next.pack(), kAcqRel, kAcquire);
  seen = set ? next : SessionWord::unpack(expected);
  return set;
}

SessionWord in_state(SessionWord word, SessionState state) {
  word.state = state;
  if (state == SessionState::kVacant) {
    word.home = layout::kNoHome;
    word.flags = 0;
  }
  return word;
}

// What CREATING becomes. `home` named the creator until now.
SessionWord active(const SessionWord& creating) {
  return {creating.incarnation, layout::kNoHome, SessionState::kActive, 0};
}

void write_new(SessionRecord& record, const SessionName& name) {
  name.store(record);
  record.home_generation.store(0, kRelaxed);
  record.created_ns.store(realtime_now(), kRelaxed);
  record.last_used_ns.store(monotonic_now(), kRelaxed);
  for (auto& ended : record.stats.ended) ended.store(0, kRelaxed);
  record.stats.total_ns.store(0, kRelaxed);
  for (auto& calls : record.stats.latency) calls.store(0, kRelaxed);
}

// The operations by name, on one chain. Shared by the table and its audit.
class NamedChain {
 public:
  NamedChain(const ControlSegment& segment, const SessionName& name)
      : segment_(segment),
        name_(name),
        hash_(name.hash(segment.header().instance)),
        bucket_(static_cast<std::uint32_t>(hash_ & (segment.session_bucket_count() - 1))) {}

  std::uint32_t bucket() const { return bucket_; }
  std::uint64_t hash() const { return hash_; }

  // The ACTIVE record of the name; one that is in the chain and CREATING becomes ACTIVE by it.
  // try_join() may follow.
  Result<std::optional<FoundSession>> find() {
    SessionWalk walk(segment_, bucket_);
    for (;;) {
      const SessionWalk::Step step = walk.next();
      if (step == SessionWalk::Step::kBroken) return broken();
      head_ = walk.head();
      if (step == SessionWalk::Step::kEnd) return std::optional<FoundSession>();
      if (const auto found = found_at(walk.index(), walk.word())) return std::optional(*found);
    }
  }

  // Puts a record of the name in front, unless the chain has got others since find().
  bool try_join(SessionIndex index, std::uint32_t incarnation) const {
    // Relaxed: published by the bucket.
    segment_.session(index).next.store(SessionLink{incarnation, false, head_.record_plus_1}.pack(),
                                       kRelaxed);
    std::uint64_t expected = head_.pack();
    return segment_.session_bucket(bucket_).compare_exchange_strong(
        expected, SessionLink{incarnation, false, index + 1}.pack(), kAcqRel, kAcquire);
  }

  // Whether the record is in the chain; nothing when that cannot be said.
  std::optional<bool> has(SessionIndex index, std::uint32_t incarnation) const {
    SessionWalk walk(segment_, bucket_);
    for (;;) {
      const SessionWalk::Step step = walk.next();
      if (step == SessionWalk::Step::kBroken) return std::nullopt;
      if (step == SessionWalk::Step::kEnd) return false;
      if (walk.index() == index && walk.word().incarnation == incarnation) return true;
    }
  }

  // Takes what has ended out of the chain. False when it is broken.
  bool tidy() const {
    SessionWalk walk(segment_, bucket_);
    SessionWalk::Step step = walk.next();
    while (step == SessionWalk::Step::kRecord) step = walk.next();
    return step == SessionWalk::Step::kEnd;
  }

 private:
  std::optional<FoundSession> found_at(SessionIndex index, const SessionWord& met) const {
    SessionRecord& record = segment_.session(index);
    if (!name_.is_of(record)) return std::nullopt;
    // After the name: it is that of the record that the walk has met, if that is still there.
    SessionWord seen = SessionWord::unpack(record.word.load(kAcquire));
    while (seen.incarnation == met.incarnation && seen.state == SessionState::kCreating) {
      if (try_set(record, seen, active(seen))) break;
    }
    if (seen.incarnation != met.incarnation || seen.state != SessionState::kActive) {
      return std::nullopt;
    }
    return FoundSession{index, seen, false};
  }

  const ControlSegment& segment_;
  const SessionName& name_;
  std::uint64_t hash_;
  std::uint32_t bucket_;
  SessionLink head_;
};

// ENDED -> VACANT, after its chain does not have the record any more. False when it is still there.
bool finish(const ControlSegment& segment, SessionIndex index, SessionWord ended) {
  SessionRecord& record = segment.session(index);
  const SessionName name = SessionName::load(record);
  // Where the record is another by now, the chain is another's, and the last step fails.
  if (!NamedChain(segment, name).tidy()) return false;
  return try_set(record, ended, in_state(ended, SessionState::kVacant));
}

bool try_take(SessionRecord& record, SessionWord& seen, std::uint16_t creator) {
  if (seen.state != SessionState::kVacant) return false;
  return try_set(record, seen, {seen.incarnation + 1, creator, SessionState::kCreating, 0});
}

// Makes a vacant record CREATING, and returns its index. `taken` becomes its word.
std::optional<SessionIndex> take_vacant(const ControlSegment& segment, std::uint64_t start,
                                        std::uint16_t creator, SessionWord& taken) {
  const std::uint32_t records = segment.geometry().max_sessions;
  const auto first = static_cast<std::uint32_t>(start % records);
  // At the second look, records whose enders stopped, or died, in the middle are taken, too.
  for (const bool look_at_ended : {false, true}) {
    for (std::uint32_t i = 0; i < records; ++i) {
      const SessionIndex index = (first + i) % records;
      SessionRecord& record = segment.session(index);
      taken = SessionWord::unpack(record.word.load(kAcquire));
      if (look_at_ended && taken.state == SessionState::kEnded && finish(segment, index, taken)) {
        taken = SessionWord::unpack(record.word.load(kAcquire));
      }
      if (try_take(record, taken, creator)) return index;
    }
  }
  return std::nullopt;
}

Error limit(const ControlSegment& segment) {
  return Error{.code = ErrorCode::kSessionLimit,
               .message = "the pool has " + std::to_string(segment.geometry().max_sessions) +
                          " sessions, as many as max_sessions allows",
               .retryable = true};
}

Error bad_name(std::string_view name) {
  return Error{ErrorCode::kInvalidArgument,
               name.empty()
                   ? std::string("a session's name is empty")
                   : "a session's name has " + std::to_string(name.size()) + " bytes, more than " +
                         std::to_string(layout::kMaxSessionNameBytes)};
}

}  // namespace

Result<std::optional<FoundSession>> SessionTable::find(std::string_view name) const {
  const std::optional<SessionName> made = SessionName::of(name);
  if (!made) return bad_name(name);
  if (segment_->session_bucket_count() == 0) return std::optional<FoundSession>();
  return NamedChain(*segment_, *made).find();
}

Result<FoundSession> SessionTable::find_or_create(std::string_view name,
                                                  std::uint16_t creator) const {
  const std::optional<SessionName> made = SessionName::of(name);
  if (!made) return bad_name(name);
  if (segment_->session_bucket_count() == 0) {
    return Error{ErrorCode::kInvalidArgument, "the pool has no sessions: its max_sessions is 0"};
  }
  NamedChain chain(*segment_, *made);
  Result<std::optional<FoundSession>> found = chain.find();
  if (!found) return std::move(found).error();
  if (*found) return **found;

  SessionWord taken;
  // The upper half: the lower one chose the bucket.
  const auto index = take_vacant(*segment_, chain.hash() >> 32, creator, taken);
  if (!index) return limit(*segment_);
  SessionRecord& record = segment_->session(*index);
  write_new(record, *made);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (chain.try_join(*index, taken.incarnation)) {
      // Unless somebody that found it was faster.
      const SessionWord created = active(taken);
      (void)try_set(record, taken, created);
      return FoundSession{*index, created, true};
    }
    found = chain.find();
    if (!found || *found) break;
  }
  (void)try_set(record, taken, in_state(taken, SessionState::kVacant));
  if (!found) return std::move(found).error();
  if (!*found) return broken();
  return **found;
}

bool SessionTable::try_update(SessionIndex index, SessionWord& seen, std::uint16_t home,
                              std::uint8_t flags) const {
  SessionRecord& record = segment_->session(index);
  if (seen.state != SessionState::kActive) {
    seen = word(index);
    return false;
  }
  return try_set(record, seen, {seen.incarnation, home, SessionState::kActive, flags});
}

bool SessionTable::try_end(SessionIndex index, const SessionWord& seen) const {
  if (seen.state != SessionState::kActive) return false;
  SessionWord ended = seen;
  if (!try_set(segment_->session(index), ended, in_state(seen, SessionState::kEnded))) return false;
  // Where its chain is broken, the record waits for the audit.
  (void)finish(*segment_, index, ended);
  return true;
}

SessionWord SessionTable::word(SessionIndex index) const {
  // Acquire: partner of try_set().
  return SessionWord::unpack(segment_->session(index).word.load(kAcquire));
}

std::string SessionTable::name(SessionIndex index) const {
  return SessionName::load(segment_->session(index)).text();
}

void SessionTable::for_each(
    const std::function<void(SessionIndex, const SessionWord&)>& see) const {
  for (SessionIndex index = 0; index < segment_->geometry().max_sessions; ++index) {
    const SessionWord seen = word(index);
    if (seen.state == SessionState::kActive) see(index, seen);
  }
}

namespace {

class SessionAudit {
 public:
  SessionAudit(const ControlSegment& segment,
               const std::function<bool(std::uint16_t creator)>& is_alive)
      : segment_(segment), is_alive_(is_alive) {}

  std::uint32_t run() {
    // First: whoever is behind what is cut off here is linked again by mend().
    for (std::uint32_t bucket = 0; bucket < segment_.session_bucket_count(); ++bucket) {
      mend_chain(bucket);
    }
    for (SessionIndex i = 0; i < segment_.geometry().max_sessions; ++i) mended_ += mend(i);
    return mended_;
  }

 private:
  // Bounded: a chain that breaks again and again is left to the next audit.
  static constexpr int kCuts = 64;

  void mend_chain(std::uint32_t bucket) {
    for (int i = 0; i < kCuts && !is_sound(bucket); ++i) ++mended_;
  }
  // Cuts off the chain where it is not sound.
  bool is_sound(std::uint32_t bucket) const {
    SessionWalk walk(segment_, bucket);
    for (;;) {
      const SessionWalk::Step step = walk.next();
      if (step == SessionWalk::Step::kEnd) return true;
      if (step == SessionWalk::Step::kRecord && belongs(walk, bucket)) continue;
      (void)walk.cut();
      return false;
    }
  }
  bool belongs(const SessionWalk& walk, std::uint32_t bucket) const {
    const SessionRecord& record = segment_.session(walk.index());
    const SessionName name = SessionName::load(record);
    if (name.valid() && NamedChain(segment_, name).bucket() == bucket) return true;
    // The name may be that of a record that has taken its place.
    return SessionWord::unpack(record.word.load(kAcquire)).incarnation != walk.word().incarnation;
  }

  bool mend(SessionIndex index) const {
    SessionRecord& record = segment_.session(index);
    SessionWord seen = SessionWord::unpack(record.word.load(kAcquire));
    switch (seen.state) {
      case SessionState::kVacant:
        return false;
      case SessionState::kCreating:
        return !is_alive_(seen.home) && finish_creating(index, seen);
      case SessionState::kActive:
        return mend_active(index, seen);
      case SessionState::kEnded:
        return finish(segment_, index, seen);
    }
    return try_set(record, seen, in_state(seen, SessionState::kVacant));
  }

  bool finish_creating(SessionIndex index, SessionWord seen) const {
    SessionRecord& record = segment_.session(index);
    const SessionName name = SessionName::load(record);
    const std::optional<bool> linked = NamedChain(segment_, name).has(index, seen.incarnation);
    if (!linked) return false;
    return try_set(record, seen, *linked ? active(seen) : in_state(seen, SessionState::kVacant));
  }

  bool mend_active(SessionIndex index, SessionWord seen) const {
    const SessionName name = SessionName::load(segment_.session(index));
    if (!name.valid()) return end(index, seen);
    NamedChain chain(segment_, name);
    const Result<std::optional<FoundSession>> found = chain.find();
    if (!found) return false;
    if (*found) return (*found)->index != index && end(index, seen);
    return link_again(chain, index, seen);
  }
  bool end(SessionIndex index, const SessionWord& seen) const {
    return SessionTable(segment_).try_end(index, seen);
  }
  // Under an incarnation of its own: somebody may be about to change a link of the one before.
  bool link_again(NamedChain& chain, SessionIndex index, SessionWord seen) const {
    SessionWord again = seen;
    ++again.incarnation;
    if (!try_set(segment_.session(index), seen, again)) return false;
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
      if (chain.try_join(index, again.incarnation)) return true;
      const Result<std::optional<FoundSession>> found = chain.find();
      if (!found) return true;  // the next audit finds it as this one did
      if (*found) return end(index, again);
    }
    return true;
  }

  const ControlSegment& segment_;
  const std::function<bool(std::uint16_t)>& is_alive_;
  std::uint32_t mended_ = 0;
};

}  // namespace

std::uint32_t audit_sessions(const ControlSegment& segment,
                             const std::function<bool(std::uint16_t creator)>& is_alive) {
  return SessionAudit(segment, is_alive).run();
}

}  // namespace slotring::shm
