#include "client_lib/shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <boost/interprocess/detail/os_file_functions.hpp>
#include <boost/interprocess/mapped_region.hpp>

namespace slotring::shm {

namespace bip = boost::interprocess;

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW;

// Models Boost.Interprocess' memory-mappable concept over a descriptor that somebody else owns.
class MappableMemory {
 public:
  MappableMemory(int fd, bip::mode_t mode) : fd_(fd), mode_(mode) {}
  bip::mapping_handle_t get_mapping_handle() const {
    return bip::ipcdetail::mapping_handle_from_file_handle(fd_);
  }
  bip::mode_t get_mode() const { return mode_; }

 private:
  int fd_;
  bip::mode_t mode_;
};

Result<UniqueFd> reopen(const UniqueFd& memory, int access) {
  const std::string path = "/proc/self/fd/" + std::to_string(memory.get());
  UniqueFd reopened(::open(path.c_str(), access | O_CLOEXEC));
  if (!reopened.valid()) return system_error("reopening a memfd", errno);
  return reopened;
}

// 0, or errno.
int populate(std::span<const std::byte> bytes, int advice) {
  if (bytes.empty()) return 0;
  const std::uintptr_t page = bip::mapped_region::get_page_size();
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size());
  int result;
  do {
    result = ::madvise(reinterpret_cast<void*>(begin), end - begin, advice);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

}  // namespace

Error system_error(const char* what, int error_number) {
  ErrorCode code = ErrorCode::kInternal;
  if (error_number == ENOMEM || error_number == ENOSPC || error_number == EDQUOT) {
    code = ErrorCode::kOutOfMemory;
  } else if (error_number == EMFILE || error_number == ENFILE || error_number == EAGAIN ||
             error_number == EFBIG) {  // RLIMIT_FSIZE counts memory, too
    code = ErrorCode::kSystemLimit;
  }
  return Error{code, std::string(what) + ": " + std::generic_category().message(error_number)};
}

Result<UniqueFd> create_memory(const char* name, std::uint64_t bytes) {
  UniqueFd memory(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return system_error("memfd_create", errno);
  // Only this user may reopen it: a read-only descriptor stays one for everybody else.
  if (::fchmod(memory.get(), 0600) != 0) return system_error("fchmod of a memfd", errno);
  if (::ftruncate(memory.get(), static_cast<off_t>(bytes)) != 0) {
    return system_error("ftruncate of a memfd", errno);
  }
  if (::fcntl(memory.get(), F_ADD_SEALS, kSeals | F_SEAL_SEAL) != 0) {
    return system_error("sealing a memfd", errno);
  }
  return memory;
}

Result<UniqueFd> reopen_read_only(const UniqueFd& memory) { return reopen(memory, O_RDONLY); }
Result<UniqueFd> reopen_writable(const UniqueFd& memory) { return reopen(memory, O_RDWR); }

bool is_same_memory(const UniqueFd& a, const UniqueFd& b) {
  struct stat of_a;
  struct stat of_b;
  return ::fstat(a.get(), &of_a) == 0 && ::fstat(b.get(), &of_b) == 0 &&
         of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

Status check_memory(const UniqueFd& memory, std::uint64_t bytes) {
  struct stat info;
  if (::fstat(memory.get(), &info) != 0) return system_error("fstat of a memfd", errno);
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Error{ErrorCode::kBadSegment, "memory is not sealed against shrinking and growing"};
  }
  if (static_cast<std::uint64_t>(info.st_size) != bytes) {
    return Error{ErrorCode::kBadSegment, "memory has " + std::to_string(info.st_size) +
                                             " bytes where the pool's geometry asks for " +
                                             std::to_string(bytes)};
  }
  return Done{};
}

Status reserve(const UniqueFd& memory, std::uint64_t offset, std::uint64_t bytes) {
  int result;
  do {
    result = ::fallocate(memory.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result != 0) return system_error("reserving shared memory", errno);
  return Done{};
}

Status give_back(const UniqueFd& memory, std::uint64_t offset, std::uint64_t bytes) {
  if (::fallocate(memory.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(offset), static_cast<off_t>(bytes)) != 0) {
    return system_error("giving back shared memory", errno);
  }
  return Done{};
}

std::uint64_t backed_bytes(const UniqueFd& memory) {
  struct stat info;
  constexpr std::uint64_t kBlockBytes = 512;  // whatever st_blksize says
  if (::fstat(memory.get(), &info) != 0) return 0;
  return static_cast<std::uint64_t>(info.st_blocks) * kBlockBytes;
}

Status fault_in(std::span<const std::byte> bytes) {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, which older headers lack
  const int failure = populate(bytes, kPopulateRead);
  if (failure == 0 || failure == EINVAL) return Done{};
  // EFAULT: where a read would raise SIGBUS.
  return Error{ErrorCode::kOutOfMemory, "no memory behind the pages of a peer's payload"};
}

Status fault_in_to_write(std::span<std::byte> bytes) {
  constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE
  const int failure = populate(bytes, kPopulateWrite);
  if (failure == 0 || failure == EINVAL) return Done{};
  return Error{ErrorCode::kOutOfMemory, "no memory behind the pages of a payload"};
}

struct Mapping::Region {
  bip::mapped_region region;
};

Mapping::Mapping() = default;
Mapping::~Mapping() = default;
Mapping::Mapping(Mapping&&) noexcept = default;
Mapping& Mapping::operator=(Mapping&&) noexcept = default;

Result<Mapping> Mapping::map(const UniqueFd& memory, Access access, std::uint64_t offset,
                             std::uint64_t bytes) {
  const bip::mode_t mode = access == Access::kReadOnly ? bip::read_only : bip::read_write;
  Mapping mapping;
  try {
    mapping.region_ = std::make_unique<Region>(Region{
        bip::mapped_region(MappableMemory(memory.get(), mode), mode,
                           static_cast<bip::offset_t>(offset), static_cast<std::size_t>(bytes))});
  } catch (const bip::interprocess_exception& failure) {
    return system_error("mapping shared memory", failure.get_native_error());
  } catch (const std::bad_alloc&) {
    return system_error("mapping shared memory", ENOMEM);
  }
  mapping.data_ = static_cast<std::byte*>(mapping.region_->region.get_address());
  mapping.bytes_ = bytes;
  return mapping;
}

Status Mapping::make_private(std::uint64_t bytes, Contents contents, Access access) {
  const std::size_t page = bip::mapped_region::get_page_size();
  const std::size_t whole = static_cast<std::size_t>((bytes + page - 1) / page * page);
  void* copy = ::mmap(nullptr, whole, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (copy == MAP_FAILED) return system_error("mmap", errno);
  if (contents == Contents::kSame) std::memcpy(copy, data_, static_cast<std::size_t>(bytes));
  // Moving pages over a mapping replaces it under the kernel's lock on the address space.
  if ((access == Access::kReadOnly && ::mprotect(copy, whole, PROT_READ) != 0) ||
      ::mremap(copy, whole, whole, MREMAP_MAYMOVE | MREMAP_FIXED, data_) == MAP_FAILED) {
    const int error_number = errno;
    ::munmap(copy, whole);
    return system_error("mremap", error_number);
  }
  // What stays mapped when this fails costs addresses, no memory.
  if (bytes_ > whole && region_->region.shrink_by(static_cast<std::size_t>(bytes_ - whole))) {
    bytes_ = whole;
  }
  return Done{};
}

}  // namespace slotring::shm
