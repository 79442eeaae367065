// Tools of a C++ caller, asked by a worker in C++, and the calls that tools make.

#include "slotring/tools.h"

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "slotring/client.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/seat_lanes.h"

namespace slotring {
namespace {

using testing::call_tool;
using testing::eventually;
using ::testing::HasSubstr;
using testing::LaneFrameKind;
using testing::LocalPool;
using testing::LocalSupervisor;
using testing::reply_text;
using testing::RunningCall;
using testing::SeatThread;
using ::testing::StartsWith;
using testing::WorkerSeat;
using namespace std::chrono_literals;

// A handler that gives its argument to the tool "up" and returns what that answers.
void ask_up(WorkerSeat& seat, const RunningCall& call) {
  reply_text(seat, call, call_tool(seat, call, "up", testing::text_of(call)));
}

// The same, where nested calls of the tool are run at once, and ask the tool in their turn, until
// their argument is empty.
std::string descend(WorkerSeat& seat, const RunningCall& call, const std::string& argument,
                    std::uint32_t nested) {
  if (argument.empty()) return "bottom";
  return call_tool(seat, call, "up", argument, {nested, 1},
                   [&](const std::string& deeper, std::uint32_t number) {
                     return descend(seat, call, deeper, number);
                   });
}
void ask_down(WorkerSeat& seat, const RunningCall& call) {
  reply_text(seat, call, descend(seat, call, testing::text_of(call), 0));
}

class ToolsTest : public ::testing::Test {
 protected:
  ToolsTest() { pool_.publish_all(); }

  std::uint32_t busy() const { return pool_.segment().busy_slots(0); }
  // Calls itself with one letter less.
  Result<ToolReply> shorten(const ToolCall& call) {
    const Result<Reply> reply = client_.call("down", call.text().substr(1));
    if (!reply) return reply.error();
    return ToolReply(std::string(reply->text()) + "<" + std::string(call.text()));
  }

  LocalPool pool_;
  LocalSupervisor supervisor_{pool_};
  Client client_ = Client::attach(supervisor_.path()).value();
};

TEST_F(ToolsTest, AreCalledWithTheirArgumentOnTheThreadThatWaits) {
  const SeatThread worker(pool_, ask_up);
  std::thread::id ran_on;
  client_
      .add_tool("up",
                [&](const ToolCall& call) -> Result<ToolReply> {
                  ran_on = std::this_thread::get_id();
                  EXPECT_EQ(call.name(), "up");
                  EXPECT_GT(call.remaining(), 0ns);
                  EXPECT_FALSE(call.cancelled());
                  return ToolReply("<" + std::string(call.text()) + ">");
                })
      .value();
  EXPECT_EQ(client_.call("ask", "hello").value().text(), "<hello>");
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST_F(ToolsTest, AreNotAskedOfAClientThatHasNone) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    reply_text(seat, call,
               call.caller_attends(wire::FrameFlags::AnswersTools) ? "has tools" : "has none");
  });
  EXPECT_EQ(client_.call("ask", "").value().text(), "has none");
  client_.add_tool("up", [](const ToolCall&) { return ToolReply(); }).value();
  EXPECT_EQ(client_.call("ask", "").value().text(), "has tools");
}

