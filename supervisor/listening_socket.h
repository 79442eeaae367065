// A pool's Unix socket in the file system, and the proof that no other supervisor serves it.
//
// Beside SOCKET lies SOCKET.lock, locked (flock) for as long as this object lives and holding the
// owner's pid and start time. A supervisor that was killed leaves both files, and no lock: the next
// one takes them over. One that lives, stopped or not, keeps the lock: the next one is refused and
// told who that is.

#ifndef SLOTRING_SUPERVISOR_LISTENING_SOCKET_H_
#define SLOTRING_SUPERVISOR_LISTENING_SOCKET_H_

#include <string>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

class ListeningSocket {
 public:
  // Locks and listens at `path`, and makes its folder, private, when there is none.
  // `private_folder` says that an existing folder must be private too (the default one, which may
  // lie in /tmp). `open_to_all` lets every user connect; it is the peer's identity then that
  // decides. Errors: REFUSED (somebody else serves it, or the folder is not safe),
  // INVALID_ARGUMENT, SYSTEM_LIMIT.
  static Result<ListeningSocket> open(const std::string& path, bool private_folder,
                                      bool open_to_all);
  ~ListeningSocket();  // removes both files
  ListeningSocket(ListeningSocket&&) noexcept;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  // Leaves the files to whoever opens the socket next.
  void leave() { path_.clear(); }

  const std::string& path() const { return path_; }
  // The socket itself, non-blocking; once. The files stay this object's.
  shm::UniqueFd take_socket() { return std::move(socket_); }

 private:
  ListeningSocket(std::string path, shm::UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  Status listen(bool open_to_all);

  std::string path_;  // empty when moved from
  shm::UniqueFd lock_;
  shm::UniqueFd socket_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_LISTENING_SOCKET_H_
