// Sessions and statistics of a real pool: supervisor, Python workers, several clients, the command.

#include <signal.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <flatbuffers/flexbuffers.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.handler
def add(request, ctx):
    ctx.session["count"] = ctx.session.get("count", 0) + 1
    return str(ctx.session["count"]).encode()

@slotring.handler
def fail(request):
    raise ValueError("as it was asked")
)";

constexpr std::string_view kKeys = "workers = 2\nslots_per_worker = 2\nmax_sessions = 64\n";

// What the call replies, or its error's code.
std::string text_of(const Result<Reply>& reply) {
  return std::string(reply ? reply->text() : to_string(reply.error().code));
}

pid_t worker_of(Session& session) {
  const std::vector<std::uint8_t> ping = session.call("ping", {}).value().value().value();
  return flexbuffers::GetRoot(ping).AsMap()["pid"].AsInt32();
}

void kill_worker(Session& session) {
  const pid_t worker = worker_of(session);
  ::kill(worker, SIGKILL);
  EXPECT_TRUE(eventually([worker] { return ::kill(worker, 0) != 0; }));
}

json run_json(const SupervisedPool& pool, std::vector<std::string> words) {
  words.insert(words.begin(), command_program());
  words.insert(words.end(), {"--json", "--pool", pool.socket()});
  const Finished finished = run(words);
  EXPECT_EQ(finished.status, 0) << finished.err;
  return json::parse(finished.out);
}

class Sessions : public ::testing::Test {
 protected:
  SupervisedPool pool{kModule, kKeys};
  Client client = pool.attach();
};

TEST_F(Sessions, KeepTheirStateFromCallToCall) {
  const Client other = pool.attach();
  for (int round = 1; round <= 3; ++round) {
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      Session session = client.session(name);
      EXPECT_EQ(text_of(session.call("add", {})), std::to_string(round));
      EXPECT_TRUE(client.call("echo", "between").ok());
    }
  }
  EXPECT_EQ(other.sessions().size(), 5u);
  for (const SessionInfo& info : other.sessions()) {
    EXPECT_EQ(info.calls, 3u);
    EXPECT_TRUE(info.has_state);
  }
}

TEST_F(Sessions, TellTheLossOfTheirStateOnce) {
  Session session = client.session("a");
  ASSERT_EQ(text_of(session.call("add", {})), "1");
  ASSERT_EQ(text_of(session.call("add", {})), "2");
  kill_worker(session);
  EXPECT_EQ(text_of(session.call("add", {})), "SESSION_LOST");
  EXPECT_EQ(text_of(session.call("add", {})), "1");
  EXPECT_EQ(text_of(session.call("add", {})), "2");
}

TEST_F(Sessions, EndAtTheirWorker) {
  Session session = client.session("a");
  EXPECT_EQ(session.end().error().code, ErrorCode::kSessionNotFound);
  ASSERT_EQ(text_of(session.call("add", {})), "1");
  EXPECT_TRUE(session.end().ok());
  EXPECT_TRUE(client.sessions().empty());
  EXPECT_EQ(text_of(session.call("add", {})), "1");
}

TEST_F(Sessions, AreListedCalledAndEndedByTheCommand) {
  const json called = run_json(pool, {"call", "add", "--session", "a", "--session-mode", "fail"});
  EXPECT_EQ(called["text"], "1");
  const json listed = run_json(pool, {"sessions"});
  ASSERT_EQ(listed["sessions"].size(), 1u);
  EXPECT_EQ(listed["sessions"][0]["name"], "a");
  EXPECT_EQ(listed["sessions"][0]["calls"], 1);
  EXPECT_EQ(listed["sessions"][0]["has_state"], true);
  EXPECT_EQ(run_json(pool, {"sessions", "--end", "a"})["ended"], "a");
  EXPECT_TRUE(run_json(pool, {"sessions"})["sessions"].empty());
  const Finished again =
      run({command_program(), "sessions", "--end", "a", "--pool", pool.socket()});
  EXPECT_EQ(again.status, 10 + static_cast<int>(ErrorCategory::kNotFound));
  EXPECT_THAT(again.err, HasSubstr("SESSION_NOT_FOUND"));
}

TEST_F(Sessions, AreServedByOneWorkerWhenManyThreadsCall) {
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      Session session = client.session("shared", {.mode = SessionMode::kQueue});
      for (int call = 0; call < 25; ++call) EXPECT_TRUE(session.call("add", {}).ok());
    });
  }
  for (std::thread& caller : callers) caller.join();
  Session session = client.session("shared");
  EXPECT_EQ(text_of(session.call("add", {})), "101");
}

TEST(DurableSessions, FindTheirStateAfterTheirWorkersDeath) {
  SupervisedPool pool(kModule, std::string(kKeys) + "session_store = \"sqlite:sessions.db\"\n");
  Client client = pool.attach();
  Session session = client.session("a");
  for (int round = 1; round <= 3; ++round) {
    EXPECT_EQ(text_of(session.call("add", {})), std::to_string(round));
    kill_worker(session);
  }
  EXPECT_EQ(text_of(session.call("add", {})), "4");
}

TEST_F(Sessions, AreCountedAndSoIsEveryOtherCall) {
  std::array<std::atomic<std::uint64_t>, 16> truth{};
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([&, i] {
      Client own = pool.attach();
      Session session = own.session("s" + std::to_string(i));
      for (int call = 0; call < 50; ++call) {
        const bool good = call % 3 != 0;
        const Result<Reply> reply = session.call(good ? "echo" : "fail", "hello");
        const ErrorCategory outcome = reply ? ErrorCategory::kNone : reply.error().category();
        ++truth[static_cast<std::size_t>(outcome)];
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  std::array<std::uint64_t, 16> counted{};
  for (const MethodFigures& of : client.statistics().methods) {
    for (std::size_t kind = 0; kind < counted.size(); ++kind) {
      counted[kind] += of.figures.ended[kind];
    }
  }
  for (std::size_t kind = 0; kind < counted.size(); ++kind) {
    EXPECT_EQ(counted[kind], truth[kind].load()) << to_string(static_cast<ErrorCategory>(kind));
  }
  const json stats = run_json(pool, {"stats"});
  for (const json& method : stats["methods"]) {
    if (method["method"] == "fail") {
      EXPECT_EQ(method["errors_by_category"]["handler"], 51);
    }
  }
  EXPECT_THAT(stats.dump(), HasSubstr("\"fail\""));
}

}  // namespace
}  // namespace slotring::testing
