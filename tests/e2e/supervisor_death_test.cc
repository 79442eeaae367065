// The supervisor dies: calls go on, and a restarted one takes over what runs.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/mortal_supervisor.h"
#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kModule = R"(
@slotring.handler
def say(request):
    print(bytes(request).decode(), flush=True)
    return b"said"

@slotring.handler
def leave(request):
    os.kill(os.getpid(), 9)

@slotring.handler
def hold(request):
    (folder / "holding.new").write_text(str(os.getpid()))
    (folder / "holding.new").rename(folder / "holding")
    wait_for("go")
)";
constexpr std::string_view kTwoWorkers = "workers = 2\n";

class SupervisorDeath : public MortalSupervisor, public ::testing::Test {
 protected:
  SupervisorDeath() : MortalSupervisor(kModule, kTwoWorkers, "ready: 2 workers") {}

  // The pids of both workers, once there are two.
  std::set<pid_t> workers() const {
    std::set<pid_t> pids;
    EXPECT_TRUE(eventually([&] {
      const std::vector<pid_t> found = pool_.processes();
      pids = {found.begin(), found.end()};
      return pids.size() == 2;
    }));
    return pids;
  }
  // The worker that runs `hold`.
  pid_t holding_worker() const {
    EXPECT_TRUE(eventually([&] { return pool_.has("holding"); }));
    return std::stoi(read_file(pool_.path("holding")));
  }
};

TEST_F(SupervisorDeath, CallsGoOnAndTheNextOneTakesOverWorkersAndClients) {
  const std::set<pid_t> before = workers();
  kill_supervisor();
  EXPECT_EQ(call("nobody there"), "nobody there");
  restart();
  EXPECT_THAT(log_since(), HasSubstr("took over 2 workers and 1 client "));
  EXPECT_EQ(call("somebody there"), "somebody there");
  EXPECT_EQ(workers(), before) << "no worker was restarted";
  EXPECT_THAT(log_since(), Not(HasSubstr("started, generation")));
  EXPECT_EQ(pool_.attach().call("echo", "new").value().text(), "new");
}

TEST_F(SupervisorDeath, NoCallFailsUnderLoad) {
  std::atomic<bool> stop{false};
  std::atomic<int> calls{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; !stop.load(); ++n) {
        const std::string text = std::to_string(i) + ":" + std::to_string(n);
        const Result<Reply> reply = client_.call("echo", text);
        if (!reply || reply->text() != text) ++failures;
        ++calls;
      }
    });
  }
  for (int death = 0; death < 3; ++death) {
    const int made = calls.load();
    ASSERT_TRUE(eventually([&] { return calls.load() > made + 200; }));
    kill_supervisor();
    const int made_without = calls.load();
    ASSERT_TRUE(eventually([&] { return calls.load() > made_without + 200; }));
    restart();
  }
  stop.store(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failures.load(), 0);
}

TEST_F(SupervisorDeath, ACallInFlightGetsItsReply) {
  std::string reply;
  std::thread caller([&] { reply = client_.call("block", "").value().text(); });
  ASSERT_TRUE(eventually([&] { return pool_.is_blocking(); }));
  kill_supervisor();
  restart();
  pool_.unblock();
  caller.join();
  EXPECT_EQ(reply, "done");
}

TEST_F(SupervisorDeath, WhatDiedMeanwhileIsReclaimed) {
  std::optional<Error> lost;
  std::thread caller([&] { lost = client_.call("hold", "").error(); });
  const pid_t holding = holding_worker();
  ChildProcess holder([&] {
    Client client = pool_.attach();
    std::vector<Lease> leases;
    for (int i = 0; i < 2; ++i) leases.push_back(client.claim().value());
    write_file(pool_.path("held"), "");
    ::pause();
    return true;
  });
  ASSERT_TRUE(eventually([&] { return pool_.has("held"); }));
  kill_supervisor();
  holder.kill();
  (void)holder.join();
  ::kill(holding, SIGKILL);
  restart();
  caller.join();
  EXPECT_EQ(lost->code, ErrorCode::kWorkerLost);
  EXPECT_TRUE(logged("2 of its slots were taken back"));
  EXPECT_EQ(workers().count(holding), 0u) << "it has a successor";
  EXPECT_EQ(call("well"), "well");
}

TEST_F(SupervisorDeath, AnAdoptedWorkersPrintsAndDeathAreTold) {
  kill_supervisor();
  restart();
  // A worker is ready before it has read where to print to.
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(client_.call("say", "to the new log").value().text(), "said");
    return log_since().find("to the new log") != std::string::npos;
  }));
  const Error error = client_.call("leave", "").error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  // How a process that is no child ended is known on Linux 6.15 and later.
  EXPECT_THAT(error.message, ::testing::AnyOf(HasSubstr("SIGKILL"), HasSubstr("ended")));
  EXPECT_EQ(workers().size(), 2u);
}

TEST_F(SupervisorDeath, AStoppedWorkerIsTakenOverWhenItGoesOn) {
  const std::set<pid_t> before = workers();
  kill_supervisor();
  const pid_t stopped = *before.begin();
  ::kill(stopped, SIGSTOP);
  restart();
  EXPECT_THAT(log_since(), Not(HasSubstr("taken over, generation 1; it is leaving")));
  ::kill(stopped, SIGCONT);
  EXPECT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(workers(), before);
}

