// System calls that fail while a test says so: a library to be preloaded, or linked before libc.
//
//     $SLOTRING_TEST_FAULTS/NAME exists     NAME() fails as it does when the machine has no more to
//                                           give; a number in the file lets so many calls pass
//                                           first
//
// for NAME of fallocate, memfd_create, mmap (of shared memory), fork, pthread_create.

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace {

// Whether this call of `name` is to fail. Calls nothing that takes a lock: it also runs before
// main() and in children between fork and exec.
bool fails(const char* name, std::atomic<int>& passed) {
  const char* folder = std::getenv("SLOTRING_TEST_FAULTS");
  if (folder == nullptr) return false;
  char path[4096];
  std::snprintf(path, sizeof(path), "%s/%s", folder, name);
  const int fd = static_cast<int>(::syscall(SYS_open, path, O_RDONLY | O_CLOEXEC));
  if (fd < 0) {
    // Without descriptors there is no telling by opening it, but by asking.
    return errno == EMFILE && ::access(path, F_OK) == 0;
  }
  char text[16] = {};
  const bool empty = ::read(fd, text, sizeof(text) - 1) <= 0;
  ::close(fd);
  return empty || passed.fetch_add(1) >= std::atoi(text);
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

EXPORTED int fallocate(int fd, int mode, off_t offset, off_t bytes) {
  static std::atomic<int> passed{0};
  // Giving memory back always succeeds.
  if ((mode & FALLOC_FL_PUNCH_HOLE) == 0 && fails("fallocate", passed)) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, bytes));
}

EXPORTED int memfd_create(const char* name, unsigned flags) noexcept {
  static std::atomic<int> passed{0};
  if (fails("memfd_create", passed)) {
    errno = EMFILE;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

EXPORTED void* mmap(void* address, size_t bytes, int protection, int flags, int fd,
                    off_t offset) noexcept {
  static std::atomic<int> passed{0};
  if (fd >= 0 && (flags & MAP_SHARED) != 0 && fails("mmap", passed)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  return reinterpret_cast<void*>(
      ::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}

EXPORTED pid_t fork() noexcept {
  static std::atomic<int> passed{0};
  if (fails("fork", passed)) {
    errno = EAGAIN;
    return -1;
  }
  return next<pid_t()>("fork")();
}

EXPORTED int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                            void* (*body)(void*), void* argument) noexcept {
  static std::atomic<int> passed{0};
  if (fails("pthread_create", passed)) return EAGAIN;
  return next<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create")(
      thread, attributes, body, argument);
}

}  // extern "C"
