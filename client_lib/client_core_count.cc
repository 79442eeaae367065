// How the calls of a client are counted when they end.

#include "client_lib/client_core.h"
#include "client_lib/shm/cpu_sharing.h"

namespace slotring::internal {

void ClientCore::count_lease(const CallMark& mark, ErrorCategory outcome) {
  if (outcome != ErrorCategory::kNone && !mark.errors_count) return;
  count(mark.row, mark.session, outcome, mark.started);
}

void ClientCore::count_error(std::string_view method, std::string_view session, const Error& error,
                             shm::MonotonicNs started) {
  if (error.code == ErrorCode::kForked) return;  // this process has no place to count in
  SessionRef ref;
  if (!session.empty()) {
    const Result<std::optional<shm::FoundSession>> found = router_.table().find(session);
    if (found && *found) ref = {(*found)->index, (*found)->word.incarnation};
  }
  const std::uint16_t id = method.empty() ? std::uint16_t{0} : methods_.find(method, segment());
  count(CallStatistics::row_of(id), ref, error.category(), started);
}

void ClientCore::count(std::uint16_t row, const SessionRef& session, ErrorCategory outcome,
                       shm::MonotonicNs started) {
  const shm::MonotonicNs now = shm::monotonic_now();
  const std::uint64_t ns = now > started ? now - started : 0;
  note_call(ns, now);
  statistics_.count(row, outcome, ns);
  if (session.incarnation == 0) return;
  // Not of a later session in the same record, but for one that begins at this moment.
  const shm::SessionWord seen = router_.table().word(session.index);
  if (seen.incarnation != session.incarnation) return;
  count_call(segment().session(session.index).stats, outcome, ns);
}

Error ClientCore::fail(Error error) const {
  layout::ClientRecord& record = joined_.segment->client(owner_);
  record.calls.fetch_add(1, std::memory_order_relaxed);
  record.errors.fetch_add(1, std::memory_order_relaxed);
  return error;
}

}  // namespace slotring::internal
