// Configuration for all workers: broadcasts, with real supervisors that die and workers that are
// killed; and the commands that ask every worker.

#include <signal.h>

#include <set>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
model = None

@slotring.handler(broadcast=True)
def configure(request):
    global model
    if bytes(request) == b"bad in one":
        try:
            (folder / "bad").mkdir()
        except FileExistsError:
            return
        raise ValueError("no such model")
    model = bytes(request)

@slotring.handler
def current(request):
    return model if model is not None else b"nothing"

@slotring.handler
def die(request):
    os.kill(os.getpid(), 9)
)";

class Broadcast : public ::testing::Test {
 protected:
  explicit Broadcast(std::string_view keys = "workers = 3\n") : pool_(kModule, keys) {
    EXPECT_TRUE(pool_.logs("ready: 1 pool"));
    client_.emplace(pool_.attach());
  }
  std::string current() { return std::string(client_->call("current", {}).value().text()); }
  // Kills the worker that takes the next call.
  void kill_worker() {
    const Result<Reply> reply = client_->call("die", {});
    EXPECT_EQ(reply.error().code, ErrorCode::kWorkerLost);
  }
  Finished command(std::vector<std::string> words) const {
    words.insert(words.begin(), command_program());
    words.insert(words.end(), {"--pool", pool_.socket()});
    return run(words);
  }

  SupervisedPool pool_;
  std::optional<Client> client_;
};

class BroadcastToOne : public Broadcast {
 protected:
  BroadcastToOne() : Broadcast("workers = 1\n") {}
};

TEST_F(Broadcast, EveryWorkerMakesItAndSaysSo) {
  const BroadcastReport report = client_->broadcast("configure", "small").value();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.epoch, 1u);
  ASSERT_EQ(report.workers.size(), 3u);
  std::set<std::uint32_t> seats;
  for (const WorkerOutcome& worker : report.workers) seats.insert(worker.seat);
  EXPECT_EQ(seats.size(), 3u);
  // Held leases send the next calls to other workers.
  std::vector<Lease> leases;
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(current(), "small");
    leases.push_back(client_->claim().value());
  }
}

TEST_F(Broadcast, AWorkerThatFailsIsReportedWithItsTracebackAndServesOn) {
  const BroadcastReport report = client_->broadcast("configure", "bad in one").value();
  EXPECT_EQ(report.workers.size(), 3u);
  EXPECT_FALSE(report.ok());
  ASSERT_EQ(report.failures().size(), 1u);
  const Error error = *report.failures()[0].error;
  EXPECT_EQ(error.code, ErrorCode::kHandlerRaised);
  EXPECT_EQ(error.message, "no such model");
  EXPECT_THAT(error.traceback, HasSubstr("in configure"));
  EXPECT_TRUE(pool_.logs("no such model"));
  EXPECT_TRUE(client_->check_health().value().ok());
}

TEST_F(Broadcast, AMethodThatNoWorkerHasIsReportedByEach) {
  const BroadcastReport report = client_->broadcast("configrue", "x").value();
  ASSERT_EQ(report.failures().size(), 3u);
  EXPECT_EQ(report.failures()[0].error->code, ErrorCode::kMethodNotFound);
}

TEST_F(BroadcastToOne, TheReplacementOfAKilledWorkerHasItBeforeItsFirstCall) {
  ASSERT_TRUE(client_->broadcast("configure", "small").value().ok());
  for (int death = 0; death < 3; ++death) {
    kill_worker();
    EXPECT_EQ(current(), "small");
  }
}

