// A part of a test that runs in a process of its own, made by fork(). It ends with the test,
// whatever happens, and a hang in it ends it.

#ifndef SLOTRING_TESTS_SUPPORT_CHILD_PROCESS_H_
#define SLOTRING_TESTS_SUPPORT_CHILD_PROCESS_H_

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::testing {

class ChildProcess {
 public:
  // Runs `body` in a child. The child succeeds when body() returns true and no EXPECT failed in it.
  template <class Body>
  explicit ChildProcess(Body body) {
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) run(std::move(body));
  }
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ChildProcess& operator=(ChildProcess&&) = delete;
  ~ChildProcess() {
    kill();
    (void)join();
  }

  pid_t pid() const { return pid_; }
  void kill() const {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
  }
  // Waits for its end. Returns waitpid's status, or -1 when there is nothing to wait for.
  int join() {
    int status = -1;
    if (pid_ > 0) ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }
  // Somebody else has waited for it.
  void forget() { pid_ = -1; }
  // Waits for its end, and tells whether it was a success.
  [[nodiscard]] bool succeeded() {
    const int status = join();
    return status == 0;
  }

 private:
  template <class Body>
  [[noreturn]] static void run(Body body) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(kWatchdogSeconds);
    bool good = false;
    try {
      good = body();
    } catch (const std::exception& failure) {
      std::fprintf(stderr, "in the child process: %s\n", failure.what());
    }
    std::fflush(nullptr);
    ::_exit(good && !::testing::Test::HasFailure() ? 0 : 1);
  }

  pid_t pid_ = -1;
};

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_CHILD_PROCESS_H_
