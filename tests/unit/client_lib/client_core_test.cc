#include "client_lib/client_core.h"

#include <algorithm>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using shm::SlotState;
using testing::EchoWorker;
using testing::effort;
using testing::LocalPool;
using testing::submit;
using testing::text_of;

class ClientCoreTest : public ::testing::Test {
 protected:
  ClientCoreTest() {
    pool_.publish_all();
    pool_.intern("echo");
  }

  Lease send(std::string_view text, std::string_view method = "echo") {
    return submit(*client_, text, kNever, method).value();
  }
  Lease claim() { return client_->claim(kNever).value(); }
  // Lets a worker, for this one time, answer all that is requested.
  void serve() {
    while (auto call = seat_.try_next()) EchoWorker::echo(seat_, *call);
  }
  // What wait() fails with after a worker's reply was changed by `forge`.
  template <class Forge>
  Error error_after(Forge forge) {
    Lease lease = send("hello");
    const shm::RunningCall call = seat_.try_next().value();
    forge(call);
    EXPECT_TRUE(shm::try_move(pool_.pool().word(call.slot), call.word, SlotState::kReplied,
                              shm::Actor::kWorker)
                    .moved);
    const Error error = lease.wait().error();
    EXPECT_FALSE(lease.held());
    EXPECT_EQ(pool_.state(call.slot), SlotState::kFree) << "the slot comes back";
    return error;
  }
  void forge_reply(const shm::RunningCall& call, const shm::FrameHead& head) {
    shm::FrameWriter(pool_.replies(), call.slot).commit(head, 0).value();
  }
  const layout::ClientRecord& record() const { return pool_.segment().client(0); }

  LocalPool pool_;
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  shm::WorkerSeat seat_ = pool_.worker();
};

TEST_F(ClientCoreTest, GetsItsRequestsReply) {
  Lease lease = send("hello");
  serve();
  const ReplyView reply = lease.wait().value();
  EXPECT_EQ(text_of(reply), "hello");
  EXPECT_EQ(reply.kind, PayloadKind::kBytes);
}

TEST_F(ClientCoreTest, GetsItsReplyFromAWorkerInAnotherThread) {
  const EchoWorker worker(pool_);
  for (int i = 0; i < effort(2000); ++i) {
    Lease lease = send(std::to_string(i));
    EXPECT_EQ(text_of(lease.wait().value()), std::to_string(i));
  }
}

