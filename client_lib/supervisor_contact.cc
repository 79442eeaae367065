#include "client_lib/supervisor_contact.h"

#include <poll.h>
#include <sys/socket.h>

#include "client_lib/shm/peer_socket.h"
#include "client_lib/shm/process_identity.h"

namespace slotring::internal {

namespace {

constexpr std::uint64_t kTryAgainNs = 100'000'000;
// For a listener whose queue is full.
constexpr std::uint64_t kConnectNs = 1'000'000;

bool sees_pid_of_peer(const shm::UniqueFd& socket, std::int32_t pid_as_it_says) {
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
         peer.pid == pid_as_it_says;
}

Error not_attached() {
  return Error{.code = ErrorCode::kNotAttached,
               .message = "the pool was started anew since this client attached; attach again"};
}

}  // namespace

SupervisorContact::SupervisorContact(shm::UniqueFd socket, std::string path,
                                     const shm::Attachment& joined)
    : joined_(joined),
      path_(std::move(path)),
      socket_(std::move(socket)),
      epoch_(joined.supervisor_epoch),
      pids_are_seen_(sees_pid_of_peer(socket_, joined.supervisor_pid)) {}

Status SupervisorContact::rejoin() {
  if (orphaned_.load(std::memory_order_relaxed)) return not_attached();
  const std::uint32_t epoch = epoch_in_segment();
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return Done{};  // another thread is about it
  if (connect()) epoch_.store(epoch, std::memory_order_relaxed);
  return Done{};
}

// Connects to a new supervisor and says Rejoin; now and then only, however often it is asked.
// REQUIRES: mutex_ is held.
bool SupervisorContact::connect() {
  const shm::MonotonicNs now = shm::monotonic_now();
  if (path_.empty() || now < next_try_ns_) return false;
  next_try_ns_ = now + kTryAgainNs;
  Result<shm::UniqueFd> socket = shm::connect_to(path_, now + kConnectNs);
  if (!socket || !shm::send_rejoin(socket->get(), joined_)) return false;
  socket_ = *std::move(socket);
  return true;
}

// Whether somebody holds the other end of the connection, or of a new one.
bool SupervisorContact::is_supervised() {
  const std::lock_guard lock(mutex_);
  if (!socket_.valid()) return true;
  pollfd waited{socket_.get(), POLLIN, 0};
  if (::poll(&waited, 1, 0) <= 0) return true;
  if ((waited.revents & POLLIN) != 0) {
    const Result<shm::Packet> packet = shm::receive_packet(socket_.get(), shm::kNever);
    const auto* refused = packet ? packet->as<wire::Refused>() : nullptr;
    if (refused != nullptr && refused->code() == static_cast<int>(ErrorCode::kNotAttached)) {
      orphaned_.store(true, std::memory_order_relaxed);
      epoch_.store(~epoch_in_segment(), std::memory_order_relaxed);  // so that follow() looks
    }
    if (packet) return true;  // an end of the connection comes after what was sent on it
  }
  const std::uint32_t epoch = epoch_in_segment();
  if (!connect()) return false;
  epoch_.store(epoch, std::memory_order_relaxed);
  return true;
}

bool SupervisorContact::is_dead(shm::SeatIndex seat) const {
  const layout::SeatRecord& record = joined_.segment->seat(seat);
  return !shm::is_alive({record.pid.load(std::memory_order_relaxed),
                         record.pid_start_time.load(std::memory_order_relaxed)});
}

bool SupervisorContact::check_seat(shm::SeatIndex seat) {
  const bool supervised = is_supervised();
  if (orphaned_.load(std::memory_order_relaxed)) return false;
  return supervised || !pids_are_seen_ || !is_dead(seat);
}

bool SupervisorContact::anybody_serves() const {
  for (shm::SeatIndex seat = 0; seat < joined_.segment->geometry().max_workers; ++seat) {
    if (!is_dead(seat)) return true;
  }
  return false;
}

Status SupervisorContact::check_pool() {
  const bool supervised = is_supervised();
  if (orphaned_.load(std::memory_order_relaxed)) return not_attached();
  if (supervised || !pids_are_seen_ || anybody_serves()) return Done{};
  return Error{ErrorCode::kWorkerUnavailable,
               "the pool's workers are dead, and so is the supervisor that would start others"};
}

Error SupervisorContact::unserved_error(shm::SeatIndex seat, bool never_started) const {
  if (orphaned_.load(std::memory_order_relaxed) && never_started) return not_attached();
  Error error{.code = ErrorCode::kWorkerLost,
              .message = "the worker (seat " + std::to_string(seat) +
                         ") is dead, and so is the supervisor that would say how it died"};
  error.message += never_started ? "; the call was not started" : "; it died during the call";
  // Not where the same would happen again.
  error.retryable = never_started && anybody_serves();
  return error;
}

void SupervisorContact::say_goodbye() {
  // For a supervisor that comes later, since the message may reach nobody. Only if the place is
  // still this client's. seq_cst: partner of Pool::start(); a supervisor that takes over at this
  // moment sees it, or is seen in the epoch. Release: whoever takes the place back finds everything
  // released.
  layout::ClientRecord& record = joined_.segment->client(joined_.index);
  auto attached = static_cast<std::uint32_t>(layout::ClientState::kAttached);
  if (record.epoch.load(std::memory_order_relaxed) == joined_.generation) {
    record.state.compare_exchange_strong(attached,
                                         static_cast<std::uint32_t>(layout::ClientState::kLeft),
                                         std::memory_order_seq_cst);
  }
  flatbuffers::FlatBufferBuilder builder;
  const std::lock_guard lock(mutex_);
  const bool other_supervisor =
      joined_.segment->header().supervisor_epoch.load(std::memory_order_seq_cst) != epoch_.load();
  if (other_supervisor && !orphaned_.load(std::memory_order_relaxed)) {
    next_try_ns_ = 0;
    (void)connect();
  }
  (void)shm::send_packet(socket_.get(), builder, wire::Message::Goodbye,
                         wire::CreateGoodbye(builder).Union())
      .ok();
}

}  // namespace slotring::internal
