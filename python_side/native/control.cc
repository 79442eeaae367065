#include "python_side/native/control.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "client_lib/shm/peer_socket.h"

namespace slotring::python {

namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{32} << 10;  // three of them fit a packet

// At most kMaxTextBytes, and no half of a character. A traceback's end tells more than its start.
std::string last_of(const std::string& text) {
  if (text.size() <= kMaxTextBytes) return text;
  std::size_t begin = text.size() - kMaxTextBytes;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) ++begin;
  return text.substr(begin);
}

bool is_readable(const pollfd& waited) { return waited.revents != 0; }

void read_all(int fd) {
  char bytes[64];
  while (::read(fd, bytes, sizeof(bytes)) > 0) {
  }
}

int timeout_until(shm::MonotonicNs deadline) {
  if (deadline == shm::kNever) return -1;
  const shm::MonotonicNs now = shm::monotonic_now();
  if (now >= deadline) return 0;
  // Rounded up, and a day at most: callers look at the clock again.
  return static_cast<int>(std::min<std::uint64_t>((deadline - now) / 1'000'000 + 1, 86'400'000));
}

}  // namespace

Result<std::vector<std::uint16_t>> publish(int socket, const std::vector<std::string>& methods,
                                           const std::string& runtime, shm::MonotonicNs deadline) {
  flatbuffers::FlatBufferBuilder builder;
  const auto names = builder.CreateVectorOfStrings(methods);
  const auto runtime_at = builder.CreateString(runtime);
  const auto ready = wire::CreateReady(builder, names, runtime_at);
  if (Status sent = shm::send_packet(socket, builder, wire::Message::Ready, ready.Union()); !sent) {
    return std::move(sent).error();
  }
  Result<shm::Packet> answer = shm::receive_packet(socket, deadline);
  if (!answer) return std::move(answer).error();
  if (answer->as<wire::Drain>() != nullptr) {
    return Error{ErrorCode::kPoolDraining, "told to leave before it was published"};
  }
  const auto* published = answer->as<wire::Published>();
  if (published == nullptr || published->method_ids() == nullptr ||
      published->method_ids()->size() != methods.size()) {
    return Error{ErrorCode::kBadFrame, "the supervisor answered Ready with something else"};
  }
  return std::vector<std::uint16_t>(published->method_ids()->begin(),
                                    published->method_ids()->end());
}

Status send_setup_failed(int socket, const Error& failure) {
  flatbuffers::FlatBufferBuilder builder;
  const auto python_type = builder.CreateString(last_of(failure.python_type));
  const auto message = builder.CreateString(last_of(failure.message));
  const auto traceback = builder.CreateString(last_of(failure.traceback));
  const auto failed = wire::CreateSetupFailed(builder, python_type, message, traceback);
  return shm::send_packet(socket, builder, wire::Message::SetupFailed, failed.Union());
}

Status send_goodbye(int socket) {
  flatbuffers::FlatBufferBuilder builder;
  const auto goodbye = wire::CreateGoodbye(builder);
  return shm::send_packet(socket, builder, wire::Message::Goodbye, goodbye.Union());
}

ControlEvent next_control_event(int socket, int wake_fd, shm::MonotonicNs deadline,
                                const std::function<void()>& on_signal) {
  for (;;) {
    pollfd waited[2] = {{socket, POLLIN, 0}, {wake_fd, POLLIN, 0}};
    const int ready = ::poll(waited, 2, timeout_until(deadline));
    if (ready > 0 && is_readable(waited[1])) {
      read_all(wake_fd);
      on_signal();
    }
    if (ready > 0 && is_readable(waited[0])) {
      const Result<shm::Packet> packet = shm::receive_packet(socket, shm::kNever);
      // A message that does not verify is no reason to stop serving; an unknown one neither.
      if (packet && packet->as<wire::Drain>() != nullptr) return ControlEvent::kDrain;
      if (!packet && packet.error().code != ErrorCode::kBadFrame) return ControlEvent::kGone;
    }
    if (deadline != shm::kNever && shm::monotonic_now() >= deadline) return ControlEvent::kTimeout;
  }
}

}  // namespace slotring::python
