// The supervisor's words on the attach socket (schemas/attach.fbs), to clients, observers and
// workers alike.

#ifndef SLOTRING_SUPERVISOR_HANDSHAKE_H_
#define SLOTRING_SUPERVISOR_HANDSHAKE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client_lib/shm/peer_socket.h"
#include "supervisor/method_table.h"
#include "supervisor/pool_memory.h"

namespace slotring::supervisor {

// Why a peer's build cannot work with this one, naming both versions; nothing when it can.
// The error: VERSION_MISMATCH.
std::optional<Error> check_versions(const wire::Hello& hello);

// Why a worker of an earlier supervisor cannot work with this build; nothing when it can. The
// error: VERSION_MISMATCH.
std::optional<Error> check_versions(const wire::Resume& resume);

// The peer's own name, printable and bounded, for logs and status; "-" when it gave none.
std::string peer_name(const wire::Hello& hello);

// The next message of a peer whose socket is readable; waits for nothing.
// Errors: as shm::receive_packet().
Result<shm::Packet> receive_now(int socket);

// The rest sends. Errors: as shm::send_packet().
struct Place {
  std::uint32_t index;       // in the client table, or the seat
  std::uint32_t generation;  // attach epoch, or the seat's generation
};
Status send_welcome(int socket, wire::Role role, const std::string& pool, const PoolMemory& memory,
                    const Place& place);
Status send_refused(int socket, const Error& why);
Status send_published(int socket, std::span<const MethodId> ids);
Status send_drain(int socket);
Status send_rejoined(int socket);
// With where the worker is to write its stdout and stderr to.
Status send_resumed(int socket, int output, int error_output);
Status send_upgrading(int socket, const std::string& waits);
Status send_broadcasted(int socket, std::uint32_t epoch);
// To a template; the descriptors as wire::Fork wants them.
Status send_fork(int socket, const std::vector<std::string>& arguments,
                 std::span<const int> descriptors);

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_HANDSHAKE_H_
