// Streams of a C++ caller, answered by a worker in C++.

#include "slotring/stream.h"

#include <array>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/obituary.h"
#include "client_lib/shm/tensors.h"
#include "client_lib/stream_call.h"
#include "slotring/client.h"
#include "tests/support/child_process.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/seat_lanes.h"

namespace slotring {
namespace {

using ::testing::ElementsAre;
using testing::eventually;
using ::testing::HasSubstr;
using testing::LocalPool;
using testing::LocalSupervisor;
using testing::read_item;
using testing::reply_text;
using testing::RunningCall;
using testing::SeatThread;
using testing::send_item;
using testing::WorkerSeat;
using namespace std::chrono_literals;

std::string text_of(const ReplyView& item) { return testing::text_of(item); }

// "3" is "0", "1", "2", and then "done".
void count_up(WorkerSeat& seat, const RunningCall& call) {
  const std::string wanted = testing::text_of(call);
  for (int i = 0; i < std::stoi(wanted); ++i) {
    if (!send_item(seat, call, std::to_string(i))) break;
  }
  reply_text(seat, call, "done");
}

void send_back(WorkerSeat& seat, const RunningCall& call) {
  int items = 0;
  while (const auto item = read_item(seat, call)) {
    if (!send_item(seat, call, *item)) break;
    ++items;
  }
  reply_text(seat, call, std::to_string(items));
}

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() { pool_.publish_all(); }

  std::uint32_t busy() const { return pool_.segment().busy_slots(0); }
  static std::vector<std::string> rest_of(Stream& stream) {
    std::vector<std::string> items;
    for (const ReplyView& item : stream) items.push_back(text_of(item));
    return items;
  }

