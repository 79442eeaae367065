// Workers, clients and supervisors that die: what the others see of it.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.handler
def leave(request):
    print("last words", file=sys.stderr, flush=True)
    os._exit(7)
)";

TEST(Deaths, AKilledWorkerLosesItsRunningCallAndNoQueuedOne) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  std::optional<Error> lost;
  std::thread running([&] { lost = client.call("block", "").error(); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  // Sent, not waited for: they are queued behind the running call when the worker dies.
  std::vector<Lease> queued;
  for (int i = 0; i < 3; ++i) {
    Lease lease = client.claim().value();
    lease.request(1).value()[0] = static_cast<std::byte>(i);
    ASSERT_TRUE(lease.submit("echo", PayloadKind::kBytes, 1));
    queued.push_back(std::move(lease));
  }
  ::kill(worker, SIGKILL);
  running.join();
  EXPECT_EQ(lost->code, ErrorCode::kWorkerLost);
  EXPECT_THAT(lost->message, HasSubstr("SIGKILL"));
  EXPECT_FALSE(lost->retryable);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(queued[static_cast<std::size_t>(i)].wait().value().bytes[0],
              static_cast<std::byte>(i));
  }
}

TEST(Deaths, AWorkerThatExitsInACallSaysHowAndItsLastWords) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Error error = client.call("leave", "").error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  EXPECT_THAT(error.message, HasSubstr("exited with status 7"));
  EXPECT_THAT(error.traceback, HasSubstr("last words"));
  EXPECT_EQ(client.call("echo", "successor").value().text(), "successor");
}

TEST(Deaths, AWorkerThatCannotStartIsReportedAndGivenUpWithoutARestartStorm) {
  SupervisedPool pool("import no_such_module\n", "restart_delay_s = 0.01\ncrash_loop_deaths = 3\n");
  Client client = pool.attach();
  EXPECT_EQ(client.call("echo", "").error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(pool.logs("ModuleNotFoundError"));
}

TEST(Deaths, ADeadClientsSlotsComeBack) {
  SupervisedPool pool(kModule, "slots_per_worker = 2\n");
  Client client = pool.attach();
  const pid_t child = ::fork();
  if (child == 0) {
    Client own = pool.attach();
    Lease first = own.claim().value();
    Lease second = own.claim().value();
    write_file(pool.path("claimed"), "");
    ::pause();
  }
  ASSERT_TRUE(eventually([&] { return pool.has("claimed"); }));
  EXPECT_EQ(client.call("echo", "x", {.timeout = milliseconds(20)}).error().code,
            ErrorCode::kDeadlineExceeded);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
}

TEST(Deaths, AClientIsDeadThoughAForkedChildOfItLives) {
  SupervisedPool pool(kModule, "slots_per_worker = 1\n");
  Client client = pool.attach();
  int alive[2];  // the forked child lives until this process closes its end
  ASSERT_EQ(::pipe(alive), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(alive[1]);
    Client own = pool.attach();
    const Lease lease = own.claim().value();
    if (::fork() == 0) {  // with its parent's lease, memory and socket
      char end;
      (void)!::read(alive[0], &end, 1);
      ::_exit(0);
    }
    write_file(pool.path("forked"), "");
    for (;;) ::pause();
  }
  ASSERT_TRUE(eventually([&] { return pool.has("forked"); }));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
  ::close(alive[0]);
  ::close(alive[1]);
}

TEST(Deaths, CallsGoOnWhileThereIsNoSupervisor) {
  SupervisedPool pool(kModule, "orphan_timeout_s = 2\n");
  Client client = pool.attach();
  ASSERT_TRUE(client.call("echo", "x").ok());
  EXPECT_EQ(pool.stop_supervisor(SIGKILL), 128 + SIGKILL);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(client.call("echo", "alone").value().text(), "alone");
  // The workers end by themselves; the fixture fails the test when they do not.
}

}  // namespace
}  // namespace slotring::testing
