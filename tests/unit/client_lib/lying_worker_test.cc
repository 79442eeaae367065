// A worker that lies in the lanes of its reply area: wrong counts, generations, extents and kinds,
// frames without an end, and all of it while they are read. Its caller reads nothing outside of the
// area, gets one outcome, and gets it when its time is over at the latest.

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "client_lib/stream_call.h"
#include "slotring/client.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/random_source.h"
#include "tests/support/seat_lanes.h"

namespace slotring {
namespace {

using layout::Lane;
using layout::LaneCount;
using layout::LaneFlags;
using layout::PayloadExtent;
using testing::eventually;
using testing::LaneFrameKind;
using testing::LocalPool;
using testing::LocalSupervisor;
using testing::reply_text;
using testing::RunningCall;
using testing::SeatThread;
using testing::send_item;
using testing::WorkerSeat;
using namespace std::chrono_literals;

void wait_until_gone(WorkerSeat& seat, const RunningCall& call) {
  (void)testing::await_caller(seat, call, [] { return false; });
  seat.fail(call, Error{});
}

// Asks for the tool "up" once more, whatever was answered. False: the caller has gone.
bool ask_once_more(WorkerSeat& seat, const RunningCall& call, std::uint64_t id) {
  shm::CallLanes& lanes = seat.lanes(call);
  while (lanes.tools_in.ready() && lanes.tools_in.next()) lanes.tools_in.release();
  return testing::send_frame(seat, call, lanes.tools_out, LaneFrameKind::kToolCall, "x",
                             {.call_id = id, .generation = call.word.generation},
                             {.method_name = "up"});
}

void ask_for_ever(WorkerSeat& seat, const RunningCall& call) {
  for (std::uint64_t id = 1; ask_once_more(seat, call, id); ++id) {
  }
  seat.fail(call, Error{});
}

constexpr LaneFlags kPlainItem{1, LaneFrameKind::kItem};

// One frame in each lane, of the kind that belongs there; `frames` is what the counts say.
void describe(layout::AreaHeader& own, std::uint32_t generation, PayloadExtent payload,
              std::uint32_t envelope_at, std::uint16_t envelope_bytes, LaneFlags flags,
              std::uint32_t frames = 1) {
  for (const Lane lane : {Lane::kStream, Lane::kTools}) {
    layout::FrameDescriptor& descriptor = own.descriptor(lane, 0);
    descriptor.payload.store(payload.pack());
    descriptor.envelope_at.store(envelope_at);
    descriptor.envelope_bytes.store(envelope_bytes);
    descriptor.flags.store(flags.pack());
    own.produced[static_cast<int>(lane)].store(LaneCount{generation, frames}.pack());
  }
}

class LyingLanesTest : public ::testing::Test {
 protected:
  LyingLanesTest() { pool_.publish_all(); }
  ~LyingLanesTest() override {
    EXPECT_TRUE(eventually([&] { return pool_.segment().busy_slots(0) == 0; }));
  }

  layout::AreaHeader& header(shm::SlotIndex slot) {
    return *reinterpret_cast<layout::AreaHeader*>(pool_.replies().area(slot));
  }

