// The main() of every test program: a watchdog around each test, and a look at what it left over.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::testing {
namespace {

// But for those of /dev/null, where the logs of a whole program go.
std::vector<std::string> open_descriptors() {
  std::vector<std::string> open;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    const std::string target = std::filesystem::read_symlink(entry, ignored).string();
    if (target != "/dev/null" && !target.ends_with("/fd")) {
      open.push_back(entry.path().filename().string() + " -> " + target);
    }
  }
  std::sort(open.begin(), open.end());
  return open;
}

// A test that hangs dies of SIGALRM; one that leaves a child or a descriptor fails.
class Caretaker : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override {
    descriptors_ = open_descriptors();
    ::alarm(kWatchdogSeconds);
  }
  void OnTestEnd(const ::testing::TestInfo&) override {
    ::alarm(0);
    EXPECT_EQ(open_descriptors(), descriptors_) << "descriptors were left open, or closed";
    EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD)
        << "the test left a child process";
  }

  std::vector<std::string> descriptors_;
};

}  // namespace
}  // namespace slotring::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  ::testing::UnitTest::GetInstance()->listeners().Append(new slotring::testing::Caretaker);
  return RUN_ALL_TESTS();
}
