#include "client_lib/supervisor_contact.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "client_lib/shm/memory.h"
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

Error unsupervised() {
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message =
                   "the pool has no supervisor now, which would keep the broadcast for "
                   "later workers; nothing was changed",
               .retryable = true};
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
  // broadcast() sees an end of the connection at once, and whoever asks after that is told.
  if (awaits_answer_ || look_for_messages()) return true;
  const std::uint32_t epoch = epoch_in_segment();
  if (!connect()) return false;
  epoch_.store(epoch, std::memory_order_relaxed);
  return true;
}

// Takes one message, if one is there. False when the connection has ended.
// REQUIRES: mutex_ is held.
bool SupervisorContact::look_for_messages() {
  pollfd waited{socket_.get(), POLLIN, 0};
  if (::poll(&waited, 1, 0) <= 0) return true;
  if ((waited.revents & POLLIN) == 0) return false;
  const Result<shm::Packet> packet = shm::receive_packet(socket_.get(), shm::kNever);
  const auto* refused = packet ? packet->as<wire::Refused>() : nullptr;
  if (refused != nullptr && refused->code() == static_cast<int>(ErrorCode::kNotAttached)) {
    note_orphaned();
  }
  return packet.ok();  // an end of the connection comes after what was sent on it
}

void SupervisorContact::note_orphaned() {
  orphaned_.store(true, std::memory_order_relaxed);
  epoch_.store(~epoch_in_segment(), std::memory_order_relaxed);  // so that follow() looks
}

Status SupervisorContact::take_turn(shm::MonotonicNs deadline) {
  std::unique_lock lock(turns_);
  const auto free = [this] { return !broadcasts_; };
  if (deadline == shm::kNever) {
    turn_over_.wait(lock, free);
  } else {
    const shm::MonotonicNs now = shm::monotonic_now();
    const auto left = std::chrono::nanoseconds(now < deadline ? deadline - now : 0);
    if (!turn_over_.wait_for(lock, left, free)) {
      return Error{.code = ErrorCode::kDeadlineExceeded,
                   .message = "this client's other broadcasts took until the deadline",
                   .retryable = true};
    }
  }
  broadcasts_ = true;
  return Done{};
}

void SupervisorContact::end_turn() {
  {
    const std::lock_guard lock(turns_);
    broadcasts_ = false;
  }
  turn_over_.notify_one();
}

Result<std::uint32_t> SupervisorContact::broadcast(const shm::Setting& setting,
                                                   shm::MonotonicNs deadline) {
  if (Status turn = take_turn(deadline); !turn) return std::move(turn).error();
  Result<std::uint32_t> epoch = broadcast_in_turn(setting, deadline);
  end_turn();
  return epoch;
}

Result<std::uint32_t> SupervisorContact::broadcast_in_turn(const shm::Setting& setting,
                                                           shm::MonotonicNs deadline) {
  Result<shm::UniqueFd> socket = socket_for_broadcast();
  if (!socket) return std::move(socket).error();
  flatbuffers::FlatBufferBuilder builder;
  const auto key = builder.CreateString(setting.key);
  const auto method = builder.CreateString(setting.method);
  const auto payload = builder.CreateVector(
      reinterpret_cast<const std::uint8_t*>(setting.payload.data()), setting.payload.size());
  const auto message =
      wire::CreateBroadcast(builder, key, method, setting.kind, payload, setting.retracted);
  const Status sent =
      shm::send_packet(socket->get(), builder, wire::Message::Broadcast, message.Union());
  Result<std::uint32_t> epoch =
      sent ? await_epoch(socket->get(), deadline) : Result<std::uint32_t>(unsupervised());
  const std::lock_guard lock(mutex_);
  awaits_answer_ = false;
  owed_answer_ = !epoch && epoch.error().code == ErrorCode::kDeadlineExceeded;
  return epoch;
}

// A copy of the socket's descriptor, which stays whole while other threads replace the socket.
Result<shm::UniqueFd> SupervisorContact::socket_for_broadcast() {
  if (orphaned_.load(std::memory_order_relaxed)) return not_attached();
  const std::lock_guard lock(mutex_);
  const std::uint32_t epoch = epoch_in_segment();
  const bool is_told = epoch == epoch_.load(std::memory_order_relaxed);
  if (!socket_.valid() || owed_answer_ || !is_told || !look_for_messages()) {
    next_try_ns_ = 0;
    if (!connect()) {
      return unsupervised();
    }
    epoch_.store(epoch, std::memory_order_relaxed);
    owed_answer_ = false;
  }
  shm::UniqueFd copy(::fcntl(socket_.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy.valid()) return shm::system_error("dup", errno);
  awaits_answer_ = true;
  return copy;
}

Result<std::uint32_t> SupervisorContact::await_epoch(int socket, shm::MonotonicNs deadline) {
  for (;;) {
    const Result<shm::Packet> packet = shm::receive_packet(socket, deadline);
    if (!packet && packet.error().code == ErrorCode::kDeadlineExceeded) {
      return Error{ErrorCode::kDeadlineExceeded,
                   "the supervisor did not answer in time; it may still keep the broadcast"};
    }
    if (!packet) {
      return Error{ErrorCode::kWorkerUnavailable,
                   "the supervisor went away before it answered; whether it kept the broadcast is "
                   "not known, and to broadcast the same again does no harm"};
    }
    if (const auto* done = packet->as<wire::Broadcasted>()) return done->epoch();
    if (const auto* refused = packet->as<wire::Refused>()) {
      const auto code = static_cast<ErrorCode>(refused->code());
      if (code == ErrorCode::kNotAttached) {
        note_orphaned();
        return not_attached();
      }
      return Error{code, refused->message() ? refused->message()->str() : std::string()};
    }
    // Rejoined, of the connection that was just made.
  }
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