  LocalPool pool_;
  LocalSupervisor supervisor_{pool_};
  Client client_ = Client::attach(supervisor_.path()).value();
};

TEST_F(LyingLanesTest, AWorkerThatAsksToolsForEverKeepsACallerNoLongerThanItsDeadline) {
  const SeatThread worker(pool_, ask_for_ever);
  client_.add_tool("up", [](const ToolCall&) { return ToolReply(); }).value();
  EXPECT_EQ(client_.call("ask", "", {.timeout = 100ms}).error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(LyingLanesTest, AWorkerThatAsksToolsForEverCannotKeepACallerThatIsStopped) {
  const SeatThread worker(pool_, ask_for_ever);
  std::stop_source stop;
  int asked = 0;
  client_
      .add_tool("up",
                [&](const ToolCall&) {
                  if (++asked == 10) stop.request_stop();
                  return ToolReply();
                })
      .value();
  const CallOptions options{.timeout = kNoTimeout, .stop = stop.get_token()};
  EXPECT_EQ(client_.call("ask", "", options).error().code, ErrorCode::kCancelled);
}

TEST_F(LyingLanesTest, AQuestionThatComesWhenTimeIsOverKeepsNobody) {
  const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
    ask_once_more(seat, call, 1);
    ask_once_more(seat, call, 2);
    reply_text(seat, call, "too late");
  });
  client_
      .add_tool("up",
                [](const ToolCall& call) {
                  EXPECT_TRUE(eventually([&] { return call.remaining() <= 0ns; }));
                  return ToolReply();
                })
      .value();
  const Result<Reply> reply = client_.call("ask", "", {.timeout = 50ms});
  // Whichever comes first.
  EXPECT_EQ(reply ? ErrorCode::kDeadlineExceeded : reply.error().code,
            ErrorCode::kDeadlineExceeded);
}

TEST_F(LyingLanesTest, AWorkerThatAsksOnInsteadOfANestedReplyKeepsNobodyPastItsDeadline) {
  const SeatThread worker(pool_, ask_for_ever);
  std::optional<ErrorCode> nested;
  client_
      .add_tool("up",
                [&](const ToolCall&) {
                  const Result<Reply> reply = client_.call("down", "", {.timeout = 30ms});
                  if (!nested) nested = reply ? ErrorCode::kOk : reply.error().code;
                  return ToolReply();
                })
      .value();
  EXPECT_EQ(client_.call("ask", "", {.timeout = 300ms}).error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(nested);
  EXPECT_NE(nested.value_or(ErrorCode::kOk), ErrorCode::kOk);
}

// Its area is its own, also when the slot's word says that it has replied.
TEST_F(LyingLanesTest, AWorkerThatStreamsOnAfterItsReplyDoesNotMakeItsStreamEndless) {
  std::atomic<bool> stop = false;
  std::thread lies;
  {
    const SeatThread worker(pool_, [&](WorkerSeat& seat, const RunningCall& call) {
      const auto& peer = *reinterpret_cast<const layout::AreaHeader*>(pool_.requests().area(0));
      const std::uint32_t generation = call.word.generation;
      const auto read = [&peer, generation] {
        return LaneCount::unpack(peer.consumed[0].load()).in(generation);
      };
      describe(header(0), generation, {layout::kPayloadOffset, 4}, 0, 0, kPlainItem);
      for (std::uint32_t i = 0; i < layout::kStreamEntries; ++i) {
        header(0).stream[i].payload.store(PayloadExtent{layout::kPayloadOffset, 4}.pack());
        header(0).stream[i].envelope_bytes.store(0);
        header(0).stream[i].flags.store(kPlainItem.pack());
      }
      lies = std::thread([&, generation, read] {
        while (!stop.load()) {
          header(0).produced[0].store(
              LaneCount{generation, read() + layout::kStreamEntries}.pack());
        }
      });
      EXPECT_TRUE(eventually([&] {
        seat.tell_caller(call);
        return read() > 1000;
      }));
      reply_text(seat, call, "done");
    });
    Stream stream = client_.stream("stream", "", {.call = {.timeout = 200ms}}).value();
    for (const ReplyView& item : stream) ASSERT_EQ(item.bytes.size(), 4u);
    EXPECT_TRUE(stream.status().ok() || stream.status().error().code == ErrorCode::kBadFrame);
    stop.store(true);
  }
  lies.join();
}

struct LaneLie {
  const char* name;
  void (*tell)(layout::AreaHeader& own, std::uint32_t generation);
  bool is_seen;  // else it looks as if nothing had been sent
};

void count(layout::AreaHeader& own, std::uint32_t generation, std::uint32_t frames) {
  describe(own, generation, {layout::kPayloadOffset, 4}, 0, 0, kPlainItem, frames);
}

const LaneLie kLies[] = {
    {"CountOfAnotherCall", [](auto& own, auto g) { count(own, g - 1, 1); }, false},
    {"CountAboveTheEntries", [](auto& own, auto g) { count(own, g, layout::kStreamEntries + 1); },
     true},
    {"CountBackwards", [](auto& own, auto g) { count(own, g, ~0u); }, true},
    {"PayloadBehindTheArea",
     [](auto& own, auto g) {
       describe(own, g, {1u << 30, 4}, 0, 0, kPlainItem);
     },
     true},
    {"PayloadLongerThanTheArea",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, (std::uint64_t{1} << 36) - 1}, 0, 0, kPlainItem);
     },
     true},
    {"PayloadInTheHeader",
     [](auto& own, auto g) {
       describe(own, g, {0, 4}, 0, 0, kPlainItem);
     },
     true},
    {"EnvelopeBehindTheArea",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, ~0u, 64, kPlainItem);
     },
     true},
    {"EnvelopeOfEverySize",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, layout::kPayloadOffset / 8, 0xFFFF,
                kPlainItem);
     },
     true},
    {"EnvelopeOfNothing",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, layout::kPayloadOffset / 8, 48, kPlainItem);
     },
     true},
    {"FrameOfAnUnknownKind",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, 0, 0, {1, static_cast<LaneFrameKind>(77)});
     },
     true},
    {"PayloadOfAnUnknownKind",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, 0, 0, {99, LaneFrameKind::kItem});
     },
     true},
    {"TensorsThatNothingDescribes",
     [](auto& own, auto g) {
       describe(own, g, {layout::kPayloadOffset, 4}, 0, 0, {3, LaneFrameKind::kItem});
     },
     true},
};

