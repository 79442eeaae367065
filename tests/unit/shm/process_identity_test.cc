#include "client_lib/shm/process_identity.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "client_lib/shm/memory.h"
#include "tests/support/child_process.h"

namespace slotring::shm {
namespace {

ProcessIdentity self() { return {::getpid(), process_start_time(::getpid())}; }

testing::ChildProcess make_sleeper() {
  return testing::ChildProcess([] {
    for (;;) ::pause();
    return true;
  });
}

TEST(ProcessIdentity, ALivingPidWithAnotherStartTimeIsAnotherProcess) {
  ASSERT_NE(self().start_time, 0u);
  EXPECT_TRUE(is_alive(self()));
  EXPECT_FALSE(is_alive({::getpid(), self().start_time + 1}));
  EXPECT_EQ(open_pidfd(ProcessIdentity{::getpid(), self().start_time + 1}).error().code,
            ErrorCode::kWorkerUnavailable);
}

TEST(ProcessIdentity, AnUnknownStartTimeMeansThePidAlone) {
  EXPECT_TRUE(is_alive({::getpid(), 0}));
}

TEST(ProcessIdentity, WhatIsNoPidIsNoProcess) {
  for (const pid_t pid : {0, -1, INT32_MIN, INT32_MAX}) {
    EXPECT_FALSE(is_alive({pid, 0})) << pid;
    EXPECT_EQ(process_start_time(pid), 0u) << pid;
  }
}

TEST(ProcessIdentity, OneThatIsStoppedLivesAndOneThatNobodyHasReapedIsDead) {
  testing::ChildProcess child = make_sleeper();
  const ProcessIdentity identity{child.pid(), process_start_time(child.pid())};
  ::kill(child.pid(), SIGSTOP);
  EXPECT_TRUE(is_alive(identity));
  const UniqueFd pidfd = open_pidfd(identity).value();
  EXPECT_FALSE(has_ended(pidfd));
  child.kill();
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child.pid()), &ended, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(has_ended(pidfd));
  EXPECT_FALSE(is_alive(identity));
}

TEST(ProcessIdentity, WhoHasMemoryMappedHoldsIt) {
  const UniqueFd memory = create_memory("test", 4096).value();
  EXPECT_FALSE(holds_memory(::getpid(), memory)) << "a descriptor is no mapping";
  const Mapping mapping = Mapping::map(memory, Access::kReadOnly, 0, 4096).value();
  EXPECT_TRUE(holds_memory(::getpid(), memory));
  EXPECT_FALSE(holds_memory(::getpid(), create_memory("test", 4096).value()));
}

}  // namespace
}  // namespace slotring::shm
