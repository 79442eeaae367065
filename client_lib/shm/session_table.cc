#include "client_lib/shm/session_table.h"

#include <time.h>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/named_chain.h"
#include "client_lib/shm/session_chain.h"
#include "client_lib/shm/session_steps.h"

namespace slotring::shm {

using layout::SessionRecord;

namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kAcquire = std::memory_order_acquire;

std::uint64_t realtime_now() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
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

bool try_take(SessionRecord& record, SessionWord& seen, std::uint16_t creator) {
  if (seen.state != SessionState::kVacant) return false;
  return try_step(record, seen, {seen.incarnation + 1, creator, SessionState::kCreating, 0});
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
      if (look_at_ended && taken.state == SessionState::kEnded &&
          try_vacate(segment, index, taken)) {
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
  for (int attempt = 0; attempt < kJoinAttempts; ++attempt) {
    if (chain.try_join(*index, taken.incarnation)) {
      // Unless somebody that found it was faster.
      const SessionWord created = activated(taken);
      (void)try_step(record, taken, created);
      return FoundSession{*index, created, true};
    }
    found = chain.find();
    if (!found || *found) break;
  }
  (void)try_step(record, taken, in_state(taken, SessionState::kVacant));
  if (!found) return std::move(found).error();
  if (!*found) return broken_chain();
  return **found;
}

bool SessionTable::try_update(SessionIndex index, SessionWord& seen, std::uint16_t home,
                              std::uint8_t flags) const {
  SessionRecord& record = segment_->session(index);
  if (seen.state != SessionState::kActive) {
    seen = word(index);
    return false;
  }
  return try_step(record, seen, {seen.incarnation, home, SessionState::kActive, flags});
}

bool SessionTable::try_end(SessionIndex index, const SessionWord& seen) const {
  if (seen.state != SessionState::kActive) return false;
  SessionWord ended = seen;
  if (!try_step(segment_->session(index), ended, in_state(seen, SessionState::kEnded)))
    return false;
  // Where its chain is broken, the record waits for the audit.
  (void)try_vacate(*segment_, index, ended);
  return true;
}

SessionWord SessionTable::word(SessionIndex index) const {
  // Acquire: partner of try_step().
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

}  // namespace slotring::shm
