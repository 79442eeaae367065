#include "client_lib/shm/supervisor_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "client_lib/shm/peer_socket.h"
#include "client_lib/shm/process_identity.h"
#include "slotring/version.h"

namespace slotring::shm {

namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{32} << 10;  // three of them fit a packet
constexpr int kBacklog = 128;
constexpr int kPauseMs = 100;

// At most kMaxTextBytes, and no half of a character. A traceback's end tells more than its start.
std::string last_of(const std::string& text) {
  if (text.size() <= kMaxTextBytes) return text;
  std::size_t begin = text.size() - kMaxTextBytes;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return text.substr(begin);
}

void read_all(int fd) {
  char bytes[64];
  while (::read(fd, bytes, sizeof(bytes)) > 0) {
  }
}

int timeout_until(MonotonicNs deadline) {
  if (deadline == kNever) return -1;
  const MonotonicNs now = monotonic_now();
  if (now >= deadline) return 0;
  // Rounded up, and a day at most: callers look at the clock again.
  return static_cast<int>(std::min<std::uint64_t>((deadline - now) / 1'000'000 + 1, 86'400'000));
}

// Only this user's processes and root's get the pool's memory.
bool is_trusted(int socket) {
  ucred peer{};
  socklen_t bytes = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

}  // namespace

SupervisorLink::SupervisorLink(UniqueFd socket, UniqueFd seat_socket)
    : socket_(std::move(socket)), seat_socket_(std::move(seat_socket)) {
  // Once more, by this process: who connects is told its identity, not that of the supervisor which
  // made the socket.
  if (seat_socket_.valid()) ::listen(seat_socket_.get(), kBacklog);
}

Result<WorkerSeat> SupervisorLink::attach(std::string_view name, MonotonicNs deadline) {
  Result<Attachment> joined = shm::attach(socket_.get(), wire::Role::Worker, name, deadline);
  if (!joined) return std::move(joined).error();
  joined_ = *joined;
  return WorkerSeat::sit_down(*std::move(joined));
}

Result<std::vector<std::uint16_t>> SupervisorLink::publish(std::vector<std::string> methods,
                                                           const std::string& runtime,
                                                           MonotonicNs deadline) {
  // From here on it outlives its supervisor; before, nobody could take it over (launcher.cc).
  ::prctl(PR_SET_PDEATHSIG, 0);
  flatbuffers::FlatBufferBuilder builder;
  const auto names = builder.CreateVectorOfStrings(methods);
  const auto runtime_at = builder.CreateString(runtime);
  const auto ready = wire::CreateReady(builder, names, runtime_at);
  if (Status sent = send_packet(socket_.get(), builder, wire::Message::Ready, ready.Union());
      !sent) {
    return std::move(sent).error();
  }
  Result<Packet> answer = receive_packet(socket_.get(), deadline);
  if (!answer) return std::move(answer).error();
  if (answer->as<wire::Drain>() != nullptr) {
    return Error{ErrorCode::kPoolDraining, "told to leave before it was published"};
  }
  const auto* published = answer->as<wire::Published>();
  if (published == nullptr || published->method_ids() == nullptr ||
      published->method_ids()->size() != methods.size()) {
    return Error{ErrorCode::kBadFrame, "the supervisor answered Ready with something else"};
  }
  reserve_descriptors();
  methods_ = std::move(methods);
  method_ids_.assign(published->method_ids()->begin(), published->method_ids()->end());
  return method_ids_;
}

Status SupervisorLink::send_setup_failed(const Error& failure) {
  flatbuffers::FlatBufferBuilder builder;
  const auto python_type = builder.CreateString(last_of(failure.python_type));
  const auto message = builder.CreateString(last_of(failure.message));
  const auto traceback = builder.CreateString(last_of(failure.traceback));
  const auto failed = wire::CreateSetupFailed(builder, python_type, message, traceback);
  return send_packet(socket_.get(), builder, wire::Message::SetupFailed, failed.Union());
}

Status SupervisorLink::send_goodbye() {
  const std::lock_guard lock(replacing_);
  flatbuffers::FlatBufferBuilder builder;
  const auto goodbye = wire::CreateGoodbye(builder);
  return send_packet(socket_.get(), builder, wire::Message::Goodbye, goodbye.Union());
}

void SupervisorLink::watch(const Concerns& concerns, MonotonicNs patience_ns) {
  const auto end_of_patience = [patience_ns] {
    return patience_ns == kNever ? kNever : monotonic_now() + patience_ns;
  };
  MonotonicNs deadline = end_of_patience();
  bool pause = false;  // there is no descriptor for whoever connects
  for (;;) {
    const bool alone = !socket_.valid();
    enum { kSupervisor, kSuccessor, kSignals, kSeatSocket };
    pollfd waited[] = {{socket_.get(), POLLIN, 0},
                       {successor_.get(), POLLIN, 0},
                       {concerns.wake_fd, POLLIN, 0},
                       {alone && !pause ? seat_socket_.get() : -1, POLLIN, 0}};
    int timeout_ms = alone ? timeout_until(deadline) : -1;
    if (pause) timeout_ms = timeout_ms < 0 ? kPauseMs : std::min(timeout_ms, kPauseMs);
    const int ready = ::poll(waited, std::size(waited), timeout_ms);
    pause = false;
    if (ready > 0) {
      if (waited[kSignals].revents != 0) {
        read_all(concerns.wake_fd);
        concerns.on_signal();
      }
      if (waited[kSupervisor].revents != 0) {
        receive_message(concerns);
        if (!socket_.valid()) deadline = end_of_patience();
      }
      if (waited[kSuccessor].revents != 0) take_answer();
      if (waited[kSeatSocket].revents != 0) pause = !meet_supervisor(concerns.draining());
    }
    if (socket_.valid() || deadline == kNever || monotonic_now() < deadline) continue;
    if (!concerns.stay_for_clients || !anybody_attached()) return;
    deadline = end_of_patience();
  }
}

void SupervisorLink::receive_message(const Concerns& concerns) {
  const Result<Packet> packet = receive_packet(socket_.get(), kNever);
  // A message that does not verify is no reason to stop serving; an unknown one neither.
  if (packet && packet->as<wire::Drain>() != nullptr) return concerns.on_drain();
  if (packet || packet.error().code == ErrorCode::kBadFrame) return;
  replace_socket(UniqueFd());
  reserve_descriptors();
}

void SupervisorLink::reserve_descriptors() {
  for (UniqueFd& reserved : reserve_) {
    if (!reserved.valid()) reserved = UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
}

// The latest to connect is the one that lives: supervisors exclude each other. False when there is
// no descriptor for it; it waits then.
bool SupervisorLink::meet_supervisor(bool draining) {
  reserve_[0].reset();
  UniqueFd connection(::accept4(seat_socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection.valid()) return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
  if (is_trusted(connection.get()) && send_resume(connection.get(), draining)) {
    successor_ = std::move(connection);
  }
  return true;
}

Status SupervisorLink::send_resume(int socket, bool draining) const {
  const wire::PoolGeometry geometry = to_wire(joined_.segment->geometry());
  flatbuffers::FlatBufferBuilder builder;
  const auto version_at = builder.CreateString(version());
  const auto pool = builder.CreateString(joined_.pool);
  const auto methods = builder.CreateVectorOfStrings(methods_);
  const auto method_ids = builder.CreateVector(method_ids_);
  const auto resume =
      wire::CreateResume(builder, layout::kProtocolVersion, layout::kLayoutVersion,
                         layout::layout_hash(), version_at, pool, joined_.instance, joined_.index,
                         joined_.generation, &geometry, methods, method_ids, draining);
  const int descriptors[] = {joined_.segment->memory().get(), joined_.requests->memory().get(),
                             joined_.replies->memory().get()};
  return send_packet(socket, builder, wire::Message::Resume, resume.Union(), descriptors);
}

void SupervisorLink::take_answer() {
  reserve_ = {};
  const Result<Packet> packet = receive_packet(successor_.get(), kNever);
  if (packet && packet->as<wire::Resumed>() != nullptr) {
    // What was printed meanwhile is lost, like what is printed to a terminal that was closed.
    for (std::size_t i = 0; i < packet->descriptors.size() && i < 2; ++i) {
      ::dup2(packet->descriptors[i].get(), STDOUT_FILENO + static_cast<int>(i));
    }
    replace_socket(std::move(successor_));
  } else {
    successor_.reset();  // it died, or wants another build: another may come
  }
  reserve_descriptors();
}

void SupervisorLink::replace_socket(UniqueFd socket) {
  const std::lock_guard lock(replacing_);
  socket_ = std::move(socket);
}

bool SupervisorLink::anybody_attached() const {
  const ControlSegment& segment = *joined_.segment;
  for (std::uint32_t i = 0; i < segment.geometry().max_clients; ++i) {
    const layout::ClientRecord& client = segment.client(i);
    // Acquire: partner of the supervisor's release after it wrote the other fields.
    const auto state =
        static_cast<layout::ClientState>(client.state.load(std::memory_order_acquire));
    if (state == layout::ClientState::kAttached &&
        is_alive({client.pid.load(std::memory_order_relaxed),
                  client.pid_start_time.load(std::memory_order_relaxed)})) {
      return true;
    }
  }
  return false;
}

}  // namespace slotring::shm
