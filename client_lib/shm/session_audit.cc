#include "client_lib/shm/session_audit.h"

#include "client_lib/shm/named_chain.h"
#include "client_lib/shm/session_steps.h"

namespace slotring::shm {

using layout::SessionRecord;

namespace {

class Audit {
 public:
  Audit(const ControlSegment& segment, const std::function<bool(std::uint16_t creator)>& is_alive)
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
    return SessionWord::unpack(record.word.load(std::memory_order_acquire)).incarnation !=
           walk.word().incarnation;
  }

  bool mend(SessionIndex index) const {
    SessionRecord& record = segment_.session(index);
    SessionWord seen = SessionWord::unpack(record.word.load(std::memory_order_acquire));
    switch (seen.state) {
      case SessionState::kVacant:
        return false;
      case SessionState::kCreating:
        return !is_alive_(seen.home) && finish_creating(index, seen);
      case SessionState::kActive:
        return mend_active(index, seen);
      case SessionState::kEnded:
        return try_vacate(segment_, index, seen);
    }
    return try_step(record, seen, in_state(seen, SessionState::kVacant));
  }

  bool finish_creating(SessionIndex index, SessionWord seen) const {
    SessionRecord& record = segment_.session(index);
    const SessionName name = SessionName::load(record);
    const std::optional<bool> linked = NamedChain(segment_, name).has(index, seen.incarnation);
    if (!linked) return false;
    return try_step(record, seen,
                    *linked ? activated(seen) : in_state(seen, SessionState::kVacant));
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
    if (!try_step(segment_.session(index), seen, again)) return false;
    for (int attempt = 0; attempt < kJoinAttempts; ++attempt) {
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
  return Audit(segment, is_alive).run();
}

}  // namespace slotring::shm
