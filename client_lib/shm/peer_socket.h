// The Unix socket between a peer and the supervisor: one packet a message (SOCK_SEQPACKET),
// descriptors beside it (SCM_RIGHTS). Used at attach and for life events, never on the path of a
// call.
//
// Packets are schemas/attach.fbs; receive() verifies them before anybody reads them.

#ifndef SLOTRING_CLIENT_LIB_SHM_PEER_SOCKET_H_
#define SLOTRING_CLIENT_LIB_SHM_PEER_SOCKET_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "client_lib/shm/futex.h"
#include "client_lib/shm/unique_fd.h"
#include "schemas/attach_generated.h"
#include "slotring/result.h"

namespace slotring::shm {

inline constexpr std::size_t kMaxPacketBytes = 128 * 1024;
inline constexpr std::size_t kMaxDescriptors = 4;

// One received message. `message()` points into `bytes`.
struct Packet {
  std::vector<std::uint8_t> bytes;
  std::vector<UniqueFd> descriptors;

  wire::Message type() const { return wire::GetPacket(bytes.data())->message_type(); }
  // The message as T, or null when it is another.
  template <class T>
  const T* as() const {
    return wire::GetPacket(bytes.data())->message_as<T>();
  }
};

// The socket of a pool: a path as it is, or $XDG_RUNTIME_DIR/slotring/NAME.sock (where that is not
// set, /run/user/UID, or /tmp/slotring-UID for want of it).
std::string socket_path(std::string_view name_or_path);

// Waits until `deadline` for a listener whose queue is full: one that hangs. Errors: POOL_NOT_FOUND
// (no socket, or nobody listens), REFUSED (no permission), DEADLINE_EXCEEDED, SYSTEM_LIMIT.
Result<UniqueFd> connect_to(const std::string& path, MonotonicNs deadline = kNever);

// Finishes `builder` as a packet around `message` and sends it. Never blocks for long: a peer that
// does not read fails with SYSTEM_LIMIT. Errors: WORKER_UNAVAILABLE (the other end is gone),
// SYSTEM_LIMIT. REQUIRES: at most kMaxDescriptors.
Status send_packet(int socket, flatbuffers::FlatBufferBuilder& builder, wire::Message type,
                   flatbuffers::Offset<void> message, std::span<const int> descriptors = {});

// Waits for the next packet until `deadline`. Errors: DEADLINE_EXCEEDED, WORKER_UNAVAILABLE (end of
// file), SYSTEM_LIMIT (no room for its descriptors), BAD_FRAME (does not verify).
Result<Packet> receive_packet(int socket, MonotonicNs deadline);

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_PEER_SOCKET_H_
