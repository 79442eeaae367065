#include "slotring/session.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "slotring/client.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/session_state.h"

namespace slotring {
namespace {

using testing::LocalPool;
using testing::LocalSupervisor;
using namespace std::chrono_literals;

// Answers with the name of the call's session; ends sessions as Python's workers do.
class SessionWorker {
 public:
  explicit SessionWorker(const LocalPool& pool)
      : table_(pool.segment()),
        thread_(pool, [this](shm::WorkerSeat& seat, const shm::RunningCall& call) {
          answer(seat, call);
        }) {}

 private:
  void answer(shm::WorkerSeat& seat, const shm::RunningCall& call) {
    const std::string session(call.session);
    if (call.method_name == "end_session") {
      const auto found = table_.find(session).value();
      EXPECT_TRUE(found && table_.try_end(found->index, found->word));
    }
    auto space = seat.reply_space(call, session.size());
    std::memcpy(space->data(), session.data(), session.size());
    (void)seat.reply(call, wire::PayloadKind::Bytes, session.size()).ok();
  }

  shm::SessionTable table_;
  testing::SeatThread thread_;
};

class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { pool_.publish_all(); }

  std::string text_of_call(Session& session, const CallOptions& options = {}) {
    return std::string(session.call("who", {}, options)->text());
  }
  // What a worker says that keeps state of it.
  void give_state(std::string_view name) {
    const shm::SessionTable table(pool_.segment());
    shm::FoundSession found = table.find(name).value().value();
    table.record(found.index).home_generation.store(1);
    EXPECT_TRUE(table.try_update(found.index, found.word, found.word.home, layout::kFlagHasState));
  }

  LocalPool pool_{testing::session_geometry(4)};
  LocalSupervisor supervisor_{pool_};
  Client client_ = Client::attach(supervisor_.path()).value();
  const SessionWorker worker_{pool_};
};

TEST_F(SessionTest, SendsItsNameWithEachCall) {
  Session session = client_.session("user-42");
  EXPECT_EQ(session.name(), "user-42");
  EXPECT_EQ(text_of_call(session), "user-42");
  const std::string longest(63, 'x');
  Session other = client_.session(longest);
  EXPECT_EQ(text_of_call(other), longest);
}

TEST_F(SessionTest, IsNamedInTheOptionsOfACallAlso) {
  EXPECT_EQ(client_.call("who", {}, {.session = "a"})->text(), "a");
  EXPECT_EQ(client_.call("who", {})->text(), "") << "which later calls have nothing of";
}

TEST_F(SessionTest, IsCalledInPlace) {
  Session session = client_.session("a");
  Lease lease = session.claim().value();
  ASSERT_TRUE(lease.request(0).ok());
  ASSERT_TRUE(lease.submit("who", PayloadKind::kEmpty, 0).ok());
  EXPECT_EQ(testing::text_of(lease.wait().value()), "a");
}

TEST_F(SessionTest, IsStreamed) {
  Session session = client_.session("user-42");
  Stream stream = session.stream("who", {}).value();
  EXPECT_FALSE(stream.next().value().has_value());
  EXPECT_EQ(stream.finish().value().text(), "user-42");
  EXPECT_EQ(client_.session("").stream("who", {}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(SessionTest, HasTheModeOfItsOptionsAndThatOfACallBeforeIt) {
  Session session = client_.session("a", {.mode = SessionMode::kFail});
  Lease busy = session.claim().value();
  EXPECT_EQ(session.call("who", {}).error().code, ErrorCode::kSessionBusy);
  EXPECT_EQ(text_of_call(session, {.session_mode = SessionMode::kQueue}), "a");
}

TEST_F(SessionTest, OutlivesTheMoveOfItsClient) {
  Session session = client_.session("a");
  const Client moved = std::move(client_);
  EXPECT_EQ(text_of_call(session), "a");
}

TEST_F(SessionTest, RefusesNamesThatAreNone) {
  for (const std::string& name : {std::string(), std::string(64, 'x')}) {
    Session session = client_.session(name);
    EXPECT_EQ(session.call("who", {}).error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(session.claim().error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(session.info().error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(session.end().error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(SessionTest, IsThereFromItsFirstCallOn) {
  Session session = client_.session("a");
  EXPECT_EQ(session.info().error().code, ErrorCode::kSessionNotFound);
  const auto before = std::chrono::system_clock::now() - 1s;
  text_of_call(session);
  const SessionInfo info = session.info().value();
  EXPECT_EQ(info.name, "a");
  EXPECT_EQ(info.worker, 0u);
  EXPECT_FALSE(info.has_state);
  EXPECT_GE(info.created, before);
  EXPECT_LE(info.created, std::chrono::system_clock::now() + 1s);
  EXPECT_LT(info.unused_for, 1min);
  EXPECT_EQ(info.calls, 1u);
  EXPECT_EQ(info.errors, 0u);
}

TEST_F(SessionTest, SaysThatItHasState) {
  Session session = client_.session("a");
  text_of_call(session);
  give_state("a");
  EXPECT_TRUE(session.info()->has_state);
}

TEST_F(SessionTest, IsListedWithTheOthers) {
  for (const char* name : {"a", "b", "c"}) {
    Session session = client_.session(name);
    text_of_call(session);
  }
  std::vector<std::string> names;
  for (const SessionInfo& info : client_.sessions()) names.push_back(info.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
}

TEST_F(SessionTest, EndsAtItsWorker) {
  Session session = client_.session("a", {.mode = SessionMode::kFail});
  text_of_call(session);
  EXPECT_TRUE(session.end().ok());
  EXPECT_EQ(session.info().error().code, ErrorCode::kSessionNotFound);
  EXPECT_TRUE(client_.sessions().empty());
  EXPECT_EQ(text_of_call(session), "a") << "and begins anew";
  EXPECT_EQ(session.info()->calls, 1u);
}

TEST_F(SessionTest, IsNotMadeToBeEnded) {
  Session session = client_.session("a");
  EXPECT_EQ(session.end().error().code, ErrorCode::kSessionNotFound);
  EXPECT_TRUE(client_.sessions().empty());
  EXPECT_EQ(pool_.segment().seat(0).calls.load(), 0u);
}

TEST_F(SessionTest, EndsThoughItsStateIsLost) {
  Session session = client_.session("a");
  text_of_call(session);
  give_state("a");
  pool_.publish(0, 2);
  EXPECT_TRUE(session.end().ok());
  EXPECT_TRUE(client_.sessions().empty());
}

}  // namespace
}  // namespace slotring
