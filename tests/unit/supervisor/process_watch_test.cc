#include "supervisor/process_watch.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"

namespace slotring::supervisor {
namespace {

using testing::ChildProcess;

// A child that leads a group of its own, or was put into this process' group again.
ChildProcess make_child(bool leads_its_group) {
  ChildProcess child([] {
    for (;;) ::pause();
    return true;
  });
  EXPECT_EQ(::setpgid(child.pid(), 0), 0);
  if (!leads_its_group) {
    EXPECT_EQ(::setpgid(child.pid(), ::getpgrp()), 0);
  }
  return child;
}

TEST(ProcessWatch, ASignalReachesAWorkerThatLeftItsGroupAndNobodyElse) {
  for (const bool leads : {true, false}) {
    ChildProcess child = make_child(leads);
    const shm::UniqueFd pidfd = shm::open_pidfd(child.pid()).value();
    ASSERT_TRUE(signal_group(pidfd.get(), child.pid(), SIGKILL)) << leads;
    EXPECT_EQ(reap_group(pidfd.get(), child.pid()), SIGKILL) << leads;
    EXPECT_FALSE(signal_group(pidfd.get(), child.pid(), SIGKILL)) << leads;
    EXPECT_EQ(errno, ESRCH);
    child.forget();
  }
}

TEST(ProcessWatch, TheEndOfAProcessTakesItsGroupAlong) {
  ChildProcess leader = make_child(true);
  ChildProcess member([] {
    for (;;) ::pause();
    return true;
  });
  ASSERT_EQ(::setpgid(member.pid(), leader.pid()), 0);
  const shm::UniqueFd pidfd = shm::open_pidfd(leader.pid()).value();
  leader.kill();
  EXPECT_EQ(reap_group(pidfd.get(), leader.pid()), SIGKILL);
  EXPECT_EQ(member.join(), SIGKILL);
  leader.forget();
}

}  // namespace
}  // namespace slotring::supervisor
