// A child made by fork() of a process that has a client: it gets FORKED, and disturbs nothing.

#include <memory>

#include <gtest/gtest.h>

#include "client_lib/fork_guard.h"
#include "tests/support/child_process.h"
#include "tests/support/descriptors.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using shm::SlotState;
using testing::ChildProcess;
using testing::EchoWorker;
using testing::LocalPool;
using testing::submit;
using testing::text_of;

template <class T>
bool is_forked(const Result<T>& result) {
  return !result.ok() && result.error().code == ErrorCode::kForked;
}

class ForkedClient : public ::testing::Test {
 protected:
  ForkedClient() {
    std::tie(socket_, supervisors_) = testing::socket_pair();
    client_ = pool_.client(0, std::move(socket_));
    pool_.publish_all();
  }

  LocalPool pool_;
  shm::UniqueFd socket_, supervisors_;
  std::unique_ptr<internal::ClientCore> client_;
  shm::WorkerSeat seat_ = pool_.worker();
};

TEST_F(ForkedClient, ClaimsNothing) {
  ChildProcess child([&] { return is_forked(client_->claim(kNever)); });
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(pool_.segment().busy_slots(0), 0u);
}

TEST_F(ForkedClient, DoesNothingWithItsParentsClaimedLease) {
  Lease lease = client_->claim(kNever).value();
  const shm::SlotWord before = pool_.word(0);
  ChildProcess child([&] {
    return is_forked(lease.request(10)) && is_forked(lease.submit("echo", PayloadKind::kEmpty, 0));
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(pool_.word(0), before);
}

TEST_F(ForkedClient, DoesNotWaitForItsParentsReply) {
  Lease lease = submit(*client_, "hello").value();
  ChildProcess child([&] { return is_forked(lease.wait()); });
  EXPECT_TRUE(child.succeeded());
  EchoWorker::echo(seat_, seat_.try_next().value());
  EXPECT_EQ(text_of(lease.wait().value()), "hello");
}

TEST_F(ForkedClient, DoesNotGiveItsParentsSlotsBack) {
  Lease claimed = client_->claim(kNever).value();
  Lease requested = submit(*client_, "hello").value();
  ChildProcess child([&] {
    claimed.release();
    requested.release();
    return !claimed.held() && !requested.held();
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(pool_.segment().busy_slots(0), 2u);
}

TEST_F(ForkedClient, SaysNoGoodbyeForItsParent) {
  ChildProcess child([&] {
    client_.reset();
    return true;
  });
  EXPECT_TRUE(child.succeeded());
  EXPECT_EQ(shm::receive_packet(supervisors_.get(), 1).error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(ForkedClient, SaysGoodbyeInItsOwnProcess) {
  client_.reset();
  EXPECT_EQ(shm::receive_packet(supervisors_.get(), kNever)->type(), wire::Message::Goodbye);
}

TEST_F(ForkedClient, AttachesForItself) {
  ChildProcess child([&] {
    const auto own = pool_.client(1);
    Lease lease = submit(*own, "hello").value();
    EchoWorker::echo(seat_, seat_.try_next().value());
    return text_of(lease.wait().value()) == "hello";
  });
  EXPECT_TRUE(child.succeeded());
}

TEST(ForkGuard, TellsAChildFromItsParent) {
  const internal::ForkGuard guard;
  ASSERT_TRUE(guard.valid());
  EXPECT_FALSE(guard.in_child());
  ChildProcess child([&] { return guard.in_child(); });
  EXPECT_TRUE(child.succeeded());
  EXPECT_FALSE(guard.in_child());
}

TEST(ForkGuard, IsTheChildsOwnWhenTheChildMakesIt) {
  ChildProcess child([] {
    const internal::ForkGuard guard;
    ChildProcess grandchild([&] { return guard.in_child(); });
    return !guard.in_child() && grandchild.succeeded();
  });
  EXPECT_TRUE(child.succeeded());
}

}  // namespace
}  // namespace slotring