TEST_F(SupervisorDeath, ASecondOneIsRefusedWhileTheFirstLivesStoppedOrNot) {
  const auto second = [&] {
    return run({supervisor_program(), "--config", pool_.path("config.toml")});
  };
  const std::string first = "pid " + std::to_string(pool_.supervisor());
  Finished refused = second();
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr(first));
  ::kill(pool_.supervisor(), SIGSTOP);
  refused = second();
  ::kill(pool_.supervisor(), SIGCONT);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr(first));
  EXPECT_EQ(call("undisturbed"), "undisturbed");
}

TEST_F(SupervisorDeath, WithAllWorkersDeadTooCallersAreToldAndAttachAgain) {
  std::optional<Error> lost;
  std::thread caller([&] { lost = client_.call("block", "", {.timeout = kNoTimeout}).error(); });
  ASSERT_TRUE(eventually([&] { return pool_.is_blocking(); }));
  const std::set<pid_t> before = workers();
  kill_supervisor();
  for (const pid_t worker : before) ::kill(worker, SIGKILL);
  caller.join();
  EXPECT_EQ(lost->code, ErrorCode::kWorkerLost);
  EXPECT_THAT(lost->message, HasSubstr("so is the supervisor"));
  pool_.start_supervisor();
  ASSERT_TRUE(logged("starting 2 workers"));
  EXPECT_TRUE(eventually([&] {
    const Result<Reply> reply = client_.call("echo", "", {.timeout = milliseconds(2500)});
    return reply.error().code == ErrorCode::kNotAttached;
  }));
  client_ = pool_.attach();
  EXPECT_EQ(call("again"), "again");
}

TEST_F(SupervisorDeath, AnUpgradeKeepsProcessesAndCalls) {
  const std::set<pid_t> before = workers();
  std::string reply;
  std::thread caller([&] { reply = client_.call("block", "").value().text(); });
  ASSERT_TRUE(eventually([&] { return pool_.is_blocking(); }));
  const Finished upgraded = run({command_program(), "upgrade", pool_.socket()});
  EXPECT_EQ(upgraded.status, 0) << upgraded.err;
  EXPECT_THAT(upgraded.out, HasSubstr("pid " + std::to_string(pool_.supervisor())));
  pool_.unblock();
  caller.join();
  EXPECT_EQ(reply, "done");
  EXPECT_EQ(workers(), before);
  // Still its children: how they end is known.
  const Error error = client_.call("leave", "").error();
  EXPECT_THAT(error.message, HasSubstr("SIGKILL"));
}

TEST_F(SupervisorDeath, AnUpgradeSaysWhatOfTheFileHasToWait) {
  const std::string keys = "max_waiting = 7\nslots_per_worker = 2\n";
  write_file(pool_.path("config.toml"), read_file(pool_.path("config.toml")) + keys);
  const Finished upgraded = run({command_program(), "upgrade", pool_.socket()});
  EXPECT_EQ(upgraded.status, 0) << upgraded.err;
  EXPECT_THAT(upgraded.out,
              HasSubstr("not before the supervisor is stopped and started: pool tested: "
                        "slots_per_worker = 2 (is 4), max_waiting = 7 (is 1024)"));
  EXPECT_EQ(call("undisturbed"), "undisturbed");
}

TEST_F(SupervisorDeath, AnUpgradeToWhatCannotTakeOverChangesNothing) {
  const std::string config = read_file(pool_.path("config.toml"));
  write_file(pool_.path("config.toml"), config + "no_such_key = 1\n");
  const Finished refused = run({command_program(), "upgrade", pool_.socket()});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("no_such_key"));
  write_file(pool_.path("config.toml"), config);
  EXPECT_EQ(call("undisturbed"), "undisturbed");
}

TEST_F(SupervisorDeath, AnUpgradeToAFileWithoutTheRunningPoolChangesNothing) {
  std::string config = read_file(pool_.path("config.toml"));
  const std::string before = config;
  config.replace(config.find("[pool.tested]"), 13, "[pool.others]");
  write_file(pool_.path("config.toml"), config);
  const Finished refused = run({command_program(), "upgrade", pool_.socket()});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("has no longer the pool tested"));
  write_file(pool_.path("config.toml"), before);
  EXPECT_EQ(call("undisturbed"), "undisturbed");
}

TEST(Orphans, StayWhileAClientIsAttachedAndLeaveWhenItIsGone) {
  SupervisedPool pool("", "orphan_timeout_s = 0.2\n");
  {
    Client client = pool.attach();
    const pid_t worker = SupervisedPool::worker_of(client);
    EXPECT_EQ(pool.stop_supervisor(SIGKILL), 128 + SIGKILL);
    // For longer than the worker's patience, several times.
    const auto end = std::chrono::steady_clock::now() + milliseconds(1000);
    while (std::chrono::steady_clock::now() < end) {
      ASSERT_EQ(client.call("echo", "still").value().text(), "still");
    }
    EXPECT_EQ(SupervisedPool::worker_of(client), worker);
  }
  EXPECT_TRUE(eventually([&] { return pool.processes().empty(); }));
}

}  // namespace
}  // namespace slotring::testing
