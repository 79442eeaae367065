// Pools that start workers when somebody waits and end them when they are idle.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/count_of.h"
#include "tests/support/mortal_supervisor.h"
#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kModule = R"(
@slotring.handler
def hold(request):
    (folder / f"holding.{os.getpid()}").touch()
    wait_for("go")
    return str(os.getpid())

@slotring.handler
def count(request, context):
    context.session["calls"] = context.session.get("calls", 0) + 1
    return str(context.session["calls"]).encode()

model = b"nothing"

@slotring.handler(broadcast=True)
def configure(request):
    global model
    model = bytes(request)

@slotring.handler
def current(request):
    return model

@slotring.handler
def leave(request):
    os._exit(0)
)";

// Of one slot each, so that a second call needs a second worker.
constexpr std::string_view kLazy = R"(
workers = {min = 0, max = 3}
lazy = true
slots_per_worker = 1
)";
constexpr std::string_view kElastic = R"(
workers = {min = 1, max = 3}
slots_per_worker = 1
)";
constexpr std::string_view kLazyOfOne = "workers = {min = 0, max = 1}\nlazy = true\n";
constexpr std::string_view kSoonIdle = "idle_timeout_s = 0.2\n";

std::string operator+(std::string_view a, std::string_view b) {
  return std::string(a) + std::string(b);
}

class Elastic : public MortalSupervisor {
 public:
  explicit Elastic(std::string_view keys)
      : MortalSupervisor(kModule, keys, " supervisor: ready: ") {}
  using MortalSupervisor::client_;
  using MortalSupervisor::pool_;

  std::set<pid_t> workers() const {
    const std::vector<pid_t> found = pool_.processes();
    return {found.begin(), found.end()};
  }
  bool has_workers(std::size_t count) const {
    return eventually([&] { return workers().size() == count; });
  }
  std::string echo(std::string_view text) {
    const Result<Reply> reply = client_.call("echo", text);
    return reply ? std::string(reply->text()) : reply.error().to_string();
  }
  std::size_t times_logged(std::string_view text) const { return count_of(pool_.log(), text); }
  Finished command(const std::string& word) const {
    return run({command_program(), word, pool_.socket()});
  }
  void restart_supervisor() {
    kill_supervisor();
    restart();
  }
};

// Calls that run until release().
class HeldCalls {
 public:
  HeldCalls(Elastic& elastic, std::size_t count) : elastic_(elastic) {
    for (std::size_t i = 0; i < count; ++i) {
      callers_.emplace_back([this] {
        const Result<Reply> reply = elastic_.client_.call("hold", "");
        EXPECT_TRUE(reply.ok()) << (reply.ok() ? "" : reply.error().to_string());
      });
    }
  }
  ~HeldCalls() { release(); }

  void release() {
    elastic_.pool_.unblock();
    for (std::thread& caller : callers_) caller.join();
    callers_.clear();
    ::unlink(elastic_.pool_.path("go").c_str());
  }

 private:
  Elastic& elastic_;
  std::vector<std::thread> callers_;
};

class LazyPool : public Elastic, public ::testing::Test {
 protected:
  LazyPool() : Elastic(kLazy) {}
};
class LazyPoolSoonIdle : public Elastic, public ::testing::Test {
 protected:
  LazyPoolSoonIdle() : Elastic(kLazy + kSoonIdle) {}
};
// Of one seat, so that nobody serves while its worker leaves.
class LazyPoolOfOneSoonIdle : public Elastic, public ::testing::Test {
 protected:
  LazyPoolOfOneSoonIdle() : Elastic(kLazyOfOne + kSoonIdle) {}
};
class ElasticPool : public Elastic, public ::testing::Test {
 protected:
  ElasticPool() : Elastic(kElastic) {}
};
class ElasticPoolSoonIdle : public Elastic, public ::testing::Test {
 protected:
  ElasticPoolSoonIdle() : Elastic(kElastic + kSoonIdle) {}
};

