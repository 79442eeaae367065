// What could go wrong while one supervisor follows another: its own death at any moment, shortages,
// workers that cannot answer, upgrades at a bad time. No call fails but those of killed workers.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/mortal_supervisor.h"
#include "tests/support/random_source.h"
#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kModule = R"(
import ctypes

if (folder / "slow").exists():
    (folder / "setting-up").touch()
    wait_for("set-up")

@slotring.handler
def hog(request):
    pipe = os.open(folder / "pipe", os.O_RDONLY)
    byte = ctypes.create_string_buffer(1)
    (folder / "hogging").touch()
    ctypes.PyDLL(None).read(pipe, byte, 1)  # keeps the GIL
    return b"hogged"
)";
constexpr std::string_view kTwoWorkers = "workers = 2\n";

class AdoptionBreaks : public MortalSupervisor {
 public:
  explicit AdoptionBreaks(std::string_view keys = kTwoWorkers)
      : MortalSupervisor(kModule, keys, " supervisor: ready: ") {}  // all are ready

 protected:
  std::set<pid_t> workers() const {
    const std::vector<pid_t> found = pool_.processes();
    return {found.begin(), found.end()};
  }
};

class Adoption : public AdoptionBreaks, public ::testing::Test {};

class AdoptionOfOne : public AdoptionBreaks, public ::testing::Test {
 protected:
  AdoptionOfOne() : AdoptionBreaks("workers = 1\nmax_clients = 2\n") {}
};

class AdoptionOfTwoPools : public AdoptionBreaks, public ::testing::Test {
 protected:
  AdoptionOfTwoPools()
      : AdoptionBreaks("[pool.waited]\nmodule = \"served\"\nsocket = \"waited.sock\"\nenv = { " +
                       sanitizer_environment() + "SLOTRING_TEST_OF = \"two\" }\n") {
    EXPECT_TRUE(logged("ready: 2 pools"));
  }
};

TEST_F(AdoptionOfOne, AWorkerThatKeepsTheGilIsTakenOver) {
  const std::set<pid_t> before = workers();
  ASSERT_EQ(::mkfifo(pool_.path("pipe").c_str(), 0600), 0);
  std::string reply;
  std::thread caller([&] { reply = client_.call("hog", "").value().text(); });
  const int pipe = ::open(pool_.path("pipe").c_str(), O_WRONLY);
  ASSERT_TRUE(eventually([&] { return pool_.has("hogging"); }));
  kill_supervisor();
  restart();
  EXPECT_TRUE(logged("taken over, generation 1"));
  EXPECT_EQ(::write(pipe, "x", 1), 1);
  ::close(pipe);
  caller.join();
  EXPECT_EQ(reply, "hogged");
  EXPECT_TRUE(logged("ready: 1 worker "));
  EXPECT_EQ(workers(), before);
}

TEST_F(AdoptionOfOne, AClientThatLeavesWithoutACallGivesItsPlaceBack) {
  std::optional<Client> idle = pool_.attach();
  kill_supervisor();
  restart();
  idle.reset();
  EXPECT_TRUE(eventually([&] { return Client::attach(pool_.socket()).ok(); })) << "of two places";
  EXPECT_EQ(call("well"), "well");
}

// Starts a supervisor with few descriptors, and waits until it has taken the pool over (true) or
// has given up; it is gone afterwards.
bool takes_over(const SupervisedPool& pool, int descriptors) {
  const std::string log = pool.path("log of " + std::to_string(descriptors));
  const pid_t supervisor =
      start({"/bin/sh", "-c", "ulimit -n $1 && exec $2 --config $3", "sh",
             std::to_string(descriptors), supervisor_program(), pool.path("config.toml")},
            log);
  siginfo_t ended{};
  bool took_over = false;
  EXPECT_TRUE(eventually([&] {
    took_over = read_file(log).find("took over") != std::string::npos;
    ::waitid(P_PID, static_cast<id_t>(supervisor), &ended, WEXITED | WNOHANG | WNOWAIT);
    return took_over || ended.si_pid == supervisor;
  }));
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  return took_over;
}

TEST_F(Adoption, AStartThatRunsOutOfDescriptorsLeavesThePoolAsItIs) {
  if (kInstrumented) GTEST_SKIP() << "UBSan itself needs descriptors of the supervisor";
  const std::set<pid_t> before = workers();
  kill_supervisor();
  int failures = 0;
  for (int descriptors = 8; !takes_over(pool_, descriptors); descriptors += 2) {
    ++failures;
    ASSERT_LT(descriptors, 100);
    ASSERT_EQ(call("still"), "still") << descriptors;
    ASSERT_EQ(workers(), before) << descriptors;
  }
  EXPECT_GT(failures, 3);
  restart();
  EXPECT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(call("well"), "well");
  EXPECT_EQ(workers(), before);
}

