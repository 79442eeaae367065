// Anonymous shared memory: a memfd, sealed against shrinking and growing, mapped through
// Boost.Interprocess. When the last process that holds it goes, it is gone.
//
// Pages are reserved (fallocate) before anybody writes them, so that a full memory is OUT_OF_MEMORY
// here and not SIGBUS there. Errors: OUT_OF_MEMORY, SYSTEM_LIMIT (descriptors), BAD_SEGMENT (not
// sealed, or of another size).

#ifndef SLOTRING_CLIENT_LIB_SHM_MEMORY_H_
#define SLOTRING_CLIENT_LIB_SHM_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "client_lib/shm/unique_fd.h"
#include "slotring/result.h"

namespace slotring::shm {

enum class Access { kReadOnly, kReadWrite };

// The error for a failed system call: OUT_OF_MEMORY, SYSTEM_LIMIT, or INTERNAL, with the call's
// name and errno in words.
Error system_error(const char* what, int error_number);

// A new memfd of `bytes` (virtual; nothing is reserved), sealed. `name` shows in /proc/PID/maps.
Result<UniqueFd> create_memory(const char* name, std::uint64_t bytes);

// A second descriptor for the same memory that the kernel refuses to map writable.
Result<UniqueFd> reopen_read_only(const UniqueFd& memory);
// The reverse, for the user whose memory it is.
Result<UniqueFd> reopen_writable(const UniqueFd& memory);

// Whether both stand for the same memory.
bool is_same_memory(const UniqueFd& a, const UniqueFd& b);

// Succeeds when `memory` cannot shrink under a mapping and has exactly `bytes`.
Status check_memory(const UniqueFd& memory, std::uint64_t bytes);

// Backs [offset, offset + bytes) with memory, now.
Status reserve(const UniqueFd& memory, std::uint64_t offset, std::uint64_t bytes);
// Gives whole pages in [offset, offset + bytes) back; they read as zero afterwards.
Status give_back(const UniqueFd& memory, std::uint64_t offset, std::uint64_t bytes);

// How many bytes of it have memory behind them.
std::uint64_t backed_bytes(const UniqueFd& memory);

// Backs pages that a peer should have reserved, before they are read in a mapping: a full memory is
// an error here, where the read would have raised SIGBUS. Kernels before 5.14 cannot, and then it
// does nothing. Afterwards reading them costs no page fault. Errors: OUT_OF_MEMORY.
Status fault_in(std::span<const std::byte> bytes);
// The same before they are written. Also marks pages that were only reserved as used: a reservation
// of somebody else that fails would take those back.
Status fault_in_to_write(std::span<std::byte> bytes);

// A mapping of a range of memory; unmapped with the object.
class Mapping {
 public:
  Mapping();
  ~Mapping();
  Mapping(Mapping&&) noexcept;
  Mapping& operator=(Mapping&&) noexcept;

  static Result<Mapping> map(const UniqueFd& memory, Access access, std::uint64_t offset,
                             std::uint64_t bytes);

  std::byte* data() const { return data_; }
  std::uint64_t size() const { return bytes_; }

  enum class Contents { kSame, kZeros };
  // Cuts this mapping off from shared memory: its first `bytes`, rounded up to pages, become
  // private pages at the same addresses, in one step (no reader sees anything between); the rest is
  // unmapped. For a mapping whose bytes somebody still looks at. Nothing has changed after an
  // error.
  Status make_private(std::uint64_t bytes, Contents contents, Access access = Access::kReadOnly);

 private:
  struct Region;
  std::unique_ptr<Region> region_;
  std::byte* data_ = nullptr;
  std::uint64_t bytes_ = 0;
};

}  // namespace slotring::shm

#endif  // SLOTRING_CLIENT_LIB_SHM_MEMORY_H_
