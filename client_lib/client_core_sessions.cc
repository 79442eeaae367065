// Claims that are for a certain worker: by a session, which has one, or by the caller.

#include "client_lib/client_core.h"

namespace slotring::internal {

Result<Lease> ClientCore::claim_in_session(const ClaimTerms& terms, const std::stop_token& stop) {
  const SessionRouter::Served served{
      [this] { return supervisor_.check_pool(); },
      [this](shm::SeatIndex seat) { return check_served_by(seat); },
  };
  SessionRef session;
  const SessionCall call{terms.session, terms.session_mode, terms.started, terms.deadline};
  Result<shm::Claim> claim = router_.claim(call, session, stop, served);
  if (!claim) return std::move(claim).error();
  Lease lease = lease_of(*claim, terms, stop);
  sides_[claim->slot].session = terms.session;
  sides_[claim->slot].mark.session = session;
  return lease;
}

Result<Lease> ClientCore::claim_on(shm::SeatIndex seat, shm::MonotonicNs deadline,
                                   const std::stop_token& stop) {
  if (Status ready = prepare_to_claim(stop); !ready) return std::move(ready).error();
  Result<shm::Claim> claim =
      pool_.claim_on(owner_, seat, deadline, stop, [this, seat] { return check_served_by(seat); });
  if (!claim) return std::move(claim).error();
  return lease_of(*claim, {.started = shm::monotonic_now(), .deadline = deadline}, stop);
}

Status ClientCore::check_served_by(shm::SeatIndex seat) {
  if (!supervisor_.check_seat(seat)) {
    return supervisor_.unserved_error(seat, /*never_started=*/true);
  }
  return supervisor_.check_pool();
}

void ClientCore::drop_session(std::string_view name) {
  const Result<std::optional<shm::FoundSession>> found = router_.table().find(name);
  if (!found || !*found || (*found)->word.has_state()) return;
  // False: somebody uses it at this moment.
  (void)router_.table().try_end((*found)->index, (*found)->word);
}

}  // namespace slotring::internal