TEST_F(BroadcastToOne, ThePoolsNextSupervisorGoesOnFromIt) {
  ASSERT_TRUE(client_->broadcast("configure", "small").value().ok());
  ASSERT_TRUE(client_->broadcast("configure", "1", {.key = "other"}).value().ok());
  EXPECT_EQ(pool_.stop_supervisor(SIGKILL), 128 + SIGKILL);
  const Error alone = client_->broadcast("configure", "large").error();
  EXPECT_EQ(alone.code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(alone.retryable);
  pool_.start_supervisor();
  ASSERT_TRUE(pool_.logs("took over"));
  kill_worker();
  EXPECT_EQ(current(), "1") << "the newer of two keys, made last";
  const BroadcastReport report = client_->broadcast("configure", "large").value();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.epoch, 3u);
  kill_worker();
  EXPECT_EQ(current(), "large");
}

TEST_F(BroadcastToOne, ABusyWorkerIsReportedAndMakesItBeforeItsNextCall) {
  std::thread blocked([&] { EXPECT_TRUE(client_->call("block", {}).ok()); });
  ASSERT_TRUE(eventually([&] { return pool_.is_blocking(); }));
  const BroadcastReport report =
      client_->broadcast("configure", "small", {.timeout = milliseconds(300)}).value();
  ASSERT_EQ(report.failures().size(), 1u);
  EXPECT_EQ(report.failures()[0].error->code, ErrorCode::kDeadlineExceeded);
  const Finished health = command({"health", "--timeout", "0.2", "--json"});
  EXPECT_EQ(health.status, 1) << health.err;
  EXPECT_THAT(health.out, HasSubstr("DEADLINE_EXCEEDED"));
  pool_.unblock();
  blocked.join();
  EXPECT_EQ(current(), "small");
}

TEST_F(BroadcastToOne, ARetractedOneIsNotMadeByLaterWorkers) {
  ASSERT_TRUE(client_->broadcast("configure", "small").value().ok());
  ASSERT_TRUE(client_->broadcast("configure", "none", {.retract = true}).value().ok());
  EXPECT_EQ(current(), "none");
  kill_worker();
  EXPECT_EQ(current(), "nothing");
}

TEST_F(BroadcastToOne, AsManyKeysAsThereCanBeAndThenAnErrorThatSaysSo) {
  for (int i = 0; i < 63; ++i) {
    ASSERT_TRUE(client_->broadcast("configure", "x", {.key = "key" + std::to_string(i)}).ok());
  }
  const Error full = client_->broadcast("configure", "x", {.key = "more"}).error();
  EXPECT_EQ(full.code, ErrorCode::kSystemLimit);
  EXPECT_THAT(full.message, HasSubstr("63"));
  EXPECT_TRUE(client_->broadcast("configure", "y", {.key = "key5"}).value().ok());
}

TEST_F(Broadcast, TheCommandBroadcastsAndShowsEachWorkersResult) {
  const Finished forced = command({"call", "--broadcast", "current"});
  EXPECT_EQ(forced.status, 0) << forced.err;
  const Finished automatic = command({"call", "configure", "--bytes", "small", "--json"});
  EXPECT_EQ(automatic.status, 0) << automatic.err;
  const nlohmann::json report = nlohmann::json::parse(automatic.out);
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["epoch"], 2);
  EXPECT_EQ(report["workers"].size(), 3u);
  EXPECT_EQ(current(), "small");
  const Finished failed =
      command({"call", "--broadcast", "configure", "--bytes", "bad in one", "--key", "bad"});
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.out, HasSubstr("2 of 3"));
  EXPECT_THAT(failed.out, HasSubstr("no such model"));
  EXPECT_THAT(failed.err, HasSubstr("Traceback"));
}

TEST_F(Broadcast, TheCommandHealthCallsEveryWorker) {
  const Finished health = command({"health", "--json"});
  EXPECT_EQ(health.status, 0) << health.err;
  const nlohmann::json found = nlohmann::json::parse(health.out);
  ASSERT_EQ(found["workers"].size(), 3u);
  EXPECT_GT(found["workers"][2]["latency_us"], 0);
  EXPECT_THAT(command({"health"}).out, HasSubstr("healthy"));
}

}  // namespace
}  // namespace slotring::testing
