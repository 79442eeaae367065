// The command `slotring` against a running pool: what it prints and how it exits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.handler
def add(request):
    return {"sum": request["a"] + request["b"], "of": [request["a"], request["b"]]}
)";

Finished command(const SupervisedPool& pool, std::vector<std::string> words,
                 std::string_view input = "") {
  words.insert(words.begin(), command_program());
  words.insert(words.end(), {"--pool", pool.socket()});
  return run(words, input);
}

class Command : public ::testing::Test {
 protected:
  SupervisedPool pool{kModule,
                      "workers = 2\nslots_per_worker = 3\nprofile = \"threads\"\nthreads = 2\n"};
  Client client = pool.attach();
};

TEST_F(Command, CallPrintsTheReplyAsJson) {
  const Finished called = command(pool, {"call", "add", R"({"a": 2, "b": 40})"});
  EXPECT_EQ(called.status, 0) << called.err;
  EXPECT_EQ(nlohmann::json::parse(called.out), nlohmann::json::parse(R"({"sum":42,"of":[2,40]})"));
}

TEST_F(Command, CallTakesItsArgumentFromStandardInput) {
  const Finished called = command(pool, {"call", "add", "-"}, R"({"a": "x", "b": "y"})");
  EXPECT_EQ(called.status, 0) << called.err;
  EXPECT_EQ(nlohmann::json::parse(called.out)["sum"], "xy");
}

TEST_F(Command, CallEndsWithTheCodeOfTheErrorsCategory) {
  const Finished raised = command(pool, {"call", "add", "{}"});
  EXPECT_THAT(raised.err, HasSubstr("HANDLER_RAISED"));
  EXPECT_THAT(raised.err, HasSubstr("KeyError"));
  EXPECT_EQ(raised.status, 10 + static_cast<int>(ErrorCategory::kHandler));
  EXPECT_EQ(command(pool, {"call", "nothing"}).status,
            10 + static_cast<int>(ErrorCategory::kNotFound));
  EXPECT_EQ(command(pool, {"call", "add", "{bad"}).status, 2);
}

TEST_F(Command, StatusShowsWorkersSlotsRingsAndClients) {
  ASSERT_TRUE(client.call("ping", Payload()).ok());
  Lease lease = client.claim().value();
  const Finished status = command(pool, {"status", "--json"});
  ASSERT_EQ(status.status, 0) << status.err;
  const nlohmann::json seen = nlohmann::json::parse(status.out);
  EXPECT_THAT(status.out, HasSubstr("claimed"));
  EXPECT_THAT(status.out, HasSubstr("ready"));
  EXPECT_THAT(status.out, HasSubstr(std::to_string(SupervisedPool::worker_of(client))));
}

TEST_F(Command, StatusShowsHowEachWorkerServes) {
  const Finished status = command(pool, {"status", "--json"});
  ASSERT_EQ(status.status, 0) << status.err;
  const nlohmann::json seen = nlohmann::json::parse(status.out);
  EXPECT_FALSE(seen.at("workers").empty());
  for (const nlohmann::json& worker : seen.at("workers")) {
    EXPECT_EQ(worker.at("profile"), "threads");
    EXPECT_EQ(worker.at("threads"), 2);
  }
  EXPECT_THAT(command(pool, {"status"}).out, HasSubstr("threads 2"));
}

TEST_F(Command, PingSaysThatTheWorkerIsWell) {
  const Finished ping = command(pool, {"ping"});
  EXPECT_EQ(ping.status, 0) << ping.err;
  EXPECT_THAT(ping.out, HasSubstr("ok"));
}

TEST(CommandAlone, SaysThatNoPoolIsThere) {
  const Finished ping = run({command_program(), "ping", "--pool", "/nowhere/pool.sock"});
  EXPECT_EQ(ping.status, 10 + static_cast<int>(ErrorCategory::kNotFound));
  EXPECT_THAT(ping.err, HasSubstr("/nowhere/pool.sock"));
}

}  // namespace
}  // namespace slotring::testing
