// When there are no descriptors, processes or threads: who needs one is told or waits, nobody else
// is disturbed, and everything goes on once there are some again.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/descriptors.h"
#include "tests/support/effort.h"
#include "tests/support/shortage.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

// Two deaths of a worker would end its seat; a shortage has to be none.
constexpr std::string_view kKeys =
    "restart_delay_s = 0.01\nrestart_delay_max_s = 0.02\ncrash_loop_deaths = 2\n";
constexpr rlim_t kNoMoreDescriptors = 3;

TEST(DescriptorShortage, NewClientsOfTheSupervisorWaitAndOldOnesDoNotNotice) {
  if (kInstrumented) GTEST_SKIP() << "UBSan itself needs descriptors of the supervisor";
  SupervisedPool pool;
  Client client = pool.attach();
  std::thread latecomer;
  {
    const SoftLimit none(pool.supervisor(), RLIMIT_NOFILE, kNoMoreDescriptors);
    latecomer = std::thread([&] {
      Result<Client> late = Client::attach(pool.socket(), {.timeout = seconds(60)});
      ASSERT_TRUE(late.ok()) << late.error().to_string();
      EXPECT_EQ(late->call("echo", "late").value().text(), "late");
    });
    EXPECT_TRUE(eventually([&] { return count_of(pool.log(), "cannot take a connection") > 0; }));
    EXPECT_EQ(Client::attach(pool.socket(), {.timeout = milliseconds(50)}).error().code,
              ErrorCode::kDeadlineExceeded);
    EXPECT_EQ(client.call("echo", "undisturbed").value().text(), "undisturbed");
  }
  latecomer.join();
  EXPECT_EQ(count_of(pool.log(), "cannot take a connection"), 1u) << "one line a shortage";
  EXPECT_TRUE(pool.logs("connections are taken again"));
}

// Kills the pool's worker while `shortage` keeps the supervisor from starting another.
template <class Shortage>
void expect_successor_after(SupervisedPool& pool, Client& client, Shortage& shortage) {
  const pid_t killed = SupervisedPool::worker_of(client);
  ::kill(killed, SIGKILL);
  EXPECT_TRUE(
      eventually([&] { return count_of(pool.log(), "cannot start a worker: SYSTEM_LIMIT") >= 4; }));
  EXPECT_EQ(client.call("echo", "x", {.timeout = milliseconds(20)}).error().code,
            ErrorCode::kDeadlineExceeded);
  shortage.end();
  EXPECT_EQ(client.call("echo", "again").value().text(), "again");
  EXPECT_NE(SupervisedPool::worker_of(client), killed);
}

TEST(DescriptorShortage, ADeadWorkersSuccessorIsStartedWhenThereAreDescriptors) {
  if (kInstrumented) GTEST_SKIP() << "UBSan itself needs descriptors of the supervisor";
  SupervisedPool pool("", kKeys);
  Client client = pool.attach();
  const pid_t supervisor = pool.supervisor();
  const SoftLimit none(supervisor, RLIMIT_NOFILE, kNoMoreDescriptors);
  expect_successor_after(pool, client, none);
}

TEST(DescriptorShortage, AClientThatHasNoneIsToldAtAttaching) {
  SupervisedPool pool;
  Client client = pool.attach();
  // With none, with one for the socket only, and with some of those that come with a Welcome.
  for (const int spare : {0, 1, 2, 3}) {
    ChildProcess child([&] {
      std::vector<shm::UniqueFd> held;
      for (int i = 0; i < spare; ++i) held.emplace_back(::dup(0));
      const bool limited = allow_no_more_descriptors();
      held.clear();
      const Result<Client> attached = Client::attach(pool.socket());
      EXPECT_FALSE(attached.ok());
      if (!attached.ok()) {
        EXPECT_EQ(attached.error().code, ErrorCode::kSystemLimit) << attached.error().to_string();
      }
      return limited;
    });
    EXPECT_TRUE(child.succeeded()) << spare;
  }
  EXPECT_EQ(client.call("echo", "undisturbed").value().text(), "undisturbed");
}

// Root's processes are not limited in number: another user's words to a shell.
std::vector<std::string> as_nobody(const std::string& before) {
  if (::geteuid() != 0) return {"/bin/sh", "-c", "exec \"$@\"", "sh"};
  return {"/bin/sh", "-c",
          before + "exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"", "sh"};
}

// How many processes the user of a running one may have. Set by that user, since root may lack the
// capability to do it for others.
class ProcessLimit {
 public:
  ProcessLimit(pid_t pid, const std::string& limit) : pid_(pid) {
    rlimit before{};
    ::getrlimit(RLIMIT_NPROC, &before);
    if (before.rlim_cur != RLIM_INFINITY) before_ = std::to_string(before.rlim_cur);
    set(limit);
  }
  ~ProcessLimit() { end(); }
  ProcessLimit(const ProcessLimit&) = delete;
  ProcessLimit& operator=(const ProcessLimit&) = delete;
  void end() const { set(before_); }

 private:
  void set(const std::string& limit) const {
    std::vector<std::string> command = as_nobody("");
    command.insert(command.end(),
                   {"prlimit", "--pid", std::to_string(pid_), "--nproc=" + limit + ":"});
    const Finished set = run(command);
    EXPECT_EQ(set.status, 0) << set.err;
  }

  pid_t pid_;
  std::string before_ = "unlimited";
};

TEST(ProcessShortage, ADeadWorkersSuccessorIsStartedWhenThereMayBeProcesses) {
  SupervisedPool pool("", kKeys, as_nobody("chmod 777 \"${3%/*}\"; "));
  Client client = pool.attach();
  const ProcessLimit none(pool.supervisor(), "1");
  expect_successor_after(pool, client, none);
}

TEST(ProcessShortage, AForkThatFailsDelaysASuccessor) {
  FaultyPool pool("", kKeys);
  Client client = pool->attach();
  const Fault none(pool.faults(), "fork");
  expect_successor_after(*pool.operator->(), client, none);
}

class ThreadShortage : public ::testing::TestWithParam<const char*> {};

// The log's thread comes first, the audit's second.
TEST_P(ThreadShortage, IsAnErrorOfTheStartThatLeavesNothing) {
  const TemporaryFolder folder, faults;
  write_file(folder.file("served.py"), "");
  write_file(folder.file("config.toml"),
             "[pool.threadless]\nmodule = \"served\"\nsocket = \"pool.sock\"\n");
  const Fault none(faults, "pthread_create", GetParam());
  const FaultyEnvironment environment(faults);
  const Finished ended = run({supervisor_program(), "--config", folder.file("config.toml")});
  EXPECT_EQ(ended.status, 1);
  EXPECT_THAT(ended.err, HasSubstr("slotring-supervisor: SYSTEM_LIMIT: starting the "));
  EXPECT_THAT(ended.err, HasSubstr("thread: Resource temporarily unavailable"));
  EXPECT_FALSE(std::filesystem::exists(folder.file("pool.sock")));
}

INSTANTIATE_TEST_SUITE_P(AfterSoManyThreads, ThreadShortage, ::testing::Values("0", "1"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace slotring::testing