TEST_F(ClientCoreTest, GivesItsSlotBackWhenTheLeaseGoesOutOfScope) {
  {
    Lease lease = send("hello");
    serve();
    (void)lease.wait().value();
    EXPECT_EQ(pool_.segment().busy_slots(0), 1u);
  }
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(ClientCoreTest, UsesTheSameSlotAgainWhileItsWorkerIsIdle) {
  std::set<const std::byte*> places;
  for (int i = 0; i < 5; ++i) {
    Lease lease = claim();
    places.insert(lease.request(10).value().data());
  }
  EXPECT_EQ(places.size(), 1u);
}

TEST_F(ClientCoreTest, HoldsSeveralLeasesAtATime) {
  std::vector<Lease> leases;
  for (const char* text : {"a", "b", "c", "d"}) leases.push_back(send(text));
  serve();
  EXPECT_EQ(text_of(leases[3].wait().value()), "d");
  EXPECT_EQ(text_of(leases[0].wait().value()), "a");
}

TEST_F(ClientCoreTest, CarriesAPayloadAsLargeAsASlot) {
  const std::string large(pool_.segment().geometry().area_bytes - layout::kPayloadOffset, 'x');
  Lease lease = send(large);
  serve();
  EXPECT_EQ(text_of(lease.wait().value()), large);
}

TEST_F(ClientCoreTest, RefusesAPayloadLargerThanASlotAndKeepsItsLease) {
  Lease lease = claim();
  EXPECT_EQ(lease.request(1 << 20).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_TRUE(lease.held());
  EXPECT_TRUE(lease.request(10).ok());
}

TEST_F(ClientCoreTest, SendsAMethodWithoutAnIdByItsName) {
  const Lease lease = send("hello", "classify");
  EXPECT_EQ(seat_.try_next()->method_name, "classify");
}

TEST_F(ClientCoreTest, LearnsAnIdThatWasInternedLater) {
  Lease before = send("hello", "classify");
  EXPECT_EQ(seat_.try_next()->head.method, 0);
  pool_.intern("classify");
  const Lease after = send("hello", "classify");
  EXPECT_EQ(seat_.try_next()->head.method, 2);
}

TEST_F(ClientCoreTest, GetsAHandlersErrorWithAllItsParts) {
  Lease lease = send("hello");
  const Error raised{ErrorCode::kHandlerRaised, "no such digit", "builtins.ValueError", "Traceback",
                     false};
  seat_.fail(seat_.try_next().value(), raised);
  const Error error = lease.wait().error();
  EXPECT_EQ(error.to_string(), "HANDLER_RAISED: builtins.ValueError: no such digit");
  EXPECT_EQ(error.traceback, "Traceback");
  EXPECT_FALSE(lease.held());
}

TEST_F(ClientCoreTest, GivesEachCallAnIdOfItsOwn) {
  const std::unique_ptr<internal::ClientCore> other = pool_.client(1);
  std::set<std::uint64_t> ids;
  for (int i = 0; i < 10; ++i) {
    for (internal::ClientCore* client : {client_.get(), other.get()}) {
      Lease lease = submit(*client, "x").value();
      ids.insert(seat_.try_next()->head.call_id);
    }
    pool_.set_seat(0, layout::SeatState::kLost);
    shm::reclaim_worker(pool_.pool(), 0, 1, false);
    pool_.publish(0);
  }
  EXPECT_EQ(ids.size(), 20u);
}

// It was claimed in the moment in which the idle worker was sent away.
TEST_F(ClientCoreTest, TellsTheSupervisorOfACallAtADormantSeat) {
  Lease lease = client_->claim(shm::kNever).value();
  pool_.set_seat(0, layout::SeatState::kDormant);
  (void)pool_.pool().line().take_audit_ring();
  ASSERT_TRUE(lease.request(1).ok());
  EXPECT_TRUE(lease.submit("echo", PayloadKind::kBytes, 1).ok());
  EXPECT_TRUE(pool_.pool().line().take_audit_ring());
  pool_.publish(0, 2);
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_TRUE(lease.wait().ok());
}

TEST_F(ClientCoreTest, CountsItsCallsAndItsErrors) {
  Lease good = send("hello"), bad = send("hello");
  EchoWorker::echo(seat_, seat_.try_next().value());
  seat_.fail(seat_.try_next().value(), Error{ErrorCode::kHandlerRaised, "no"});
  (void)good.wait().ok();
  (void)bad.wait().ok();
  EXPECT_EQ(record().calls.load(), 2u);
  EXPECT_EQ(record().errors.load(), 1u);
}

// Replies that no correct worker writes.

TEST_F(ClientCoreTest, RefusesAReplyOfAnotherGeneration) {
  const Error error = error_after([&](const shm::RunningCall& call) {
    shm::FrameHead head = call.head;
    --head.generation;
    forge_reply(call, head);
  });
  EXPECT_EQ(error.code, ErrorCode::kBadFrame);
}

TEST_F(ClientCoreTest, RefusesAReplyOfAnotherCall) {
  const Error error = error_after([&](const shm::RunningCall& call) {
    shm::FrameHead head = call.head;
    ++head.call_id;
    forge_reply(call, head);
  });
  EXPECT_EQ(error.code, ErrorCode::kBadFrame);
}

TEST_F(ClientCoreTest, RefusesAReplyOfAnUnknownKind) {
  for (const auto kind : {wire::PayloadKind::Tensors, static_cast<wire::PayloadKind>(200)}) {
    const Error error = error_after([&](const shm::RunningCall& call) {
      shm::FrameHead head = call.head;
      head.kind = kind;
      forge_reply(call, head);
    });
    EXPECT_EQ(error.code, ErrorCode::kBadFrame);
  }
}

TEST_F(ClientCoreTest, RefusesAReplyThatIsGarbage) {
  const Error error = error_after([&](const shm::RunningCall& call) {
    std::fill_n(pool_.replies().area(call.slot), layout::kPayloadOffset, std::byte{0xFF});
  });
  EXPECT_EQ(error.code, ErrorCode::kBadFrame);
}

TEST_F(ClientCoreTest, RefusesAReplyThatIsItsOwnLastOne) {
  Lease first = send("first");
  serve();
  (void)first.wait().ok();
  first.release();
  EXPECT_EQ(error_after([](const shm::RunningCall&) {}).code, ErrorCode::kBadFrame);
}

TEST_F(ClientCoreTest, SaysThatSomebodyChangedItsSlot) {
  Lease lease = send("hello");
  const shm::SlotWord scribbled{77, 9, SlotState::kRunning, 0};
  pool_.set_word(0, scribbled);
  EXPECT_EQ(lease.wait().error().code, ErrorCode::kBadSegment);
  EXPECT_FALSE(lease.held());
  EXPECT_EQ(pool_.word(0), scribbled) << "and leaves it alone";
}

// Several threads on one client.

TEST_F(ClientCoreTest, ServesSeveralThreads) {
  const EchoWorker worker(pool_);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 3; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < effort(1500); ++i) {
        const std::string text = std::to_string(caller) + ":" + std::to_string(i);
        Lease lease = send(text);
        EXPECT_EQ(text_of(lease.wait().value()), text);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(ClientCoreTest, WaitsInOneThreadForWhatAnotherSent) {
  Lease lease = send("hello");
  std::thread waiter(
      [mine = std::move(lease)]() mutable { EXPECT_EQ(text_of(mine.wait().value()), "hello"); });
  serve();
  waiter.join();
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

}  // namespace
}  // namespace slotring
