#include "client_lib/shm/peer_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "client_lib/shm/memory.h"

namespace slotring::shm {

namespace {

Error gone() {
  return Error{.code = ErrorCode::kWorkerUnavailable,
               .message = "the other end closed the connection",
               .retryable = true};
}

bool is_directory(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

std::string runtime_directory() {
  const char* configured = std::getenv("XDG_RUNTIME_DIR");
  if (configured != nullptr && configured[0] == '/') return std::string(configured) + "/slotring";
  const std::string uid = std::to_string(::getuid());
  if (is_directory("/run/user/" + uid)) return "/run/user/" + uid + "/slotring";
  return "/tmp/slotring-" + uid;
}

// Waits until the socket is readable. False at the deadline.
Result<bool> await_readable(int socket, MonotonicNs deadline) {
  for (;;) {
    pollfd waited{socket, POLLIN, 0};
    int timeout_ms = -1;
    if (deadline != kNever) {
      const MonotonicNs now = monotonic_now();
      if (now >= deadline) return false;
      timeout_ms =
          static_cast<int>(std::min<std::uint64_t>((deadline - now) / 1'000'000 + 1, 60'000));
    }
    const int ready = ::poll(&waited, 1, timeout_ms);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return system_error("poll", errno);
  }
}

// As connect(2), but until `deadline`, after which errno is EAGAIN.
bool connect_until(int socket, const sockaddr_un& address, MonotonicNs deadline) {
  for (;;) {
    if (deadline != kNever) {
      const MonotonicNs now = monotonic_now();
      const std::uint64_t left_us = deadline > now ? (deadline - now) / 1000 + 1 : 1;
      const timeval left{static_cast<time_t>(left_us / 1'000'000),
                         static_cast<suseconds_t>(left_us % 1'000'000)};
      ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left));
    }
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
      return true;
    }
    if (errno != EINTR) return false;
  }
}

}  // namespace

std::string socket_path(std::string_view name_or_path) {
  if (name_or_path.find('/') != std::string_view::npos) return std::string(name_or_path);
  return runtime_directory() + "/" + std::string(name_or_path) + ".sock";
}

Result<UniqueFd> connect_to(const std::string& path, MonotonicNs deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::kInvalidArgument,
                 "the socket path " + path + " is longer than a Unix socket allows (" +
                     std::to_string(sizeof(address.sun_path) - 1) + ")"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return system_error("socket", errno);
  if (connect_until(socket.get(), address, deadline)) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED) {
    return Error{.code = ErrorCode::kPoolNotFound,
                 .message = "no supervisor listens at " + path,
                 .retryable = true};
  }
  if (errno == EACCES) return Error{ErrorCode::kRefused, "no permission to use " + path};
  if (errno == EAGAIN) {
    return Error{.code = ErrorCode::kDeadlineExceeded,
                 .message = "the supervisor at " + path + " takes no connections",
                 .retryable = true};
  }
  return system_error(("connect to " + path).c_str(), errno);
}

Status send_packet(int socket, flatbuffers::FlatBufferBuilder& builder, wire::Message type,
                   flatbuffers::Offset<void> message, std::span<const int> descriptors) {
  assert(descriptors.size() <= kMaxDescriptors);
  wire::FinishPacketBuffer(builder, wire::CreatePacket(builder, type, message));
  iovec part{builder.GetBufferPointer(), builder.GetSize()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * descriptors.size());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
    std::memcpy(CMSG_DATA(rights), descriptors.data(), sizeof(int) * descriptors.size());
  }
  for (;;) {
    if (::sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return Done{};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET) return gone();
    return system_error("sendmsg", errno);
  }
}

Result<Packet> receive_packet(int socket, MonotonicNs deadline) {
  Result<bool> readable = await_readable(socket, deadline);
  if (!readable) return std::move(readable).error();
  if (!*readable) {
    return Error{ErrorCode::kDeadlineExceeded, "the other end did not answer in time"};
  }
  Packet packet;
  packet.bytes.resize(kMaxPacketBytes);
  iovec part{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)];
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  // A peer that closed without reading all that was sent to it leaves ECONNRESET, once, before what
  // it had sent itself: its refusal, say.
  bool reset_seen = false;
  ssize_t received;
  do {
    received = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (received < 0 &&
           (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset_seen, true))));
  if (received < 0) return errno == ECONNRESET ? gone() : system_error("recvmsg", errno);
  // Before anything else: a packet of no bytes, which looks like the end, brings descriptors too.
  for (cmsghdr* part_of = CMSG_FIRSTHDR(&header); part_of != nullptr;
       part_of = CMSG_NXTHDR(&header, part_of)) {
    if (part_of->cmsg_level != SOL_SOCKET || part_of->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part_of) + i * sizeof(int), sizeof(int));
      packet.descriptors.emplace_back(fd);
    }
  }
  if (received == 0) return gone();
  packet.bytes.resize(static_cast<std::size_t>(received));
  // The kernel leaves out what this process has no numbers for.
  if ((header.msg_flags & MSG_CTRUNC) != 0 && packet.descriptors.size() < kMaxDescriptors) {
    return system_error("receiving descriptors", EMFILE);
  }
  flatbuffers::Verifier verifier(packet.bytes.data(), packet.bytes.size());
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || packet.bytes.size() < 8 ||
      !wire::VerifyPacketBuffer(verifier)) {
    return Error{ErrorCode::kBadFrame, "a message on the attach socket does not verify"};
  }
  return packet;
}

}  // namespace slotring::shm
