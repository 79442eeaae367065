#include "tests/kill_points/stepped_process.h"

#include <unistd.h>

#include <set>

#include <gtest/gtest.h>

#include "tests/support/effort.h"

namespace slotring::testing {
namespace {

// A child that waits for a byte on its way from begin() to end().
class SleepingChild : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!SteppedProcess::permitted()) GTEST_SKIP() << "may not trace its children (ptrace)";
    ASSERT_EQ(::pipe(pipe_), 0);
  }
  ~SleepingChild() override {
    for (const int end : pipe_) ::close(end);
  }
  bool sleep() const {
    char byte = 0;
    SteppedProcess::begin();
    const bool read = ::read(pipe_[0], &byte, 1) == 1;
    SteppedProcess::end();
    return read;
  }
  void wake() const { EXPECT_EQ(::write(pipe_[1], "x", 1), 1); }

  int pipe_[2] = {-1, -1};
};

TEST_F(SleepingChild, IsBroughtToItsEndWhenSomebodyWakesIt) {
  wake();
  SteppedProcess child([this] { return sleep(); });
  EXPECT_TRUE(child.reach_begin());
  EXPECT_TRUE(child.reach_end());
  EXPECT_FALSE(child.asleep());
}

TEST_F(SleepingChild, IsFoundWhenNobodyWakesItAndGoesOnLater) {
  SteppedProcess child([this] { return sleep(); });
  ASSERT_TRUE(child.reach_begin());
  EXPECT_FALSE(child.reach_end());
  EXPECT_TRUE(child.asleep());
  EXPECT_FALSE(child.ended());
  child.go_on();
  wake();
  EXPECT_TRUE(eventually([&] { return child.ended(); }));
  EXPECT_TRUE(child.succeeded());
}

TEST_F(SleepingChild, IsFoundInSingleStepsToo) {
  SteppedProcess child([this] { return sleep(); });
  ASSERT_TRUE(child.reach_begin());
  while (child.step()) ASSERT_FALSE(child.at_end());
  EXPECT_TRUE(child.asleep());
}

TEST_F(SleepingChild, GoesOnToItsNextBeginAsOftenAsItHasOne) {
  for (int i = 0; i < 3; ++i) wake();
  SteppedProcess child([this] { return sleep() && sleep() && sleep(); });
  ASSERT_TRUE(child.reach_begin());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(child.reach_end());
    EXPECT_TRUE(child.reach_next_begin());
  }
  EXPECT_TRUE(child.reach_end());
  child.go_on();
  EXPECT_TRUE(eventually([&] { return child.ended(); }));
  EXPECT_TRUE(child.succeeded());
}

TEST_F(SleepingChild, BecomesAProgramThatIsStoppedAndStepped) {
  SteppedProcess child([this] {
    ::dup2(pipe_[0], 0);
    ::dup2(pipe_[1], 1);
    ::execlp("cat", "cat", nullptr);  // one byte goes round and round
    return false;
  });
  ASSERT_TRUE(child.reach_exec());
  child.run_freely();
  wake();
  ASSERT_TRUE(child.stop());
  std::set<CodeAddress> places;
  for (int i = 0; i < 100; ++i) {
    places.insert(child.instruction());
    ASSERT_TRUE(child.step());
  }
  EXPECT_GT(places.size(), 10u);
}

}  // namespace
}  // namespace slotring::testing
