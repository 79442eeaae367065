// The checker, on histories made by hand: good ones must pass, and each bad one must not.

#include "tests/linearizability/checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slotring::linearizability {
namespace {

using ::testing::HasSubstr;

// A history in the making. Operations follow each other unless at() says when they are.
class Told {
 public:
  Told& claim(std::uint16_t client, std::uint32_t slot, std::uint32_t generation) {
    return add({.kind = Kind::kClaim, .actor = client, .slot = slot, .generation = generation});
  }
  Told& no_claim(std::uint16_t client) {
    return add({.kind = Kind::kClaim, .outcome = Outcome::kNothing, .actor = client});
  }
  Told& submit(std::uint16_t client, std::uint32_t generation, std::uint64_t value) {
    return add({.kind = Kind::kSubmit, .actor = client, .generation = generation, .value = value});
  }
  Told& serve(std::uint32_t generation, std::uint64_t value) {
    return add({.kind = Kind::kServe, .generation = generation, .value = value});
  }
  Told& serve_nothing() { return add({.kind = Kind::kServe, .outcome = Outcome::kNothing}); }
  Told& reply(std::uint32_t generation, std::uint64_t value) {
    return add({.kind = Kind::kReply, .generation = generation, .value = value});
  }
  Told& receive(std::uint16_t client, std::uint32_t generation, std::uint64_t value) {
    return add({.kind = Kind::kReceive, .actor = client, .generation = generation, .value = value});
  }
  Told& receive_lost(std::uint16_t client, std::uint32_t generation) {
    return add({.kind = Kind::kReceive,
                .outcome = Outcome::kLost,
                .actor = client,
                .generation = generation});
  }
  Told& abandon(std::uint16_t client, std::uint32_t generation) {
    return add({.kind = Kind::kAbandon, .actor = client, .generation = generation});
  }
  Told& release(std::uint16_t client, std::uint32_t generation) {
    return add({.kind = Kind::kRelease, .actor = client, .generation = generation});
  }
  Told& reclaim_client(std::uint16_t client) {
    return add({.kind = Kind::kReclaimClient, .actor = client});
  }
  Told& reclaim_worker() { return add({.kind = Kind::kReclaimWorker}); }
  // The last operation was called and returned then.
  Told& at(std::uint64_t called, std::uint64_t returned) {
    history_.back().called = called;
    history_.back().returned = returned;
    now_ = std::max(now_, returned);
    return *this;
  }
  // Nobody came back from the last operation; its process was proven dead at the present moment.
  Told& died() {
    history_.back().outcome = Outcome::kNone;
    return *this;
  }

  bool linearizable() const { return Checker(pool(), history_).linearizable(); }
  History smallest() const { return smallest_violation(pool(), history_); }

 private:
  static SequentialPool pool() { return SequentialPool({7, 7}, 2); }  // two slots of one worker
  Told& add(Operation operation) {
    if (operation.outcome == Outcome::kNone) operation.outcome = Outcome::kDone;
    operation.called = now_ + 1;
    operation.returned = now_ + 2;
    now_ += 2;
    history_.push_back(operation);
    return *this;
  }

