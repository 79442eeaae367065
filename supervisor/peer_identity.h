// Who is at the other end of a Unix socket, as the kernel says, and whether a pool lets them in.

#ifndef SLOTRING_SUPERVISOR_PEER_IDENTITY_H_
#define SLOTRING_SUPERVISOR_PEER_IDENTITY_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::supervisor {

struct PeerIdentity {
  pid_t pid = 0;  // 0 when it is in a pid namespace that this process cannot see
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;     // supplementary
  std::uint64_t start_time = 0;  // process_start_time()
  shm::UniqueFd pidfd;           // readable once the process that connected has ended

  std::string to_string() const;  // "pid 4711, uid 1000, gid 1000"
};

// Identifies the process that called connect(); its later forks and execs change nothing.
// Errors: WORKER_UNAVAILABLE (it is gone already), SYSTEM_LIMIT, INTERNAL.
Result<PeerIdentity> identify_peer(int socket);

// A pool's allow list. The supervisor's own user always may, since it could trace the supervisor
// anyway, and so may root.
class AccessList {
 public:
  AccessList(std::vector<uid_t> users, std::vector<gid_t> groups)
      : users_(std::move(users)), groups_(std::move(groups)) {}

  bool admits(const PeerIdentity& peer) const;

 private:
  bool admits_group(gid_t group) const;

  std::vector<uid_t> users_;
  std::vector<gid_t> groups_;
};

}  // namespace slotring::supervisor

#endif  // SLOTRING_SUPERVISOR_PEER_IDENTITY_H_
