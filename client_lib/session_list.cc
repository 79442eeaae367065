#include "client_lib/session_list.h"

#include <optional>
#include <string>
#include <utility>

#include "client_lib/shm/futex.h"

namespace slotring::internal {

using shm::SessionIndex;
using shm::SessionState;
using shm::SessionWord;

namespace {

// Relaxed: each word is looked at for itself; the record's word tells afterwards whose they were.
std::uint64_t copy(const std::atomic<std::uint64_t>& word) {
  return word.load(std::memory_order_relaxed);
}

// Nothing when it has ended meanwhile.
std::optional<SessionInfo> look_at(const shm::ControlSegment& segment,
                                   const shm::SessionTable& table, SessionIndex index,
                                   const SessionWord& seen) {
  const layout::SessionRecord& record = table.record(index);
  SessionInfo info;
  info.name = table.name(index);
  if (seen.home != layout::kNoHome && seen.home <= segment.geometry().max_workers) {
    info.worker = std::uint32_t{seen.home} - 1;
  }
  info.has_state = seen.has_state();
  const auto created = std::chrono::nanoseconds(static_cast<std::int64_t>(copy(record.created_ns)));
  info.created = std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(created));
  const shm::MonotonicNs now = shm::monotonic_now();
  const shm::MonotonicNs last_used = copy(record.last_used_ns);
  if (last_used < now) {
    info.unused_for = std::chrono::nanoseconds(static_cast<std::int64_t>(now - last_used));
  }
  for (std::uint32_t kind = 0; kind < layout::kErrorKinds; ++kind) {
    const std::uint64_t ended = copy(record.stats.ended[kind]);
    info.calls += ended;
    if (kind != static_cast<std::uint32_t>(ErrorCategory::kNone)) info.errors += ended;
  }
  const SessionWord after = table.word(index);
  if (after.incarnation != seen.incarnation || after.state != SessionState::kActive) {
    return std::nullopt;
  }
  return info;
}

}  // namespace

std::vector<SessionInfo> list_sessions(const shm::ControlSegment& segment) {
  const shm::SessionTable table(segment);
  std::vector<SessionInfo> sessions;
  table.for_each([&](SessionIndex index, const SessionWord& seen) {
    if (std::optional<SessionInfo> info = look_at(segment, table, index, seen)) {
      sessions.push_back(*std::move(info));
    }
  });
  return sessions;
}

Result<SessionInfo> describe_session(const shm::ControlSegment& segment, std::string_view name) {
  const shm::SessionTable table(segment);
  Result<std::optional<shm::FoundSession>> found = table.find(name);
  if (!found) return std::move(found).error();
  if (*found) {
    const shm::FoundSession& session = **found;
    std::optional<SessionInfo> info = look_at(segment, table, session.index, session.word);
    if (info) return *std::move(info);
  }
  return session_not_found(name);
}

Error session_not_found(std::string_view name) {
  return Error{ErrorCode::kSessionNotFound,
               "the pool has no session \"" + std::string(name) + "\""};
}

}  // namespace slotring::internal
