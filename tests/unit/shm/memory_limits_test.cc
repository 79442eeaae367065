// What happens when the machine has no more to give: no memory, no descriptors. In children, since
// limits are a process's own.

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cstring>
#include <fstream>

#include <gtest/gtest.h>

#include "client_lib/shm/control_segment.h"
#include "client_lib/shm/data_memory.h"
#include "client_lib/shm/memory.h"
#include "client_lib/shm/peer_socket.h"
#include "tests/support/child_process.h"
#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"
#include "tests/support/temporary_folder.h"

namespace slotring::shm {
namespace {

using testing::ChildProcess;

constexpr std::uint64_t kPage = 4096;

// Mounts 64 KiB of memory at `folder`, for this process alone: in namespaces of its own where that
// is allowed to everybody, or as root. A process of several threads gets no namespaces.
bool mount_small_memory(const std::string& folder) {
  const std::string uid = std::to_string(::getuid()), gid = std::to_string(::getgid());
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  } else if (::unshare(CLONE_NEWNS) != 0) {
    return false;
  }
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("slotring-test", folder.c_str(), "tmpfs", 0, "size=64k") == 0;
}

class FullMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    ChildProcess trial([this] { return mount_small_memory(folder_.path()); });
    if (!trial.succeeded()) GTEST_SKIP() << "no mount namespaces here";
  }
  UniqueFd file_in_small_memory() const {
    EXPECT_TRUE(mount_small_memory(folder_.path()));
    return UniqueFd(::open(folder_.file("memory").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  }

  testing::TemporaryFolder folder_;
};

TEST_F(FullMemory, IsAnErrorOfTheReservationAndNoSignalLater) {
  ChildProcess child([this] {
    const UniqueFd file = file_in_small_memory();
    EXPECT_TRUE(reserve(file, 0, 8 * kPage).ok());
    const Status refused = reserve(file, 8 * kPage, 64 * kPage);
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
    EXPECT_EQ(refused.error().message, "reserving shared memory: No space left on device");
    return true;
  });
  EXPECT_TRUE(child.succeeded());
}

TEST_F(FullMemory, LeavesWhatWasReservedBeforeUsable) {
  ChildProcess child([this] {
    const UniqueFd file = file_in_small_memory();
    EXPECT_TRUE(reserve(file, 0, 8 * kPage).ok());
    EXPECT_FALSE(reserve(file, 0, 64 * kPage).ok());
    const Mapping mapping = Mapping::map(file, Access::kReadWrite, 0, 8 * kPage).value();
    std::memset(mapping.data(), 1, 8 * kPage);
    return true;
  });
  EXPECT_TRUE(child.succeeded());
}

TEST_F(FullMemory, HasRoomAgainForWhatOthersGiveBack) {
  ChildProcess child([this] {
    const UniqueFd file = file_in_small_memory();
    EXPECT_TRUE(reserve(file, 0, 16 * kPage).ok());
    EXPECT_FALSE(reserve(file, 16 * kPage, kPage).ok());
    EXPECT_TRUE(give_back(file, 0, 4 * kPage).ok());
    EXPECT_TRUE(reserve(file, 16 * kPage, kPage).ok());
    return true;
  });
  EXPECT_TRUE(child.succeeded());
}

// A peer that names pages which it did not reserve, or gave back.
TEST_F(FullMemory, IsAnErrorOfFaultingInAndNoSignal) {
  ChildProcess child([this] {
    const UniqueFd file = file_in_small_memory();
    EXPECT_EQ(::ftruncate(file.get(), 32 * kPage), 0);
    EXPECT_TRUE(reserve(file, 0, 16 * kPage).ok());
    const Mapping mapping = Mapping::map(file, Access::kReadOnly, 0, 32 * kPage).value();
    const std::span<const std::byte> all(mapping.data(), 32 * kPage);
    EXPECT_TRUE(fault_in(all.first(16 * kPage)).ok());
    EXPECT_EQ(fault_in(all.subspan(17 * kPage, 10)).error().code, ErrorCode::kOutOfMemory);
    const Mapping own = Mapping::map(file, Access::kReadWrite, 0, 32 * kPage).value();
    EXPECT_TRUE(fault_in_to_write(std::span(own.data(), 16 * kPage)).ok());
    EXPECT_EQ(fault_in_to_write(std::span(own.data(), 17 * kPage)).error().code,
              ErrorCode::kOutOfMemory);
    return true;
  });
  EXPECT_TRUE(child.succeeded());
}

// RLIMIT_FSIZE counts what makes a file longer, and memory is one.
TEST(FileSizeLimit, IsAnErrorOfMakingMemoryWhereItsSignalIsIgnored) {
  ChildProcess child([] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{kPage, kPage};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    return create_memory("test", 2 * kPage).error().code == ErrorCode::kSystemLimit;
  });
  EXPECT_TRUE(child.succeeded());
}

// So a client needs no look at the limit: the memory has its length when it gets it.
TEST(FileSizeLimit, DoesNotKeepPagesOfExistingMemoryFromBeingReservedOrWritten) {
  const UniqueFd memory = create_memory("test", 16 * kPage).value();
  ChildProcess child([&] {
    const rlimit limit{kPage, kPage};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_TRUE(reserve(memory, 8 * kPage, 8 * kPage).ok());
    const Mapping mapping = Mapping::map(memory, Access::kReadWrite, 0, 16 * kPage).value();
    std::memset(mapping.data(), 1, 16 * kPage);
    return give_back(memory, 8 * kPage, 8 * kPage).ok();
  });
  EXPECT_TRUE(child.succeeded());
}

// Each in a child that may open nothing more.
template <class Body>
void expect_system_limit(Body body) {
  ChildProcess child([&] {
    if (!testing::allow_no_more_descriptors()) return false;
    const auto result = body();
    return !result.ok() && result.error().code == ErrorCode::kSystemLimit;
  });
  EXPECT_TRUE(child.succeeded());
}

TEST(DescriptorLimit, IsAnErrorOfMakingMemory) {
  expect_system_limit([] { return create_memory("test", kPage); });
  expect_system_limit([] { return create_data_memory("test", testing::small_geometry()); });
  expect_system_limit([] { return ControlSegment::create("test", testing::small_geometry()); });
}

TEST(DescriptorLimit, IsAnErrorOfReopeningMemory) {
  const UniqueFd memory = create_memory("test", kPage).value();
  expect_system_limit([&] { return reopen_read_only(memory); });
}

TEST(DescriptorLimit, IsAnErrorOfConnecting) {
  expect_system_limit([] { return connect_to("/nowhere"); });
}

TEST(DescriptorLimit, IsAnErrorOfReceivingAMessageThatBringsSome) {
  auto [ours, theirs] = testing::socket_pair();
  flatbuffers::FlatBufferBuilder builder;
  const int two[] = {0, 0};
  ASSERT_TRUE(send_packet(theirs.get(), builder, wire::Message::Goodbye,
                          wire::CreateGoodbye(builder).Union(), two)
                  .ok());
  expect_system_limit([&] { return receive_packet(ours.get(), kNever); });
}

TEST(DescriptorLimit, DoesNotKeepMemoryFromBeingMapped) {
  const UniqueFd memory = create_memory("test", kPage).value();
  ChildProcess child([&] {
    return testing::allow_no_more_descriptors() &&
           Mapping::map(memory, Access::kReadWrite, 0, kPage).ok();
  });
  EXPECT_TRUE(child.succeeded());
}

}  // namespace
}  // namespace slotring::shm