  History history_;
  std::uint64_t now_ = 0;
};

Told a_call() {
  return Told().claim(0, 0, 7).submit(0, 7, 11).serve(7, 11).reply(7, 12).receive(0, 7, 12).release(
      0, 7);
}

TEST(Checker, PassesAWholeCallAndTheNextOwner) {
  EXPECT_TRUE(a_call().linearizable());
  EXPECT_TRUE(a_call().claim(1, 0, 8).release(1, 8).claim(0, 0, 9).linearizable());
}

TEST(Checker, PassesAClaimThatGetsNothingAtAnyTime) {
  EXPECT_TRUE(Told().no_claim(0).claim(1, 0, 7).no_claim(0).linearizable());
}

TEST(Checker, FindsASlotWithTwoOwners) {
  EXPECT_FALSE(Told().claim(0, 0, 7).claim(1, 0, 7).linearizable());
  EXPECT_FALSE(Told().claim(0, 0, 7).at(1, 10).claim(1, 0, 7).at(2, 9).linearizable());
}

TEST(Checker, FindsAGenerationThatDidNotGrow) {
  EXPECT_FALSE(Told().claim(0, 0, 7).release(0, 7).claim(1, 0, 7).linearizable());
}

TEST(Checker, OrdersOperationsThatOverlapAsTheyFit) {
  // The claim of the next owner was called before the release, and returned after it.
  EXPECT_TRUE(
      Told().claim(0, 0, 7).at(1, 2).claim(1, 0, 8).at(3, 8).release(0, 7).at(5, 6).linearizable());
  // Here it had returned before the release was called.
  EXPECT_FALSE(
      Told().claim(0, 0, 7).at(1, 2).claim(1, 0, 8).at(3, 4).release(0, 7).at(5, 6).linearizable());
}

TEST(Checker, FindsAReplyOfAnotherCall) {
  EXPECT_FALSE(Told()
                   .claim(0, 0, 7)
                   .submit(0, 7, 11)
                   .serve(7, 11)
                   .reply(7, 12)
                   .receive(0, 7, 13)
                   .linearizable());
}

TEST(Checker, FindsALateReply) {
  Told told;
  told.claim(0, 0, 7).submit(0, 7, 11).serve(7, 11).abandon(0, 7);
  EXPECT_TRUE(Told(told).reply(7, 12).claim(1, 0, 8).linearizable());
  EXPECT_FALSE(Told(told).claim(1, 0, 8).linearizable()) << "the worker has not let go of it";
}

TEST(Checker, FindsACallThatIsServedTwice) {
  EXPECT_FALSE(Told().claim(0, 0, 7).submit(0, 7, 11).serve(7, 11).serve(7, 11).linearizable());
}

TEST(Checker, FindsARequestThatIsOverlooked) {
  EXPECT_FALSE(Told().claim(0, 0, 7).submit(0, 7, 11).serve_nothing().linearizable());
  EXPECT_TRUE(
      Told().claim(0, 0, 7).submit(0, 7, 11).at(3, 6).serve_nothing().at(4, 5).linearizable())
      << "its submit() had not returned";
}

TEST(Checker, LetsADeadProcessesOperationHaveHappenedOrNot) {
  EXPECT_TRUE(Told().claim(0, 0, 7).died().claim(1, 0, 7).linearizable());
  EXPECT_TRUE(Told().claim(0, 0, 7).died().reclaim_client(0).claim(1, 0, 8).linearizable());
  EXPECT_TRUE(Told().claim(0, 0, 7).submit(0, 7, 11).died().serve(7, 11).linearizable());
}

TEST(Checker, LetsNothingHappenAfterADeath) {
  // To get to generation 9, the dead one must have claimed 8, which came to be after its death.
  const auto told = [](std::uint64_t death) {
    return Told()
        .claim(1, 0, 7)
        .at(1, 2)
        .release(1, 7)
        .at(10, 11)
        .claim(0, 0, 0)
        .at(3, death)
        .died();
  };
  EXPECT_FALSE(told(5).reclaim_client(0).at(12, 13).claim(1, 0, 9).linearizable());
  EXPECT_TRUE(told(11).reclaim_client(0).at(12, 13).claim(1, 0, 9).linearizable());
}

TEST(Checker, KnowsWhatTheReaperDoes) {
  Told running;
  running.claim(0, 0, 7).submit(0, 7, 11).serve(7, 11);
  EXPECT_TRUE(Told(running).reclaim_worker().receive_lost(0, 7).claim(1, 0, 8).linearizable());
  EXPECT_FALSE(Told(running).receive_lost(0, 7).linearizable()) << "nobody died";
  EXPECT_TRUE(Told(running).reclaim_client(0).reply(7, 12).claim(1, 0, 8).linearizable());
  EXPECT_FALSE(Told(running).reclaim_client(0).claim(1, 0, 8).linearizable())
      << "the worker still runs it";
  EXPECT_TRUE(Told(running).reclaim_client(0).reclaim_worker().claim(1, 0, 8).linearizable());
  EXPECT_TRUE(Told().claim(0, 0, 7).submit(0, 7, 11).reclaim_worker().serve(7, 11).linearizable())
      << "a request stays for the successor";
}

TEST(Checker, ShowsTheSmallestPartOfAViolation) {
  Told told = a_call();
  told.claim(1, 1, 7).claim(0, 0, 8).claim(1, 0, 8).no_claim(2).claim(2, 0, 9);
  const History smallest = told.smallest();
  EXPECT_EQ(smallest.size(), 8u) << "six of the first call, two claims: " << to_string(smallest);
  EXPECT_THAT(to_string(smallest), HasSubstr("client 1  claim slot 0, generation 8"));
  EXPECT_THAT(to_string(smallest), ::testing::Not(HasSubstr("slot 1")));
}

}  // namespace
}  // namespace slotring::linearizability
