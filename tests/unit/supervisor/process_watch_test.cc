// A pid that is used again. (What else process_watch does is tested with the launcher.)

#include "supervisor/process_watch.h"

#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::supervisor {
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

bool is_dead(const shm::UniqueFd& pidfd) {
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

TEST(ProcessWatch, TellsAPidThatIsUsedAgainFromTheProcessThatHadIt) {
  const pid_t pid = fork_as(0);
  ASSERT_GT(pid, 0);
  const shm::UniqueFd pidfd = shm::open_pidfd(pid).value();
  const std::uint64_t started = shm::process_start_time(pid);
  EXPECT_NE(started, 0u);
  EXPECT_FALSE(is_dead(pidfd));
  end(pid);
  // Start times are told apart by the tick.
  ASSERT_TRUE(testing::eventually([&] { return ticks_since_boot() > started; }));

  const pid_t again = fork_as(pid);
  if (again < 0) GTEST_SKIP() << "choosing a pid is not permitted here, errno " << errno;
  EXPECT_EQ(again, pid);
  EXPECT_TRUE(is_dead(pidfd)) << "a pidfd is of a process, not of a pid";
  EXPECT_GT(shm::process_start_time(again), started);
  end(again);
}

}  // namespace
}  // namespace slotring::supervisor