TEST_F(AdoptionOfTwoPools, AStopWhileAnotherPoolIsWaitedForEndsNothing) {
  const pid_t worker = SupervisedPool::worker_of(client_);
  Client other = Client::attach(pool_.path("waited.sock")).value();
  const pid_t stopped = SupervisedPool::worker_of(other);
  kill_supervisor();
  ::kill(stopped, SIGSTOP);
  pool_.start_supervisor();
  ASSERT_TRUE(logged("waiting for a worker of the earlier supervisor"));
  EXPECT_EQ(pool_.stop_supervisor(SIGTERM), 1);
  EXPECT_EQ(call("still"), "still");
  ::kill(stopped, SIGCONT);
  pool_.start_supervisor();
  EXPECT_TRUE(logged("ready: 2 pools"));
  EXPECT_EQ(SupervisedPool::worker_of(client_), worker);
  EXPECT_EQ(SupervisedPool::worker_of(other), stopped);
}

TEST_F(Adoption, ARemovedFolderOfSeatSocketsIsMadeAgain) {
  std::filesystem::remove_all(pool_.socket() + ".seats");
  ::kill(SupervisedPool::worker_of(client_), SIGKILL);
  EXPECT_TRUE(logged("started, generation 2"));
  EXPECT_TRUE(eventually([&] { return workers().size() == 2; }));
  EXPECT_TRUE(std::filesystem::exists(pool_.socket() + ".seats"));
  EXPECT_THAT(log_since(), Not(HasSubstr("cannot start a worker")));
}

int zombies_of(pid_t parent) {
  int zombies = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string stat = read_file(entry.path().string() + "/stat");
    const std::size_t state = stat.rfind(") Z " + std::to_string(parent) + " ");
    if (state != std::string::npos) ++zombies;
  }
  return zombies;
}

TEST_F(Adoption, AnUpgradeEndsAWorkerThatStarts) {
  const pid_t supervisor = pool_.supervisor();
  for (int round = 0; round < 6; ++round) {
    const pid_t victim = SupervisedPool::worker_of(client_);
    forget_log();
    ::kill(victim, SIGKILL);
    ASSERT_TRUE(logged("started, generation"));
    const Finished upgraded = run({command_program(), "upgrade", pool_.socket()});
    EXPECT_EQ(upgraded.status, 0) << upgraded.err;
    ASSERT_TRUE(logged("ready: 2 workers"));
    EXPECT_EQ(call("well"), "well");
    EXPECT_EQ(pool_.supervisor(), supervisor);
    EXPECT_THAT(log_since(), Not(HasSubstr("stopping")));
    EXPECT_EQ(workers().size(), 2u);
    EXPECT_EQ(zombies_of(supervisor), 0);
  }
}

TEST_F(AdoptionOfOne, AnUpgradeWithoutAReadyWorkerIsRefused) {
  write_file(pool_.path("slow"), "");
  ::kill(SupervisedPool::worker_of(client_), SIGKILL);
  ASSERT_TRUE(eventually([&] { return pool_.has("setting-up"); }));
  const Finished refused = run({command_program(), "upgrade", pool_.socket()});
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("no ready worker"));
  write_file(pool_.path("set-up"), "");
  EXPECT_EQ(call("well"), "well");
}

TEST_F(Adoption, AWorkerThatHangsInItsSetUpDiesWithItsSupervisor) {
  write_file(pool_.path("slow"), "");
  const pid_t victim = SupervisedPool::worker_of(client_);
  ::kill(victim, SIGKILL);
  ASSERT_TRUE(eventually([&] { return pool_.has("setting-up"); }));
  kill_supervisor();
  EXPECT_TRUE(eventually([&] { return workers().size() == 1; }));
  write_file(pool_.path("set-up"), "");
  restart();
  EXPECT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(call("well"), "well");
}

// Pools whose `session_store` changes in the file while their workers run.
class AdoptionOfStores : public AdoptionBreaks {
 public:
  explicit AdoptionOfStores(const std::string& store)
      : AdoptionBreaks("workers = 2\n" + line(store)), store_(store) {}

 protected:
  static std::string line(const std::string& store) {
    return "session_store = \"" + store + "\"\n";
  }
  void change_store(const std::string& store) {
    std::string config = read_file(pool_.path("config.toml"));
    const std::size_t at = config.find(line(store_));
    ASSERT_NE(at, std::string::npos);
    write_file(pool_.path("config.toml"), config.replace(at, line(store_).size(), line(store)));
    store_ = store;
  }
  Finished upgrade() const { return run({command_program(), "upgrade", pool_.socket()}); }
  // How many workers were launched with this store.
  std::size_t workers_with(const std::string& store) const {
    std::size_t count = 0;
    for (const pid_t pid : workers()) {
      const std::string words = read_file("/proc/" + std::to_string(pid) + "/cmdline");
      const std::string wanted = std::string("--session-store") + '\0' + store + '\0';
      if (words.find(wanted) != std::string::npos) ++count;
    }
    return count;
  }
  void replace_a_worker() {
    forget_log();
    ::kill(SupervisedPool::worker_of(client_), SIGKILL);
    ASSERT_TRUE(logged(" methods, CPython"));
    EXPECT_TRUE(eventually([&] { return workers().size() == 2; }));
  }

