// Memory that this process shares with the children that it forks later.

#ifndef SLOTRING_TOOLS_BENCH_SHARED_BLOCK_H_
#define SLOTRING_TOOLS_BENCH_SHARED_BLOCK_H_

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "client_lib/shm/memory.h"

namespace slotring::bench {

class SharedBlock {
 public:
  // Zeros. Throws slotring::Exception.
  explicit SharedBlock(std::size_t bytes) : bytes_(bytes) {
    void* address = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) throw Exception(shm::system_error("mmap", errno));
    data_ = static_cast<std::byte*>(address);
  }
  SharedBlock(const SharedBlock&) = delete;
  SharedBlock& operator=(const SharedBlock&) = delete;
  ~SharedBlock() { ::munmap(data_, bytes_); }

  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_;
};

}  // namespace slotring::bench

#endif  // SLOTRING_TOOLS_BENCH_SHARED_BLOCK_H_