TEST_F(LazyPool, StartsNoWorkerBeforeTheFirstClaimAndThenAnswersIt) {
  EXPECT_THAT(pool_.log(), HasSubstr("ready: 0 workers"));
  EXPECT_TRUE(workers().empty());
  EXPECT_EQ(echo("first"), "first");
  EXPECT_EQ(workers().size(), 1u);
  EXPECT_EQ(echo("second"), "second");
  EXPECT_EQ(workers().size(), 1u);
}

TEST_F(LazyPool, AWaitForItsFirstWorkerCountsAgainstTheDeadline) {
  const Result<Reply> late = client_.call("echo", "x", {.timeout = std::chrono::milliseconds(1)});
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(echo("patient"), "patient");
}

TEST_F(LazyPool, StatusCallsItsSeatsDormantAndNotMissing) {
  const Finished status = command("status");
  EXPECT_EQ(status.status, 0) << status.err;
  EXPECT_THAT(status.out, HasSubstr("0 of 3 workers ready, 3 dormant"));
  EXPECT_EQ(echo("x"), "x");
  EXPECT_THAT(command("status").out, HasSubstr("1 of 3 workers ready, 2 dormant"));
}

TEST_F(LazyPool, StopsWithoutEverHavingHadAWorker) {
  EXPECT_EQ(pool_.stop_supervisor(SIGTERM), 0);
  EXPECT_THAT(pool_.log(), Not(HasSubstr("started, generation")));
}

TEST_F(LazyPool, AnUpgradeWakesAWorkerToHoldTheMemory) {
  const Finished refused = command("upgrade");
  EXPECT_NE(refused.status, 0);
  EXPECT_THAT(refused.err, HasSubstr("no ready worker"));
  EXPECT_TRUE(eventually([&] { return command("upgrade").status == 0; }));
  EXPECT_EQ(echo("on"), "on");
  EXPECT_EQ(workers().size(), 1u);
}

TEST_F(LazyPoolSoonIdle, EndsItsLastIdleWorkerAndStartsAnotherForTheNextCall) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(echo("awake"), "awake");
    EXPECT_TRUE(has_workers(0));
  }
  EXPECT_THAT(pool_.log(), Not(HasSubstr("ended by itself")));
  EXPECT_EQ(times_logged("started, generation"), 2u);
}

TEST_F(LazyPoolSoonIdle, NoCallFailsInTheMomentInWhichItsWorkerIsSentAway) {
  for (std::size_t round = 1; round <= 5; ++round) {
    EXPECT_EQ(echo("x"), "x");
    ASSERT_TRUE(eventually([&] { return times_logged("asking it to leave") >= round; }));
    EXPECT_EQ(echo("at once"), "at once");
  }
}

TEST_F(ElasticPool, GrowsWhileCallersWaitUpToItsMaximum) {
  EXPECT_EQ(workers().size(), 1u);
  HeldCalls held(*this, 5);
  EXPECT_TRUE(has_workers(3));
  EXPECT_TRUE(eventually([&] {
    return command("status").out.find("2 waiting callers") != std::string::npos;
  })) << "the others are served by three workers";
  held.release();
  EXPECT_EQ(workers().size(), 3u);
  EXPECT_EQ(times_logged("started, generation"), 3u);
}

TEST_F(ElasticPool, IsTakenOverAsItIsByTheNextSupervisor) {
  HeldCalls held(*this, 2);
  ASSERT_TRUE(has_workers(2));
  ASSERT_TRUE(eventually([&] { return times_logged(" methods, CPython") == 2; })) << pool_.log();
  const std::set<pid_t> before = workers();
  restart_supervisor();
  EXPECT_TRUE(pool_.logs("took over 2 workers"));
  held.release();
  EXPECT_EQ(echo("on"), "on");
  EXPECT_EQ(workers(), before) << "the dormant seat stays dormant";
  HeldCalls more(*this, 3);
  EXPECT_TRUE(has_workers(3)) << "and is started when somebody waits";
}

