// Where a supervisor that takes a pool over meets its workers: a listening Unix socket a seat, in
// the folder SOCKET.seats beside the pool's own.
//
// The supervisor that launches a worker binds the socket and hands it over at fork; the worker says
// listen() once more, so that who connects is told the worker's identity by the kernel. Connecting
// needs nothing of the worker: a stopped one is found like any other, and its answer waits for it.
//
// That nobody holds a seat's socket does not prove that its worker is dead: see Seat.

#ifndef SLOTRING_SUPERVISOR_SEAT_SOCKETS_H_
#define SLOTRING_SUPERVISOR_SEAT_SOCKETS_H_

#include <string>
#include <vector>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

class SeatSockets {
 public:
  // Makes the folder unless it is there. REQUIRES: the pool's lock is held (listening_socket.h).
  // Errors: REFUSED (it is not this user's alone), SYSTEM_LIMIT, INTERNAL.
  static Result<SeatSockets> open(const std::string& pool_socket);

  // A new listening socket for the seat's next worker; the one before is no longer to be found.
  // Makes the folder again if somebody has removed it.
  Result<shm::UniqueFd> listen(shm::SeatIndex seat);

  // Seats that have a socket; nobody need hold it any more.
  std::vector<shm::SeatIndex> seats() const;
  // Errors: WORKER_UNAVAILABLE (nobody holds it), DEADLINE_EXCEEDED (its queue is full).
  Result<shm::UniqueFd> connect(shm::SeatIndex seat) const;

  // At the pool's end.
  void remove() const;

 private:
  static Result<shm::UniqueFd> make_folder(const std::string& folder);
  SeatSockets(std::string folder, shm::UniqueFd descriptor)
      : folder_(std::move(folder)), descriptor_(std::move(descriptor)) {}
  std::string path_of(shm::SeatIndex seat) const;

  std::string folder_;
  shm::UniqueFd descriptor_;  // of the folder
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_SEAT_SOCKETS_H_
