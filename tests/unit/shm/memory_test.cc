#include "client_lib/shm/memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/descriptors.h"

namespace slotring::shm {
namespace {

using testing::bytes_in_use;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kBytes = 16 * kPage;

class Memory : public ::testing::Test {
 protected:
  Mapping map(Access access, std::uint64_t offset = 0, std::uint64_t bytes = kBytes) const {
    return Mapping::map(memory_, access, offset, bytes).value();
  }

  UniqueFd memory_ = create_memory("test", kBytes).value();
};

TEST_F(Memory, IsZeroAndSharedByAllItsMappings) {
  const Mapping one = map(Access::kReadWrite), two = map(Access::kReadOnly);
  EXPECT_EQ(one.data()[100], std::byte{0});
  one.data()[100] = std::byte{7};
  EXPECT_EQ(two.data()[100], std::byte{7});
}

TEST_F(Memory, IsAllBackedWhereItWasFaultedIn) {
  const Mapping mapping = map(Access::kReadWrite);
  EXPECT_TRUE(fault_in_to_write(std::span(mapping.data() + 10, 3 * kPage)).ok());
  EXPECT_EQ(bytes_in_use(memory_), 4 * kPage);
  EXPECT_TRUE(fault_in(std::span<const std::byte>(mapping.data(), 6 * kPage)).ok());
  EXPECT_EQ(bytes_in_use(memory_), 6 * kPage);
  EXPECT_TRUE(fault_in({}).ok());
}

TEST_F(Memory, IsMappedInPartFromAnOffset) {
  map(Access::kReadWrite).data()[3 * kPage + 5] = std::byte{9};
  const Mapping part = map(Access::kReadOnly, 3 * kPage, kPage);
  EXPECT_EQ(part.size(), kPage);
  EXPECT_EQ(part.data()[5], std::byte{9});
}

TEST_F(Memory, CannotShrinkGrowOrLoseItsSeals) {
  EXPECT_NE(::ftruncate(memory_.get(), 0), 0);
  EXPECT_NE(::ftruncate(memory_.get(), 2 * kBytes), 0);
  EXPECT_NE(::fcntl(memory_.get(), F_ADD_SEALS, F_SEAL_WRITE), 0);
}

TEST_F(Memory, IsClosedByExec) {
  EXPECT_NE(::fcntl(memory_.get(), F_GETFD) & FD_CLOEXEC, 0);
  const UniqueFd read_only = reopen_read_only(memory_).value();
  EXPECT_NE(::fcntl(read_only.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(Memory, RefusesAWritableMappingOfAReadOnlyDescriptor) {
  const UniqueFd read_only = reopen_read_only(memory_).value();
  EXPECT_FALSE(Mapping::map(read_only, Access::kReadWrite, 0, kBytes).ok());
  EXPECT_EQ(::mmap(nullptr, kBytes, PROT_WRITE, MAP_SHARED, read_only.get(), 0), MAP_FAILED);
}

TEST_F(Memory, CannotBeMadeWritableAfterItWasMappedReadOnly) {
  const UniqueFd read_only = reopen_read_only(memory_).value();
  const Mapping mapping = Mapping::map(read_only, Access::kReadOnly, 0, kBytes).value();
  EXPECT_NE(::mprotect(mapping.data(), kBytes, PROT_READ | PROT_WRITE), 0);
}

TEST_F(Memory, IsSeenThroughAReadOnlyDescriptor) {
  const UniqueFd read_only = reopen_read_only(memory_).value();
  map(Access::kReadWrite).data()[0] = std::byte{3};
  EXPECT_EQ(Mapping::map(read_only, Access::kReadOnly, 0, kBytes).value().data()[0], std::byte{3});
}

TEST_F(Memory, ChecksOutWhenSealedAndOfTheRightSize) {
  EXPECT_TRUE(check_memory(memory_, kBytes).ok());
  EXPECT_TRUE(check_memory(reopen_read_only(memory_).value(), kBytes).ok());
}

TEST_F(Memory, DoesNotCheckOutWithAnotherSize) {
  EXPECT_EQ(check_memory(memory_, kBytes + kPage).error().code, ErrorCode::kBadSegment);
  EXPECT_EQ(check_memory(memory_, 0).error().code, ErrorCode::kBadSegment);
}

TEST_F(Memory, DoesNotCheckOutUnsealed) {
  const UniqueFd unsealed(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(unsealed.get(), kBytes), 0);
  EXPECT_EQ(check_memory(unsealed, kBytes).error().code, ErrorCode::kBadSegment);
  ASSERT_EQ(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_GROW), 0);
  EXPECT_EQ(check_memory(unsealed, kBytes).error().code, ErrorCode::kBadSegment);
  ASSERT_EQ(::fcntl(unsealed.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_TRUE(check_memory(unsealed, kBytes).ok());
}

TEST_F(Memory, DoesNotCheckOutWhenItIsNoMemory) {
  const UniqueFd device(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(check_memory(device, 0).error().code, ErrorCode::kBadSegment);
  EXPECT_FALSE(check_memory(UniqueFd(), kBytes).ok());
}

TEST_F(Memory, TakesNothingUntilItIsReserved) {
  EXPECT_EQ(bytes_in_use(memory_), 0u);
  EXPECT_TRUE(reserve(memory_, kPage, 2 * kPage).ok());
  EXPECT_EQ(bytes_in_use(memory_), 2 * kPage);
}

TEST_F(Memory, KeepsWhatWasWrittenWhenItIsReservedAgain) {
  const Mapping mapping = map(Access::kReadWrite);
  mapping.data()[kPage] = std::byte{5};
  EXPECT_TRUE(reserve(memory_, 0, 4 * kPage).ok());
  EXPECT_EQ(mapping.data()[kPage], std::byte{5});
}

TEST_F(Memory, ReadsAsZeroAfterItWasGivenBack) {
  const Mapping mapping = map(Access::kReadWrite);
  mapping.data()[0] = mapping.data()[kPage] = std::byte{5};
  EXPECT_TRUE(give_back(memory_, kPage, kPage).ok());
  EXPECT_EQ(bytes_in_use(memory_), kPage);
  EXPECT_EQ(mapping.data()[0], std::byte{5});
  EXPECT_EQ(mapping.data()[kPage], std::byte{0});
}

TEST_F(Memory, StaysWhileAMappingOfItStays) {
  const Mapping mapping = map(Access::kReadWrite);
  memory_.reset();
  mapping.data()[kPage] = std::byte{5};
  EXPECT_EQ(mapping.data()[kPage], std::byte{5});
}

TEST(SystemError, TellsWantOfMemoryFromOtherLimitsAndFromDefects) {
  EXPECT_EQ(system_error("x", ENOMEM).code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(system_error("x", ENOSPC).code, ErrorCode::kOutOfMemory);
  EXPECT_EQ(system_error("x", EMFILE).code, ErrorCode::kSystemLimit);
  EXPECT_EQ(system_error("x", ENFILE).code, ErrorCode::kSystemLimit);
  EXPECT_EQ(system_error("x", EINVAL).code, ErrorCode::kInternal);
  EXPECT_EQ(system_error("opening", EINVAL).message, "opening: Invalid argument");
}

// Mappings that are cut off from shared memory because somebody still looks at them.

class CutOffMapping : public Memory {
 protected:
  CutOffMapping() {
    std::fill_n(shared_.data(), kBytes, std::byte{1});
    looked_at_ = view_.data();
  }

  const Mapping shared_ = map(Access::kReadWrite);
  Mapping view_ = map(Access::kReadOnly);
  const std::byte* looked_at_ = nullptr;
};

TEST_F(CutOffMapping, KeepsItsBytesWhateverIsWrittenToTheMemory) {
  EXPECT_TRUE(view_.make_private(5000, Mapping::Contents::kSame).ok());
  std::fill_n(shared_.data(), kBytes, std::byte{2});
  EXPECT_TRUE(
      std::all_of(looked_at_, looked_at_ + 5000, [](std::byte b) { return b == std::byte{1}; }));
}

TEST_F(CutOffMapping, ReadsAsZerosWhenThatIsAskedFor) {
  EXPECT_TRUE(view_.make_private(5000, Mapping::Contents::kZeros).ok());
  EXPECT_EQ(looked_at_[0], std::byte{0});
  EXPECT_EQ(looked_at_[4999], std::byte{0});
}

TEST_F(CutOffMapping, StaysAtItsAddressesInWholePages) {
  EXPECT_TRUE(view_.make_private(5000, Mapping::Contents::kSame).ok());
  EXPECT_EQ(view_.data(), looked_at_);
  EXPECT_EQ(view_.size(), 2 * kPage);
}

TEST_F(CutOffMapping, LeavesTheMemoryAndItsOtherMappingsAlone) {
  EXPECT_TRUE(view_.make_private(kBytes, Mapping::Contents::kZeros).ok());
  EXPECT_EQ(shared_.data()[0], std::byte{1});
}

TEST_F(Memory, TellsHowMuchOfItIsBacked) {
  EXPECT_EQ(backed_bytes(memory_), 0u);
  ASSERT_TRUE(reserve(memory_, 4 * kPage, 4 * kPage).ok());
  EXPECT_EQ(backed_bytes(memory_), 4 * kPage);
  ASSERT_TRUE(give_back(memory_, 5 * kPage, kPage).ok());
  EXPECT_EQ(backed_bytes(memory_), 3 * kPage);
}

TEST_F(Memory, IsFaultedInAtAnyAddress) {
  const Mapping mapping = map(Access::kReadOnly);
  EXPECT_TRUE(fault_in(std::span<const std::byte>(mapping.data() + 100, 3 * kPage)).ok());
  EXPECT_TRUE(fault_in({}).ok());
  const std::uint64_t pages = bytes_in_use(memory_) / kPage;
  EXPECT_TRUE(pages == 4 || pages == 0) << "a kernel before 5.14 leaves it";
}

}  // namespace
}  // namespace slotring::shm