  LocalPool pool_;
  LocalSupervisor supervisor_{pool_};
  Client client_ = Client::attach(supervisor_.path()).value();
};

// What is said of an item: its kind, and what its envelope says.
void describe_items(WorkerSeat& seat, const RunningCall& call) {
  shm::LaneReader& lane = seat.lanes(call).stream_in;
  std::string said;
  while (testing::await_caller(seat, call, [&] { return lane.ready(); })) {
    const shm::LaneFrame frame = lane.next().value();
    const bool ends = frame.kind == testing::LaneFrameKind::kEnd;
    if (frame.frame.head.kind == wire::PayloadKind::Table) {
      said += frame.frame.rare->table_type()->str() + ":" + testing::text_of_frame(frame) + ";";
    } else if (frame.frame.head.kind == wire::PayloadKind::Tensors) {
      std::vector<Tensor> tensors;
      const std::uint64_t value_bytes = shm::read_tensors(frame.frame, tensors).value();
      for (const Tensor& tensor : tensors) {
        said += std::string(tensor.name()) + "=";
        for (const int element : tensor.span<const int>().value()) said += std::to_string(element);
      }
      said += "+" + std::to_string(value_bytes) + ";";
    } else if (!ends) {
      said += testing::text_of_frame(frame) + (frame.frame.rare == nullptr ? ";" : "?");
    }
    lane.release();
    seat.tell_caller(call);
    if (ends) break;
  }
  reply_text(seat, call, said);
}

TEST_F(StreamTest, TakesTensorsAndTablesAmongPlainItems) {
  const SeatThread worker(pool_, describe_items);
  Stream stream = client_.stream("describe", "").value();
  std::vector<int> numbers{1, 2, 3, 4};
  const std::vector<std::uint8_t> bytes{'o', 'k'};
  const Tensor row(std::span<const int>(numbers), "a");
  const std::array<std::int64_t, 1> backwards{-4};
  const Tensor reversed(DType::kInt32, reinterpret_cast<const std::byte*>(&numbers[3]), Shape(4),
                        backwards, "b");
  EXPECT_TRUE(stream.write("plain").ok());
  EXPECT_TRUE(stream.write(Payload::tensors({row, reversed}, bytes)).ok());
  EXPECT_TRUE(stream.write(Payload::table("shop.Order", bytes)).ok());
  EXPECT_TRUE(stream.write("plain").ok());
  EXPECT_EQ(stream.write(Payload::tensors({row, row})).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(stream.write(Payload::table("", bytes)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(stream.finish_writing().ok());
  EXPECT_EQ(stream.finish().value().text(), "plain;a=1234b=4321+2;shop.Order:ok;plain;");
}

TEST_F(StreamTest, GivesItemsInOrderAndThenTheReply) {
  const SeatThread worker(pool_, count_up);
  Stream stream = client_.stream("count", "3").value();
  EXPECT_THAT(rest_of(stream), ElementsAre("0", "1", "2"));
  EXPECT_TRUE(stream.status().ok());
  EXPECT_FALSE(stream.next().value().has_value());
  {
    const Reply last = stream.finish().value();
    EXPECT_EQ(last.text(), "done");
    EXPECT_EQ(busy(), 1u);
  }
  EXPECT_EQ(busy(), 0u);
  EXPECT_EQ(stream.finish().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(StreamTest, OfAPlainHandlerHasNoItemsAndAReply) {
  const SeatThread worker(
      pool_, [](WorkerSeat& seat, const RunningCall& call) { reply_text(seat, call, "plain"); });
  Stream stream = client_.stream("echo", "x").value();
  EXPECT_FALSE(stream.next().value().has_value());
  EXPECT_EQ(stream.finish().value().text(), "plain");
}

TEST_F(StreamTest, GivesManyMoreItemsThanFitAtOnceAndCountsOneCall) {
  const SeatThread worker(pool_, count_up);
  const std::string wanted = std::to_string(testing::effort(20000));
  Stream stream = client_.stream("count", wanted).value();
  int next = 0;
  for (const ReplyView& item : stream) ASSERT_EQ(text_of(item), std::to_string(next++));
  EXPECT_EQ(std::to_string(next), wanted);
  EXPECT_TRUE(stream.finish().ok());
  EXPECT_EQ(client_.statistics().methods.at(0).figures.calls, 1u);
}

TEST_F(StreamTest, SkipsWhatWasNotReadWhenItFinishes) {
  const SeatThread worker(pool_, count_up);
  Stream stream = client_.stream("count", "500").value();
  EXPECT_EQ(text_of(*stream.next().value()), "0");
  EXPECT_EQ(stream.finish().value().text(), "done");
}

TEST_F(StreamTest, TellsAnErrorAfterTheItemsThatCame) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    send_item(seat, call, "first");
    send_item(seat, call, "second");
    seat.fail(call, Error{ErrorCode::kHandlerRaised, "out of ink", "ValueError"});
  });
  Stream stream = client_.stream("print", "x").value();
  EXPECT_TRUE(eventually([&] { return pool_.state(0) == shm::SlotState::kReplied; }));
  EXPECT_THAT(rest_of(stream), ElementsAre("first", "second"));
  EXPECT_EQ(stream.status().error().python_type, "ValueError");
  EXPECT_EQ(stream.finish().error().message, "out of ink");
  EXPECT_EQ(busy(), 0u);
}

TEST_F(StreamTest, TellsOfItsWorkersDeathAfterTheItemsThatCame) {
  std::atomic<bool> sent = false;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    send_item(seat, call, "first");
    sent = true;
    (void)testing::await_caller(seat, call, [] { return false; });
  });
  Stream stream = client_.stream("print", "x").value();
  ASSERT_TRUE(eventually([&] { return sent.load(); }));
  shm::write_obituary(pool_.segment(), 0, 1, 4242, SIGKILL, "");
  pool_.set_seat(0, layout::SeatState::kLost);
  shm::reclaim_worker(pool_.pool(), 0, 1, /*retired=*/false);
  EXPECT_THAT(rest_of(stream), ElementsAre("first"));
  EXPECT_EQ(stream.status().error().code, ErrorCode::kWorkerLost);
}

TEST_F(StreamTest, WritesItemsAndTheirEnd) {
  const SeatThread worker(pool_, send_back);
  Stream stream = client_.stream("echo", "x").value();
  stream.write("one").value();
  const std::span<std::byte> space = stream.space(10).value();
  std::memcpy(space.data(), "two", 3);
  stream.commit(PayloadKind::kBytes, 3).value();
  EXPECT_EQ(text_of(*stream.next().value()), "one");
  stream.finish_writing().value();
  EXPECT_EQ(stream.write("three").error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(rest_of(stream), ElementsAre("two"));
  EXPECT_EQ(stream.finish().value().text(), "2");
}

TEST_F(StreamTest, RefusesAnItemThatNeverFitsAndGoesOn) {
  const SeatThread worker(pool_, send_back);
  Stream stream = client_.stream("echo", "x").value();
  EXPECT_EQ(stream.write(std::string(1 << 20, 'x')).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(stream.commit(PayloadKind::kBytes, 0).error().code, ErrorCode::kInvalidArgument);
  stream.write("small").value();
  EXPECT_EQ(text_of(*stream.next().value()), "small");
}

TEST_F(StreamTest, MakesItsWriterWaitForItsReader) {
  std::atomic<bool> go = false;
  std::atomic<int> read = 0;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    (void)eventually([&] { return go.load(); });
    while (read_item(seat, call)) ++read;
    reply_text(seat, call, "done");
  });
  Stream stream = client_.stream("read", "x").value();
  std::atomic<int> written = 0;
  constexpr int kItems = 300;
  std::thread writer([&] {
    for (; written < kItems; ++written) {
      if (!stream.write("item")) break;
    }
    (void)stream.finish_writing().ok();
  });
  EXPECT_TRUE(eventually([&] { return pool_.word(0).has(layout::kFlagCallerSleeps); }));
  EXPECT_EQ(written.load(), static_cast<int>(layout::kStreamEntries));
  go = true;
  writer.join();
  EXPECT_EQ(stream.finish().value().text(), "done");
  EXPECT_EQ(read.load(), kItems);
}

TEST_F(StreamTest, GoesBothWaysAtOnceByTwoThreads) {
  const SeatThread worker(pool_, send_back);
  Stream stream = client_.stream("echo", "x", {.window_bytes = 32 * 1024}).value();
  const int items = testing::effort(20000);
  std::thread writer([&] {
    for (int i = 0; i < items; ++i) {
      ASSERT_TRUE(stream.write(std::to_string(i) + std::string(i % 997, '.')).ok());
    }
    stream.finish_writing().value();
  });
  int next = 0;
  for (const ReplyView& item : stream) {
    ASSERT_EQ(text_of(item), std::to_string(next) + std::string(next % 997, '.'));
    ++next;
  }
  writer.join();
  EXPECT_EQ(next, items);
  EXPECT_EQ(stream.finish().value().text(), std::to_string(items));
}

TEST_F(StreamTest, ClosesAWriterThatWaitsWhenTheReaderCancels) {
  std::atomic<bool> gone = false;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    (void)testing::await_caller(seat, call, [] { return false; });
    gone = true;
    seat.fail(call, Error{});
  });
  Stream stream = client_.stream("wait", "x").value();
  Status written = Done{};
  std::thread writer([&] {
    while (written) written = stream.write("item");
  });
  // Also started: one that is not would be taken back, and its worker see nothing of it.
  EXPECT_TRUE(eventually([&] {
    const shm::SlotWord word = pool_.word(0);
    return word.has(layout::kFlagCallerSleeps) && word.state == shm::SlotState::kRunning;
  }));
  stream.cancel();
  writer.join();
  EXPECT_EQ(written.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(stream.next().error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(eventually([&] { return gone && busy() == 0; }));
}

TEST_F(StreamTest, HasItsWritingEndClosedByTheThreadThatWasGivenSpace) {
  const SeatThread worker(
      pool_, [](WorkerSeat& seat, const RunningCall& call) { reply_text(seat, call, "plain"); });
  Stream stream = client_.stream("echo", "x").value();
  ASSERT_TRUE(stream.space(10).ok());
  EXPECT_EQ(stream.finish().value().text(), "plain");
  EXPECT_EQ(stream.commit(PayloadKind::kBytes, 10).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(stream.write("late").error().code, ErrorCode::kCancelled);
}

TEST_F(StreamTest, AbandonsItsCallWhenItGoesEarly) {
  std::atomic<bool> gone = false;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    while (send_item(seat, call, "item")) {
    }
    gone = true;
    seat.fail(call, Error{});
  });
  {
    Stream stream = client_.stream("endless", "x", {.call = {.timeout = kNoTimeout}}).value();
    EXPECT_EQ(text_of(*stream.next().value()), "item");
  }
  EXPECT_TRUE(eventually([&] { return gone && busy() == 0; }));
}