TEST_F(ElasticPoolSoonIdle, ShrinksToItsMinimumAndNeverBelow) {
  {
    HeldCalls held(*this, 3);
    ASSERT_TRUE(has_workers(3));
  }
  std::size_t least = 3;
  EXPECT_TRUE(eventually([&] {
    least = std::min(least, workers().size());
    return times_logged("asking it to leave") == 2 && least == 1;
  }));
  EXPECT_EQ(echo("still there"), "still there");
  EXPECT_EQ(workers().size(), 1u);
  EXPECT_EQ(least, 1u);
}

TEST_F(ElasticPool, AWorkerThatEndsByItselfIsNoCrash) {
  // More often than a crash loop lasts.
  for (std::size_t i = 1; i <= 6; ++i) {
    EXPECT_EQ(client_.call("leave", "").error().code, ErrorCode::kWorkerLost);
    EXPECT_TRUE(eventually([&] { return times_logged("ended by itself") == i; }));
  }
  EXPECT_EQ(echo("still served"), "still served");
  EXPECT_THAT(pool_.log(), Not(HasSubstr("no more restarts")));
}

TEST_F(LazyPoolSoonIdle, AWorkerThatHoldsASessionsStateStaysUntilTheSessionEnds) {
  Session session = client_.session("held");
  EXPECT_EQ(session.call("count", "").value().text(), "1");
  // Others come and go, each time after it was idle for as long.
  for (std::size_t round = 1; round <= 2; ++round) {
    {
      HeldCalls held(*this, 2);
      ASSERT_TRUE(has_workers(2));
    }
    ASSERT_TRUE(eventually(
        [&] { return times_logged("asking it to leave") >= round && workers().size() == 1; }));
  }
  EXPECT_EQ(session.call("count", "").value().text(), "2");
  EXPECT_TRUE(session.end().ok());
  EXPECT_TRUE(has_workers(0));
}

TEST_F(LazyPoolSoonIdle, ABroadcastWakesAWorkerThatStaysAndKeepsItOverTheSupervisorsDeath) {
  ASSERT_TRUE(workers().empty());
  ASSERT_TRUE(client_.broadcast("configure", "small").ok());
  ASSERT_TRUE(pool_.logs(" methods, CPython"));
  // Long enough for a worker of another pool, without settings, to come and go.
  Elastic other(kLazy + kSoonIdle);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(other.echo("awake"), "awake");
    ASSERT_TRUE(other.has_workers(0));
  }
  EXPECT_EQ(times_logged("asking it to leave"), 0u);
  restart_supervisor();
  EXPECT_EQ(client_.call("current", "").value().text(), "small");
  ASSERT_TRUE(client_.broadcast("configure", "", {.retract = true}).ok());
  EXPECT_TRUE(has_workers(0)) << "nothing is to be kept any more";
}

TEST_F(LazyPoolOfOneSoonIdle, ABroadcastWhileTheLastWorkerLeavesIsKept) {
  for (int round = 1; round <= 5; ++round) {
    const std::size_t asked = times_logged("asking it to leave");
    EXPECT_EQ(echo("awake"), "awake");
    ASSERT_TRUE(eventually([&] { return times_logged("asking it to leave") > asked; }));
    const std::size_t started = times_logged(" methods, CPython");
    ASSERT_TRUE(client_.broadcast("configure", std::to_string(round)).ok());
    ASSERT_TRUE(eventually([&] { return times_logged(" methods, CPython") > started; }));
    restart_supervisor();
    EXPECT_EQ(client_.call("current", "").value().text(), std::to_string(round));
    ASSERT_TRUE(client_.broadcast("configure", "", {.retract = true}).ok());
    ASSERT_TRUE(has_workers(0));
  }
}

TEST(LazyPoolThatCannotStart, TellsItsCallersWhenItsSeatsAreUsedUp) {
  SupervisedPool pool("raise ImportError('no such model')\n",
                      kLazy + "crash_loop_deaths = 1\nrestart_delay_s = 0.01\n");
  Client client = pool.attach();
  const Result<Reply> reply = client.call("echo", "x");
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(pool.logs("no such model"));
}

}  // namespace
}  // namespace slotring::testing
