#include "supervisor/peer_identity.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/process_identity.h"

#ifndef SO_PEERPIDFD  // Linux 6.5
#define SO_PEERPIDFD 77
#endif

namespace slotring::supervisor {

namespace {

bool is_closed(int socket) {
  pollfd waited{socket, POLLIN, 0};
  return ::poll(&waited, 1, 0) > 0 && (waited.revents & (POLLHUP | POLLERR)) != 0;
}

// What the peer had as supplementary groups when it connected; no look at the group database.
std::vector<gid_t> peer_groups(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto bytes = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &bytes) == 0) {
      groups.resize(bytes / sizeof(gid_t));
      return groups;
    }
    if (errno != ERANGE) return {};
    groups.resize(bytes / sizeof(gid_t));
  }
}

// By the pid, on kernels without SO_PEERPIDFD. The pid may have been used again since the peer
// connected: the peer is dead then, and its end of the socket closed, which is looked at last. (Not
// so when a child of the peer has inherited the socket and the pid came round at that very moment.)
Result<shm::UniqueFd> pidfd_by_pid(int socket, pid_t pid) {
  Result<shm::UniqueFd> pidfd = shm::open_pidfd(pid);
  if (pidfd && is_closed(socket)) {
    return Error{ErrorCode::kWorkerUnavailable, "the peer has gone again"};
  }
  return pidfd;
}

Result<shm::UniqueFd> peer_pidfd(int socket, pid_t pid) {
  int fd = -1;
  socklen_t bytes = sizeof(fd);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &bytes) == 0) return shm::UniqueFd(fd);
  if (errno == ENOPROTOOPT) return pidfd_by_pid(socket, pid);
  if (errno == ESRCH || errno == EINVAL) {
    return Error{ErrorCode::kWorkerUnavailable, "the peer has ended"};
  }
  return shm::system_error("SO_PEERPIDFD", errno);
}

}  // namespace

std::string PeerIdentity::to_string() const {
  return "pid " + std::to_string(pid) + ", uid " + std::to_string(uid) + ", gid " +
         std::to_string(gid);
}

Result<PeerIdentity> identify_peer(int socket) {
  ucred credentials{};
  socklen_t bytes = sizeof(credentials);
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &bytes) != 0) {
    return shm::system_error("SO_PEERCRED", errno);
  }
  Result<shm::UniqueFd> pidfd = peer_pidfd(socket, credentials.pid);
  if (!pidfd) return std::move(pidfd).error();
  PeerIdentity peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.groups = peer_groups(socket);
  peer.start_time = shm::process_start_time(credentials.pid);
  peer.pidfd = *std::move(pidfd);
  return peer;
}

bool AccessList::admits(const PeerIdentity& peer) const {
  return peer.uid == ::geteuid() || peer.uid == 0 ||
         std::find(users_.begin(), users_.end(), peer.uid) != users_.end() ||
         admits_group(peer.gid) ||
         std::any_of(peer.groups.begin(), peer.groups.end(),
                     [this](gid_t group) { return admits_group(group); });
}

bool AccessList::admits_group(gid_t group) const {
  return std::find(groups_.begin(), groups_.end(), group) != groups_.end();
}

}  // namespace slotring::supervisor