TEST_F(StreamTest, TellsACallbackUntilItHasEnough) {
  const SeatThread worker(pool_, count_up);
  int seen = 0;
  const auto count = [&](const ReplyView&) { return ++seen != 5; };
  EXPECT_EQ(client_.stream("count", "4", count).value().text(), "done");
  EXPECT_EQ(seen, 4);
  seen = 0;
  EXPECT_EQ(client_.stream("count", "100000", count).value().kind(), PayloadKind::kEmpty);
  EXPECT_EQ(seen, 5);
  EXPECT_TRUE(eventually([&] { return busy() == 0; }));
}

TEST_F(StreamTest, EndsAtItsDeadlineAlsoWhileItemsCome) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    while (send_item(seat, call, "item")) {
    }
    seat.fail(call, Error{});
  });
  Stream stream = client_.stream("endless", "x", {.call = {.timeout = 50ms}}).value();
  for (const ReplyView& item : stream) ASSERT_EQ(text_of(item), "item");
  EXPECT_EQ(stream.status().error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(stream.write("late").error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(eventually([&] { return busy() == 0; }));
}

TEST_F(StreamTest, EndsByItsStopTokenInItsSleep) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    (void)testing::await_caller(seat, call, [] { return false; });
    seat.fail(call, Error{});
  });
  std::stop_source stop;
  Stream stream = client_.stream("wait", "x", {.call = {.stop = stop.get_token()}}).value();
  std::thread stopper([&] {
    EXPECT_TRUE(eventually([&] { return pool_.word(0).has(layout::kFlagCallerSleeps); }));
    stop.request_stop();
  });
  EXPECT_EQ(stream.next().error().code, ErrorCode::kCancelled);
  stopper.join();
}