TEST_F(ToolsTest, AreRefusedTwiceAndWithoutANameOrAFunction) {
  const Tool tool = [](const ToolCall&) { return ToolReply(); };
  client_.add_tool("up", tool).value();
  EXPECT_EQ(client_.add_tool("up", tool).error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(client_.add_tool("", tool).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(client_.add_tool("none", {}).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ToolsTest, AreNamedWhereOneIsUnknown) {
  const SeatThread worker(pool_, ask_up);
  const Tool tool = [](const ToolCall&) { return ToolReply(); };
  client_.add_tool("search", tool).value();
  client_.add_tool("fetch", tool).value();
  EXPECT_EQ(client_.call("ask", "").value().text(),
            "TOOL_NOT_FOUND: the caller has no tool \"up\"; it has: fetch, search");
}

TEST_F(ToolsTest, PassTheirErrorsAndExceptionsOn) {
  const SeatThread worker(pool_, ask_up);
  client_
      .add_tool("up",
                [](const ToolCall& call) -> Result<ToolReply> {
                  if (call.text() == "error") return Error{ErrorCode::kCancelled, "no"};
                  if (call.text() == "exception") throw Exception({ErrorCode::kOutOfMemory, "no"});
                  if (call.text() == "large") return ToolReply(std::string(1 << 20, 'x'));
                  if (call.text() == "number") throw 7;
                  throw std::out_of_range("no such page");
                })
      .value();
  const auto outcome = [&](const char* what) {
    return std::string(client_.call("ask", what).value().text());
  };
  EXPECT_EQ(outcome("error"), "CANCELLED: no");
  EXPECT_EQ(outcome("exception"), "OUT_OF_MEMORY: no");
  EXPECT_THAT(outcome("large"), StartsWith("PAYLOAD_TOO_LARGE: the tool's reply of 1048576"));
  EXPECT_THAT(outcome("number"), StartsWith("HANDLER_RAISED: int"));
  EXPECT_EQ(outcome("else"), "HANDLER_RAISED: std::out_of_range: no such page");
}

TEST_F(ToolsTest, MayCallTheHandlerAgainThoughAllSlotsAreBusy) {
  const SeatThread worker(pool_, ask_down);
  client_.add_tool("up", [this](const ToolCall& call) { return shorten(call); }).value();
  std::vector<Lease> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(client_.claim().value());
  EXPECT_EQ(client_.call("down", "abc").value().text(), "bottom<c<bc<abc");
  EXPECT_EQ(client_.statistics().methods.at(0).figures.calls, 4u);
}

TEST_F(ToolsTest, KeepTheRepliesOfNestedCallsWithoutASlot) {
  const SeatThread worker(pool_, ask_down);
  std::vector<Reply> kept;
  client_
      .add_tool("up",
                [&](const ToolCall&) {
                  for (int i = 0; i < 20; ++i) kept.push_back(client_.call("down", "").value());
                  return ToolReply();
                })
      .value();
  EXPECT_TRUE(client_.call("down", "x").ok());
  EXPECT_EQ(busy(), 0u);
  for (const Reply& reply : kept) EXPECT_EQ(reply.text(), "bottom");
}

TEST_F(ToolsTest, GoSixteenDeepAndNoDeeper) {
  const SeatThread worker(pool_, ask_down);
  client_.add_tool("up", [this](const ToolCall& call) { return shorten(call); }).value();
  EXPECT_THAT(client_.call("down", std::string(kMaxToolDepth, 'x')).value().text(),
              StartsWith("bottom<"));
  EXPECT_THAT(client_.call("down", std::string(kMaxToolDepth + 1, 'x')).value().text(),
              StartsWith("INVALID_ARGUMENT: tools that call handlers that call tools are 16 deep"));
}

// The handler asks as many tools at once as the lane takes, twice over; each makes a nested call.
TEST_F(ToolsTest, ThatAreAskedAtOnceFollowEachOtherHoweverMany) {
  constexpr std::uint32_t kMany = 2 * kMaxToolDepth;
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    const auto on_nested = [](const std::string& text, std::uint32_t) { return text; };
    std::string answers;
    std::uint32_t asked = 0;
    for (std::uint32_t answered = 1; answered <= kMany; ++answered) {
      while (asked < kMany && asked < answered + layout::kToolEntries - 1) {
        ASSERT_TRUE(testing::ask_tool(seat, call, "up", std::to_string(asked), {0, asked + 1}));
        ++asked;
      }
      answers += testing::await_tool(seat, call, {0, answered}, on_nested) + " ";
    }
    reply_text(seat, call, answers);
  });
  std::string expected;
  for (std::uint32_t i = 0; i < kMany; ++i) expected += std::to_string(i) + " ";
  int running = 0;
  client_
      .add_tool("up",
                [&](const ToolCall& call) -> Result<ToolReply> {
                  EXPECT_EQ(++running, 1) << "one at a time";
                  const Result<Reply> reply = client_.call("down", call.text());
                  --running;
                  if (!reply) return reply.error();
                  return ToolReply(reply->text());
                })
      .value();
  EXPECT_EQ(client_.call("ask", "").value().text(), expected);
}

// What such a call's handler asks may be what the next nested call, which the worker runs inside
// the waiting of that handler, depends on.
TEST_F(ToolsTest, OfANestedCallThatWasGivenUpAreRunWhileTheNextOneIsAwaited) {
  std::atomic<bool> given_up = false;
  std::stop_source stop;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    const auto late = [&](const std::string&, std::uint32_t number) {
      stop.request_stop();
      (void)eventually([&] { return given_up.load(); });
      (void)testing::await_caller(seat, call, [&] { return seat.lanes(call).tools_in.ready(); });
      testing::ask_tool(seat, call, "inner", "", {number, 2});
      return testing::await_tool(
          seat, call, {number, 3}, [&](const std::string& next, std::uint32_t) {
            const std::string answer = testing::await_tool(seat, call, {number, 2});
            testing::ask_tool(seat, call, "inner", "", {number, 3});
            return next + answer;
          });
    };
    reply_text(seat, call, call_tool(seat, call, "up", "", {0, 1}, late));
  });
  client_.add_tool("inner", [](const ToolCall&) { return ToolReply("!"); }).value();
  client_
      .add_tool("up",
                [&](const ToolCall&) -> Result<ToolReply> {
                  EXPECT_FALSE(client_.call("down", "late", {.stop = stop.get_token()}).ok());
                  given_up = true;
                  const Result<Reply> reply = client_.call("down", "next");
                  if (!reply) return reply.error();
                  return ToolReply(reply->text());
                })
      .value();
  EXPECT_EQ(client_.call("ask", "").value().text(), "next!");
}

