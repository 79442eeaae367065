// The supervisor as a service: who is let in, how it stops, and what it says of a bad
// configuration.

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.teardown
def down():
    (folder / "torn_down").touch()
)";

TEST(Supervisor, SigtermLetsRunningCallsEndTearsDownAndLeavesNothing) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  std::thread running([&] { EXPECT_EQ(client.call("block", "").value().text(), "done"); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  ::kill(pool.supervisor(), SIGTERM);
  EXPECT_TRUE(eventually([&] {
    const Result<Reply> refused = client.call("echo", "x", {.timeout = std::chrono::seconds(1)});
    return !refused.ok() && refused.error().code == ErrorCode::kPoolDraining;
  }));
  pool.unblock();
  running.join();
  EXPECT_EQ(pool.stop_supervisor(SIGTERM), 0);
  EXPECT_TRUE(pool.has("torn_down"));
  EXPECT_FALSE(pool.has("pool.sock"));
  EXPECT_EQ(client.call("echo", "x").error().category(), ErrorCategory::kWorker);
  EXPECT_EQ(Client::attach(pool.socket()).error().code, ErrorCode::kPoolNotFound);
}

TEST(Supervisor, AHandlerThatNeverEndsIsKilledWithinTheBound) {
  SupervisedPool pool(kModule, "drain_timeout_s = 0.2\nstop_timeout_s = 0.2\n");
  Client client = pool.attach();
  std::thread running(
      [&] { EXPECT_EQ(client.call("block", "").error().code, ErrorCode::kWorkerLost); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  EXPECT_EQ(pool.stop_supervisor(SIGTERM), 0);
  running.join();
}

TEST(Supervisor, ASecondOneIsRefusedAndToldWhoTheFirstIs) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Finished second = run({supervisor_program(), "--config", pool.path("config.toml")});
  EXPECT_NE(second.status, 0);
  EXPECT_THAT(second.out + second.err, HasSubstr(std::to_string(pool.supervisor())));
  EXPECT_EQ(client.call("echo", "undisturbed").value().text(), "undisturbed");
}

// Attaches as another user; returns the code it was refused with, kOk when it was let in.
ErrorCode attach_as_nobody(const std::string& socket) {
  constexpr uid_t kNobody = 65534;
  int channel[2];
  EXPECT_EQ(::pipe(channel), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ErrorCode code = ErrorCode::kInternal;
    if (::setgid(kNobody) == 0 && ::setuid(kNobody) == 0) {
      Result<Client> client = Client::attach(socket);
      code = client.ok() ? ErrorCode::kOk : client.error().code;
    }
    (void)!::write(channel[1], &code, sizeof(code));
    ::_exit(0);
  }
  ErrorCode code = ErrorCode::kInternal;
  EXPECT_EQ(::read(channel[0], &code, sizeof(code)), static_cast<ssize_t>(sizeof(code)));
  ::waitpid(child, nullptr, 0);
  ::close(channel[0]);
  ::close(channel[1]);
  return code;
}

TEST(Supervisor, APeerOfAnotherUserIsRefusedUnlessAllowed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  {
    SupervisedPool closed(kModule);
    Client client = closed.attach();
    ::chmod(closed.socket().c_str(), 0666);  // past the file's mode, to the check of credentials
    EXPECT_EQ(attach_as_nobody(closed.socket()), ErrorCode::kRefused);
  }
  SupervisedPool open(kModule, "allow_users = [\"nobody\"]\n");
  Client client = open.attach();
  EXPECT_EQ(attach_as_nobody(open.socket()), ErrorCode::kOk);
}

TEST(Supervisor, AConfigurationErrorSaysWhereItIsAndWhatIsKnown) {
  SupervisedPool pool(kModule);
  const std::string config = pool.path("bad.toml");
  write_file(config, "[pool.a]\nmodule = \"m\"\n  workrs = 2\n");
  const Finished checked = run({supervisor_program(), "--config", config, "--check"});
  EXPECT_EQ(checked.status, 1);
  EXPECT_THAT(checked.err, HasSubstr(config + ":3:3: error: "));
  EXPECT_THAT(checked.err, HasSubstr("workers"));
}

}  // namespace
}  // namespace slotring::testing
