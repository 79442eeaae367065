// A pid that is used again.

#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include <gtest/gtest.h>

#include "client_lib/shm/process_identity.h"
#include "tests/support/effort.h"

namespace slotring::shm {
namespace {

// A child that does nothing, of the pid `wanted` if that is not 0. -1 with errno when it cannot be.
pid_t fork_as(pid_t wanted) {
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  if (wanted != 0) {
    arguments.set_tid = reinterpret_cast<std::uintptr_t>(&wanted);
    arguments.set_tid_size = 1;
  }
  const auto pid = static_cast<pid_t>(::syscall(SYS_clone3, &arguments, sizeof(arguments)));
  if (pid == 0) {
    for (;;) ::pause();
  }
  return pid;
}

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

bool is_dead(const UniqueFd& pidfd) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 1;
}

std::uint64_t ticks_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  return static_cast<std::uint64_t>(now.tv_sec) * ticks +
         static_cast<std::uint64_t>(now.tv_nsec) * ticks / 1'000'000'000;
}

TEST(ProcessIdentity, TellsAPidThatIsUsedAgainFromTheProcessThatHadIt) {
  const pid_t pid = fork_as(0);
  ASSERT_GT(pid, 0);
  const UniqueFd pidfd = open_pidfd(pid).value();
  const std::uint64_t started = process_start_time(pid);
  EXPECT_NE(started, 0u);
  EXPECT_FALSE(is_dead(pidfd));
  end(pid);
  // Start times are told apart by the tick.
  ASSERT_TRUE(slotring::testing::eventually([&] { return ticks_since_boot() > started; }));

  const pid_t again = fork_as(pid);
  if (again < 0) GTEST_SKIP() << "choosing a pid is not permitted here, errno " << errno;
  EXPECT_EQ(again, pid);
  EXPECT_TRUE(is_dead(pidfd)) << "a pidfd is of a process, not of a pid";
  EXPECT_GT(process_start_time(again), started);
  end(again);
}

}  // namespace
}  // namespace slotring::shm