TEST_F(StreamTest, FailsAloneWhenItsWorkerBreaksTheRules) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    send_item(seat, call, "good");
    testing::send_frame(seat, call, seat.lanes(call).stream_out, testing::LaneFrameKind::kToolReply,
                        "bad");
    (void)testing::await_caller(seat, call, [] { return false; });
    seat.fail(call, Error{});
  });
  Stream stream = client_.stream("lie", "x").value();
  EXPECT_THAT(rest_of(stream), ElementsAre("good"));
  EXPECT_EQ(stream.status().error().code, ErrorCode::kBadFrame);
  EXPECT_TRUE(eventually([&] { return busy() == 0; }));
}

TEST_F(StreamTest, OfACallerThatDiedLeavesNothingBehind) {
  std::atomic<bool> gone = false;
  const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
    while (send_item(seat, call, "item")) {
    }
    gone = true;
    seat.fail(call, Error{});
  });
  constexpr std::uint16_t kOther = 5;
  testing::ChildProcess child([&] {
    const auto core = pool_.client(kOther);
    const auto stream =
        internal::open_stream(*core, "endless", "x", {}, internal::kReadsStream).value();
    for (int i = 0; i < 1000; ++i) (void)stream->next().value();
    ::raise(SIGKILL);
    return false;
  });
  (void)child.join();
  EXPECT_FALSE(gone.load());
  shm::reclaim_client(pool_.pool(), kOther);
  EXPECT_TRUE(eventually([&] { return gone && busy() == 0; }));
}

}  // namespace
}  // namespace slotring