 private:
  std::string store_;
};

class AdoptionOfMemory : public AdoptionOfStores, public ::testing::Test {
 protected:
  AdoptionOfMemory() : AdoptionOfStores("memory") {}
};
class AdoptionOfADatabase : public AdoptionOfStores, public ::testing::Test {
 protected:
  AdoptionOfADatabase() : AdoptionOfStores("sqlite:sessions.db") {}
};

TEST_F(AdoptionOfMemory, ItsNewWorkersHaveMemoryUntilItIsStopped) {
  change_store("sqlite:sessions.db");
  kill_supervisor();
  restart();
  EXPECT_TRUE(logged("the pool runs with session_store = \"memory\""));
  ASSERT_TRUE(logged("ready: 2 workers"));
  replace_a_worker();
  EXPECT_EQ(workers_with("memory"), 2u);
  const Finished upgraded = upgrade();
  EXPECT_EQ(upgraded.status, 0) << upgraded.err;
  EXPECT_THAT(upgraded.out + upgraded.err, HasSubstr("session_store = \"sqlite:"));
  ASSERT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(pool_.stop_supervisor(SIGTERM), 0);
  forget_log();
  pool_.start_supervisor();
  ASSERT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(workers_with("sqlite:" + pool_.path("sessions.db")), 2u);
}

TEST_F(AdoptionOfADatabase, ASupervisorThatSaysMemoryDoesNotTakeItOver) {
  const std::set<pid_t> before = workers();
  change_store("memory");
  kill_supervisor();
  const Finished refused = run({supervisor_program(), "--config", pool_.path("config.toml")});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("stop the pool first, or restore the key"));
  EXPECT_EQ(workers(), before);
  change_store("sqlite:sessions.db");
  restart();
  ASSERT_TRUE(logged("ready: 2 workers"));
  EXPECT_EQ(workers(), before);
  replace_a_worker();
  EXPECT_EQ(workers_with("sqlite:" + pool_.path("sessions.db")), 2u);
}

TEST_F(AdoptionOfADatabase, AnUpgradeToAnotherStoreIsRefused) {
  for (const char* store : {"memory", "sqlite:other.db"}) {
    change_store(store);
    const Finished refused = upgrade();
    EXPECT_NE(refused.status, 0) << store;
    EXPECT_THAT(refused.err, HasSubstr("stop the pool first, or restore the key"));
  }
  change_store("sqlite:sessions.db");
  EXPECT_EQ(upgrade().status, 0);
  EXPECT_EQ(call("well"), "well");
}

TEST_F(Adoption, SupervisorsThatDieAtAnyMomentLoseNoCall) {
  RandomSource random;
  constexpr int kRounds = 20;
  std::atomic<bool> stop{false};
  std::atomic<int> kills{0};
  std::atomic<int> lost{0};
  std::atomic<int> calls{0};
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      for (int n = 0; !stop.load(); ++n) {
        const std::string text = std::to_string(i) + ":" + std::to_string(n);
        const Result<Reply> reply =
            client_.call("echo", text, {.timeout = std::chrono::minutes(1)});
        if (reply ? reply->text() != text : reply.error().code != ErrorCode::kWorkerLost) {
          ADD_FAILURE() << (reply ? std::string("a wrong reply") : reply.error().to_string());
          ++failures;
        }
        if (!reply) ++lost;
        ++calls;
      }
    });
  }
  const pid_t survivor = SupervisedPool::worker_of(client_);
  for (int round = 0; round < kRounds && failures.load() == 0; ++round) {
    const int until = calls.load() + static_cast<int>(random.below(20'000));
    ASSERT_TRUE(eventually([&] { return calls.load() >= until; })) << round;
    kill_supervisor();
    pool_.start_supervisor();
    if (!random.one_in(3)) continue;
    for (const pid_t worker : workers()) {
      if (worker == survivor) continue;  // it holds the pool's memory
      ::kill(worker, SIGKILL);
      ++kills;
    }
  }
  EXPECT_TRUE(logged("took over"));
  const int made = calls.load();
  EXPECT_TRUE(eventually([&] { return calls.load() > made + 100; }));
  stop.store(true);
  for (std::thread& caller : callers) caller.join();
  EXPECT_LE(lost.load(), 4 * kills.load());
  EXPECT_EQ(workers().count(survivor), 1u);
  // All slots are free: each can be claimed.
  std::vector<Lease> leases;
  const std::size_t slots = 2 * 4;
  while (leases.size() < slots) {
    Result<Lease> lease = client_.claim({.timeout = std::chrono::seconds(10)});
    ASSERT_TRUE(lease.ok()) << leases.size();
    leases.push_back(*std::move(lease));
  }
}

}  // namespace
}  // namespace slotring::testing
