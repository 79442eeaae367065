#include "supervisor/worker_template.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/temporary_folder.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;

bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

// A template whose interpreter is a shell script, run with the test's folder as $0's.
class WorkerTemplateTest : public ::testing::Test {
 protected:
  explicit WorkerTemplateTest() {
    config_.name = "p";
    config_.python = folder_.file("python");
    config_.directory = folder_.path();
    config_.preload = {"m"};
    config_.restart.delay = std::chrono::milliseconds(1);
  }
  ~WorkerTemplateTest() override {
    template_.end();
    EXPECT_FALSE(has_children());
  }

  void interpreter(const std::string& script) {
    std::ofstream(config_.python) << "#!/bin/sh\n" << script;
    ::chmod(config_.python.c_str(), 0700);
  }
  void fork(shm::SeatIndex seat, std::optional<Error>& answer) {
    template_.fork({seat, {"a"}, {}, [&answer](Result<LaunchedProcess> process) {
                      ASSERT_FALSE(process.ok());
                      answer = process.error();
                    }});
  }
  template <class Condition>
  bool runs_until(Condition condition) {
    return testing::eventually([&] {
      io_.poll();
      io_.restart();
      return condition();
    });
  }
  bool has(const std::string& name) const { return std::filesystem::exists(folder_.file(name)); }

  TemporaryFolder folder_;
  boost::asio::io_context io_{1};
  std::unique_ptr<LogOutput> output_ =
      LogOutput::open({"error", "/dev/null", LogFormat::kText}).value();
  PoolConfig config_;
  const std::string package_path_ = "/";
  int stopped_ = 0;
  WorkerTemplate template_{{io_, *output_, config_, package_path_, [this] { ++stopped_; }}};
};

TEST_F(WorkerTemplateTest, OneThatDiesOverItsImportsTellsEverybodyHow) {
  interpreter("exit 7");
  std::optional<Error> first;
  std::optional<Error> second;
  fork(0, first);
  fork(1, second);
  ASSERT_TRUE(runs_until([&] { return first && second; }));
  EXPECT_THAT(first->message, HasSubstr("exited with status 7"));
  EXPECT_NE(first->category(), ErrorCategory::kResource) << "it counts as a worker's death";
}

TEST_F(WorkerTemplateTest, AnInterpreterThatIsNotThereIsAnError) {
  std::optional<Error> answer;
  fork(0, answer);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->code, ErrorCode::kInvalidArgument);
}

TEST_F(WorkerTemplateTest, OneThatHangsIsEndedForOneSeatAndTheOthersGetTheNext) {
  interpreter("[ -e hung ] && exit 7; touch hung; while :; do sleep 1000; done");
  std::optional<Error> impatient;
  std::optional<Error> other;
  fork(0, impatient);
  fork(1, other);
  ASSERT_TRUE(runs_until([&] { return has("hung"); }));
  template_.withdraw(0);
  ASSERT_TRUE(runs_until([&] { return other.has_value(); }));
  EXPECT_THAT(other->message, HasSubstr("exited with status 7")) << "of the second";
  EXPECT_FALSE(impatient) << "it has withdrawn";
}

TEST_F(WorkerTemplateTest, OneThatImportsWhenThePoolStopsIsNotWaitedFor) {
  interpreter("touch hung; while :; do sleep 1000; done");
  template_.start();
  ASSERT_TRUE(runs_until([&] { return has("hung"); }));
  template_.stop();
  EXPECT_FALSE(template_.stopped());
  ASSERT_TRUE(runs_until([&] { return template_.stopped(); }));
  EXPECT_EQ(stopped_, 1);
  std::optional<Error> late;
  fork(0, late);
  EXPECT_FALSE(late);
  EXPECT_FALSE(has_children());
}

TEST_F(WorkerTemplateTest, OneThatSaysWhatNobodyAskedForIsEnded) {
  interpreter(
      "exec /usr/bin/python3 -c 'import socket, sys, time\n"
      "socket.socket(fileno=int(sys.argv[5])).send(b\"nonsense\")\n"
      "time.sleep(1000)' \"$@\"");
  std::optional<Error> answer;
  config_.stop_timeout = std::chrono::milliseconds(1);
  fork(0, answer);
  ASSERT_TRUE(runs_until([&] { return answer.has_value(); }));
  EXPECT_THAT(answer->message, HasSubstr("signal 9"));
}

}  // namespace
}  // namespace slotring::supervisor