TEST_F(ToolsTest, GiveANestedCallUpThatIsLateAndSkipItsReply) {
  std::atomic<bool> given_up = false;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    const std::string first =
        call_tool(seat, call, "up", "", {0, 1}, [&](const std::string&, auto) -> std::string {
          (void)eventually([&] { return given_up.load(); });
          return "late";
        });
    reply_text(seat, call, first + call_tool(seat, call, "again", "", {0, 2}));
  });
  client_
      .add_tool("up",
                [&](const ToolCall&) {
                  const Result<Reply> reply = client_.call("down", "", {.timeout = 1ms});
                  given_up = true;
                  return ToolReply(reply ? "replied" : to_string(reply.error().code));
                })
      .value();
  client_.add_tool("again", [](const ToolCall&) { return ToolReply(", and again"); }).value();
  EXPECT_EQ(client_.call("ask", "").value().text(), "DEADLINE_EXCEEDED, and again");
}

TEST_F(ToolsTest, LearnThatTheirCallWasStopped) {
  std::stop_source stop;
  const SeatThread worker(pool_, ask_up);
  client_
      .add_tool("up",
                [&](const ToolCall& call) {
                  EXPECT_FALSE(call.cancelled());
                  stop.request_stop();
                  EXPECT_TRUE(call.cancelled());
                  EXPECT_EQ(client_.call("down", "").error().code, ErrorCode::kCancelled);
                  return ToolReply();
                })
      .value();
  const Result<Reply> reply = client_.call("ask", "x", {.stop = stop.get_token()});
  EXPECT_TRUE(reply.ok() || reply.error().code == ErrorCode::kCancelled);
  EXPECT_TRUE(eventually([&] { return busy() == 0; }));
}

TEST_F(ToolsTest, AreAnsweredByAStreamAtEitherEnd) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    (void)testing::read_item(seat, call);
    testing::send_item(seat, call, call_tool(seat, call, "up", "first", {0, 1}));
    while (testing::read_item(seat, call)) {
    }
    testing::send_item(seat, call, call_tool(seat, call, "up", "second", {0, 2}));
    reply_text(seat, call, "done");
  });
  client_.add_tool("up", [](const ToolCall& call) { return ToolReply(call.text()); }).value();
  Stream stream = client_.stream("ask", "").value();
  // More than fits: the handler reads on when its tool was answered.
  for (int i = 0; i < 200; ++i) stream.write("item").value();
  stream.finish_writing().value();
  EXPECT_EQ(testing::text_of(*stream.next().value()), "first");
  EXPECT_EQ(testing::text_of(*stream.next().value()), "second");
  EXPECT_EQ(stream.finish().value().text(), "done");
}

struct Lie {
  const char* name;
  LaneFrameKind kind;
  const char* tool;
};
class LyingWorker : public ToolsTest, public ::testing::WithParamInterface<Lie> {};

TEST_P(LyingWorker, MakesThisCallFailAndNothingElse) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    if (testing::text_of(call) == "honest") return reply_text(seat, call, "good");
    testing::send_frame(seat, call, seat.lanes(call).tools_out, GetParam().kind, "x",
                        {.call_id = 77, .generation = call.word.generation},
                        {.method_name = GetParam().tool});
    (void)testing::await_caller(seat, call, [] { return false; });
    seat.fail(call, Error{});
  });
  client_.add_tool("up", [](const ToolCall&) { return ToolReply(); }).value();
  EXPECT_EQ(client_.call("ask", "lie").error().code, ErrorCode::kBadFrame);
  Stream stream = client_.stream("ask", "lie").value();
  EXPECT_EQ(stream.next().error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(client_.call("ask", "honest").value().text(), "good");
  EXPECT_TRUE(eventually([&] { return busy() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(Frames, LyingWorker,
                         ::testing::Values(Lie{"nameless", LaneFrameKind::kToolCall, ""},
                                           Lie{"unasked", LaneFrameKind::kNestedReply, "up"},
                                           Lie{"item", LaneFrameKind::kItem, "up"}),
                         [](const auto& lie) { return lie.param.name; });

}  // namespace
}  // namespace slotring
