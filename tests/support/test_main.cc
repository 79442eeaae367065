// The main() of every test program: a watchdog around each test, and a look at what it left over.

#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::testing {
namespace {

int open_descriptors() {
  DIR* folder = ::opendir("/proc/self/fd");
  if (folder == nullptr) return -1;
  int count = 0;
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

// A test that hangs dies of SIGALRM; one that leaves a child or a descriptor fails.
class Caretaker : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override {
    descriptors_ = open_descriptors();
    ::alarm(kWatchdogSeconds);
  }
  void OnTestEnd(const ::testing::TestInfo&) override {
    ::alarm(0);
    EXPECT_EQ(open_descriptors(), descriptors_) << "the test left descriptors open, or closed some";
    EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD)
        << "the test left a child process";
  }

  int descriptors_ = 0;
};

}  // namespace
}  // namespace slotring::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new slotring::testing::Caretaker);
  return RUN_ALL_TESTS();
}
