#include "slotring/client.h"

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <flatbuffers/flexbuffers.h>
#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_supervisor.h"

namespace slotring {
namespace {

using layout::SeatState;
using testing::EchoWorker;
using testing::LocalPool;
using testing::LocalSupervisor;
using namespace std::chrono_literals;

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() { pool_.publish_all(); }

  Client attach() { return Client::attach(supervisor_.path()).value(); }
  ErrorCode call_error(Client& client, std::string_view text, CallOptions options = {}) {
    const Result<Reply> reply = client.call("echo", text, options);
    return reply ? ErrorCode::kOk : reply.error().code;
  }

  LocalPool pool_{testing::small_geometry(2)};
  LocalSupervisor supervisor_{pool_};
};

TEST_F(ClientTest, AttachesByThePathOfASocket) { EXPECT_EQ(attach().pool(), "local"); }

TEST_F(ClientTest, FindsNoPoolWhereNobodyListens) {
  EXPECT_EQ(Client::attach(supervisor_.path() + ".none").error().code, ErrorCode::kPoolNotFound);
}

TEST_F(ClientTest, SaysGoodbyeWhenItGoes) {
  attach();
  EXPECT_TRUE(testing::eventually([&] { return supervisor_.goodbyes() == 1; }));
}

TEST_F(ClientTest, CallsAndReads) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  const Reply reply = client.call("echo", "hello").value();
  EXPECT_EQ(reply.text(), "hello");
  EXPECT_EQ(reply.bytes().size(), 5u);
  EXPECT_EQ(reply.kind(), PayloadKind::kBytes);
}

TEST_F(ClientTest, SendsNothingAndGetsNothing) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  const Reply reply = client.call("echo", {}).value();
  EXPECT_EQ(reply.kind(), PayloadKind::kEmpty);
  EXPECT_TRUE(reply.bytes().empty());
}

TEST_F(ClientTest, SendsAValueAndReadsItFromAPrivateCopy) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  flexbuffers::Builder builder;
  builder.Vector([&] { builder.Int(1), builder.String("two"); });
  builder.Finish();
  const Reply reply = client.call("echo", Payload::value(builder.GetBuffer())).value();
  const std::vector<std::uint8_t> copy = reply.value().value();
  EXPECT_EQ(flexbuffers::GetRoot(copy).AsVector()[1].AsString().str(), "two");
}

TEST_F(ClientTest, RefusesToReadBytesAsAValue) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  EXPECT_EQ(client.call("echo", "hello")->value().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ClientTest, RefusesAValueThatDoesNotVerify) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  const std::vector<std::uint8_t> garbage(50, 0xFF);
  EXPECT_EQ(client.call("echo", Payload::value(garbage))->value().error().code,
            ErrorCode::kBadFrame);
}

TEST_F(ClientTest, HoldsItsSlotAsLongAsTheReplyLives) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  const auto busy = [&] { return pool_.segment().busy_slots(0) + pool_.segment().busy_slots(1); };
  {
    const Reply reply = client.call("echo", "hello").value();
    EXPECT_EQ(busy(), 1u);
  }
  EXPECT_EQ(busy(), 0u);
}

TEST_F(ClientTest, EndsACallAtItsTimeout) {
  Client client = attach();
  EXPECT_EQ(call_error(client, "hello", {.timeout = 2ms}), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(call_error(client, "hello", {.timeout = 0ms}), ErrorCode::kDeadlineExceeded);
}

TEST_F(ClientTest, RefusesAPayloadThatIsTooLargeAndGivesItsSlotBack) {
  Client client = attach();
  EXPECT_EQ(call_error(client, std::string(1 << 20, 'x')), ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(pool_.segment().busy_slots(0) + pool_.segment().busy_slots(1), 0u);
}

TEST_F(ClientTest, ThrowsWhatValueIsAskedForAndIsNotThere) {
  Client client = attach();
  try {
    (void)client.call("echo", "hello", {.timeout = 1ms}).value();
    FAIL() << "no exception";
  } catch (const Exception& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::kDeadlineExceeded);
  }
}

TEST_F(ClientTest, CallsAnotherWorkerWhenItsOwnLeftBeforeItStarted) {
  Client client = attach();
  std::optional<EchoWorker> survivor;
  std::thread caller([&] { EXPECT_EQ(client.call("echo", "hello")->text(), "hello"); });
  const auto requested = [&](shm::SeatIndex seat) {
    const shm::SlotIndex first = pool_.segment().first_slot(seat);
    for (shm::SlotIndex slot = first; slot < first + 4; ++slot) {
      if (pool_.state(slot) == shm::SlotState::kRequested) return true;
    }
    return false;
  };
  EXPECT_TRUE(testing::eventually([&] { return requested(0) || requested(1); }));
  const shm::SeatIndex left = requested(0) ? 0 : 1;
  pool_.set_seat(left, SeatState::kRetired);
  shm::write_obituary(pool_.segment(), left, 1, 4242, 0, "");
  shm::reclaim_worker(pool_.pool(), left, 1, /*retired=*/true);
  survivor.emplace(pool_, 1 - left);
  caller.join();
}

TEST_F(ClientTest, GivesUpWhenNoWorkerIsLeft) {
  Client client = attach();
  for (const shm::SeatIndex seat : {0, 1}) pool_.set_seat(seat, SeatState::kRetired);
  EXPECT_EQ(call_error(client, "hello"), ErrorCode::kWorkerUnavailable);
}

TEST_F(ClientTest, IsMovedAndStillCalls) {
  const EchoWorker first(pool_, 0), second(pool_, 1);
  Client client = attach();
  Client moved = std::move(client);
  EXPECT_EQ(moved.call("echo", "hello")->text(), "hello");
}

TEST_F(ClientTest, TimesOutWhenTheSupervisorDoesNotAnswer) {
  const testing::TemporaryFolder folder;
  const shm::UniqueFd silent = testing::listen_at(folder.file("silent"));
  EXPECT_EQ(Client::attach(folder.file("silent"), {.timeout = 3ms}).error().code,
            ErrorCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace slotring
