// Tells a process that attached from a child that fork() made of it, without a system call.
//
// One private page that the kernel empties in a child (MADV_WIPEONFORK, madvise(2)): unlike a
// pthread_atfork handler it also sees a raw clone(), and unlike getpid() it costs one load.

#ifndef SLOTRING_CLIENT_LIB_FORK_GUARD_H_
#define SLOTRING_CLIENT_LIB_FORK_GUARD_H_

#include <sys/mman.h>

#include <cstddef>

namespace slotring::internal {

class ForkGuard {
 public:
  ForkGuard() {
    void* page =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return;
    if (::madvise(page, kBytes, MADV_WIPEONFORK) != 0) {
      ::munmap(page, kBytes);
      return;
    }
    mark_ = static_cast<volatile char*>(page);
    *mark_ = 1;
  }
  ~ForkGuard() {
    if (mark_ != nullptr) ::munmap(const_cast<char*>(mark_), kBytes);
  }
  ForkGuard(const ForkGuard&) = delete;
  ForkGuard& operator=(const ForkGuard&) = delete;

  bool valid() const { return mark_ != nullptr; }
  bool in_child() const { return *mark_ == 0; }

 private:
  static constexpr std::size_t kBytes = 4096;
  volatile char* mark_ = nullptr;
};

}  // namespace slotring::internal

#endif  // SLOTRING_CLIENT_LIB_FORK_GUARD_H_