class LaneLiesTest : public LyingLanesTest, public ::testing::WithParamInterface<LaneLie> {};

TEST_P(LaneLiesTest, EndTheirCallAndNothingElse) {
  const SeatThread worker(pool_, [this](WorkerSeat& seat, const RunningCall& call) {
    if (testing::text_of(call) == "honest") return reply_text(seat, call, "good");
    GetParam().tell(header(call.slot), call.word.generation);
    seat.tell_caller(call);
    wait_until_gone(seat, call);
  });
  const ErrorCode expected =
      GetParam().is_seen ? ErrorCode::kBadFrame : ErrorCode::kDeadlineExceeded;
  // One that is seen is seen at once.
  const CallOptions options{.timeout = GetParam().is_seen ? 60s : 20ms};
  {
    Stream stream = client_.stream("lie", "", {.call = options}).value();
    EXPECT_EQ(stream.next().error().code, expected);
    EXPECT_EQ(stream.finish().error().code, expected) << "one outcome, and no other";
  }
  client_.add_tool("up", [](const ToolCall&) { return ToolReply(); }).value();
  EXPECT_EQ(client_.call("lie", "", options).error().code, expected);
  EXPECT_EQ(client_.call("ask", "honest").value().text(), "good");
}

INSTANTIATE_TEST_SUITE_P(Lanes, LaneLiesTest, ::testing::ValuesIn(kLies),
                         [](const auto& lie) { return std::string(lie.param.name); });

// The lanes' words change all the time, to what they may be and to what they may not.
TEST_F(LyingLanesTest, WhatChangesWhileItIsReadIsNeverReadOutsideOfTheArea) {
  std::atomic<bool> stop = false;
  std::thread scribbles([&] {
    testing::RandomSource random(1);
    layout::AreaHeader& own = header(0);
    while (!stop.load()) {
      const std::uint32_t generation = pool_.word(0).generation;
      const Lane lane = random.one_in(4) ? Lane::kTools : Lane::kStream;
      if (random.one_in(3)) {
        own.produced[static_cast<int>(lane)].store(
            LaneCount{generation, random.below(random.one_in(8) ? ~0u : 200)}.pack());
        continue;
      }
      if (random.one_in(8)) {  // room that nobody gave
        own.consumed[static_cast<int>(lane)].store(
            LaneCount{generation, random.below(random.one_in(2) ? ~0u : 200)}.pack());
        continue;
      }
      layout::FrameDescriptor& descriptor = own.descriptor(lane, random.below(128));
      const std::uint64_t most = pool_.replies().area_bytes() + 8192;
      descriptor.payload.store(PayloadExtent{random.below(static_cast<std::uint32_t>(most)) & ~63u,
                                             random.below(static_cast<std::uint32_t>(most))}
                                   .pack());
      descriptor.envelope_at.store(random.below(40'000));
      descriptor.envelope_bytes.store(
          static_cast<std::uint16_t>(random.one_in(4) ? random.below(65536) : 0));
      descriptor.flags.store(
          LaneFlags{static_cast<std::uint8_t>(random.below(6)),
                    static_cast<LaneFrameKind>(random.one_in(8) ? random.below(8) : 0)}
              .pack());
    }
  });
  const auto core = pool_.client(3);
  core->add_tool("up", [](const ToolCall&) { return ToolReply(); }).value();
  const std::byte* begin = pool_.replies().area(0);
  const std::uint64_t area_bytes = pool_.replies().area_bytes();
  {
    const SeatThread worker(pool_, [](WorkerSeat& seat, const RunningCall& call) {
      for (int i = 0; i < 50 && send_item(seat, call, "item"); ++i) {
      }
      reply_text(seat, call, "done");
    });
    int items = 0;
    for (int round = 0; round < testing::effort(300); ++round) {
      const auto stream = internal::open_stream(*core, "stream", "", {.call = {.timeout = 20ms}},
                                                internal::kReadsStream);
      if (!stream) continue;  // what it was sent with is not scribbled over, but it may be late
      for (;;) {
        const Result<std::optional<ReplyView>> item = (*stream)->next();
        if (!item || !*item) break;
        ++items;
        ASSERT_GE((*item)->bytes.data(), begin);
        // Of its slot, which is another where the first is not free yet.
        const auto offset = static_cast<std::uint64_t>((*item)->bytes.data() - begin) % area_bytes;
        ASSERT_LE(offset + (*item)->bytes.size(), area_bytes);
        ASSERT_LE((*item)->kind, PayloadKind::kTable);
      }
      (void)(*stream)->finish().ok();
    }
    EXPECT_GT(items, 0);
  }
  stop.store(true);
  scribbles.join();
}

}  // namespace
}  // namespace slotring
