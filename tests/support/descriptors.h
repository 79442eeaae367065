// Descriptors: pairs, what they stand for, and fewer of them.

#ifndef SLOTRING_TESTS_SUPPORT_DESCRIPTORS_H_
#define SLOTRING_TESTS_SUPPORT_DESCRIPTORS_H_

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "client_lib/shm/unique_fd.h"

namespace slotring::testing {

inline bool same_file(int a, int b) {
  struct stat of_a, of_b;
  return ::fstat(a, &of_a) == 0 && ::fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

// Two connected ends that keep packets apart.
inline std::pair<shm::UniqueFd, shm::UniqueFd> socket_pair() {
  int ends[2] = {-1, -1};
  (void)::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
  return {shm::UniqueFd(ends[0]), shm::UniqueFd(ends[1])};
}

// How much memory a memfd takes, in bytes.
inline std::uint64_t bytes_in_use(const shm::UniqueFd& memory) {
  struct stat info;
  return ::fstat(memory.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

// From now on this process gets no descriptor more. For children of a test.
inline bool allow_no_more_descriptors() {
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit limit{static_cast<rlim_t>(lowest_free), static_cast<rlim_t>(lowest_free)};
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_DESCRIPTORS_H_
