#include "client_lib/shm/attachment.h"

#include <sys/socket.h>

#include <string>

#include <gtest/gtest.h>

#include "slotring/version.h"
#include "tests/support/descriptors.h"
#include "tests/support/local_supervisor.h"

namespace slotring::shm {
namespace {

using testing::LocalPool;
using testing::soon;
using testing::WelcomeParts;

// The supervisor's answer waits in the socket before the peer says Hello.
class Attaching : public ::testing::Test {
 protected:
  Attaching() { std::tie(mine_, supervisors_) = testing::socket_pair(); }

  Result<Attachment> join(wire::Role role = wire::Role::Client) {
    return attach(mine_.get(), role, "tester", soon(10'000));
  }
  Result<Attachment> join_with(const WelcomeParts& parts, wire::Role role = wire::Role::Client) {
    EXPECT_TRUE(testing::send_welcome(supervisors_.get(), parts).ok());
    return join(role);
  }
  ErrorCode error_with(const WelcomeParts& parts, wire::Role role = wire::Role::Client) {
    const Result<Attachment> joined = join_with(parts, role);
    return joined ? ErrorCode::kOk : joined.error().code;
  }

  LocalPool pool_{testing::small_geometry(2)};
  WelcomeParts good_{pool_};
  UniqueFd mine_, supervisors_;
};

TEST_F(Attaching, SaysWhoOneIs) {
  EXPECT_TRUE(join_with(good_, wire::Role::Worker).ok());
  const Packet packet = receive_packet(supervisors_.get(), soon(10'000)).value();
  const auto* hello = packet.as<wire::Hello>();
  ASSERT_NE(hello, nullptr);
  EXPECT_EQ(hello->protocol(), layout::kProtocolVersion);
  EXPECT_EQ(hello->layout_version(), layout::kLayoutVersion);
  EXPECT_EQ(hello->layout_hash(), layout::layout_hash());
  EXPECT_EQ(hello->role(), wire::Role::Worker);
  EXPECT_EQ(hello->name()->str(), "tester");
  EXPECT_EQ(hello->version()->str(), version());
}

TEST_F(Attaching, BringsWhatTheWelcomeSays) {
  good_.index = 7;
  good_.generation = 9;
  const Attachment joined = join_with(good_).value();
  EXPECT_EQ(joined.pool, "local");
  EXPECT_EQ(joined.supervisor_pid, ::getpid());
  EXPECT_EQ(joined.index, 7u);
  EXPECT_EQ(joined.generation, 9u);
  EXPECT_EQ(joined.segment->geometry(), good_.geometry);
}

TEST_F(Attaching, SharesTheMemoriesWithThePool) {
  const Attachment joined = join_with(good_).value();
  joined.segment->slot_word(3).store(77);
  joined.requests->area(5)[100] = std::byte{5};
  pool_.replies().area(5)[100] = std::byte{6};
  EXPECT_EQ(pool_.pool().word(3).load(), 77u);
  EXPECT_EQ(pool_.requests().area(5)[100], std::byte{5});
  EXPECT_EQ(joined.replies->area(5)[100], std::byte{6});
}

TEST_F(Attaching, WorksWithReadOnlyDescriptorsForTheSideThatMustNotWrite) {
  const UniqueFd replies = reopen_read_only(pool_.replies().memory()).value();
  good_.descriptors[2] = replies.get();
  EXPECT_EQ(error_with(good_), ErrorCode::kOk);
  const UniqueFd requests = reopen_read_only(pool_.requests().memory()).value();
  good_.descriptors = {good_.descriptors[0], requests.get(), pool_.replies().memory().get()};
  EXPECT_EQ(error_with(good_, wire::Role::Worker), ErrorCode::kOk);
}

TEST_F(Attaching, GivesAnObserverTheControlSegmentAlone) {
  const UniqueFd control = reopen_read_only(pool_.segment().memory()).value();
  good_.descriptors = {control.get()};
  const Attachment joined = join_with(good_, wire::Role::Observer).value();
  EXPECT_NE(joined.segment, nullptr);
  EXPECT_EQ(joined.requests, nullptr);
  EXPECT_EQ(joined.replies, nullptr);
}

TEST_F(Attaching, FailsWithWhatItWasRefusedWith) {
  ASSERT_TRUE(
      testing::send_refused(supervisors_.get(), ErrorCode::kTooManyClients, "16 already").ok());
  const Error error = join().error();
  EXPECT_EQ(error.code, ErrorCode::kTooManyClients);
  EXPECT_EQ(error.message, "16 already");
}

TEST_F(Attaching, FailsWhenRefusedWithoutWords) {
  ASSERT_TRUE(testing::send_refused(supervisors_.get(), ErrorCode::kRefused, nullptr).ok());
  EXPECT_EQ(join().error().code, ErrorCode::kRefused);
}

TEST_F(Attaching, FailsAtItsDeadlineWhenNobodyAnswers) {
  EXPECT_EQ(attach(mine_.get(), wire::Role::Client, "tester", soon(3)).error().code,
            ErrorCode::kDeadlineExceeded);
}

TEST_F(Attaching, FailsWhenTheSupervisorGoes) {
  supervisors_.reset();
  EXPECT_EQ(join().error().code, ErrorCode::kWorkerUnavailable);
}

TEST_F(Attaching, FailsOnGarbage) {
  ASSERT_EQ(::send(supervisors_.get(), "garbage, no packet", 18, 0), 18);
  EXPECT_EQ(join().error().code, ErrorCode::kBadFrame);
}

TEST_F(Attaching, FailsOnAnAnswerThatIsNoWelcome) {
  flatbuffers::FlatBufferBuilder builder;
  ASSERT_TRUE(send_packet(supervisors_.get(), builder, wire::Message::Drain,
                          wire::CreateDrain(builder).Union())
                  .ok());
  EXPECT_EQ(join().error().code, ErrorCode::kBadFrame);
}

TEST_F(Attaching, FailsOnAWrongNumberOfDescriptors) {
  const std::vector<int> all = good_.descriptors;
  for (const std::size_t count : {0, 1, 2}) {
    good_.descriptors.assign(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    EXPECT_EQ(error_with(good_), ErrorCode::kBadFrame) << count;
  }
  good_.descriptors = all;
  EXPECT_EQ(error_with(good_, wire::Role::Observer), ErrorCode::kBadFrame);
  good_.descriptors.push_back(all[0]);
  EXPECT_EQ(error_with(good_), ErrorCode::kBadFrame);
}

TEST_F(Attaching, FailsOnAGeometryOutOfBounds) {
  good_.geometry.max_workers = layout::kMaxWorkers + 1;
  EXPECT_EQ(error_with(good_), ErrorCode::kBadSegment);
  good_.geometry = pool_.segment().geometry();
  good_.geometry.area_bytes = ~std::uint64_t{0};
  EXPECT_EQ(error_with(good_), ErrorCode::kBadSegment);
}

TEST_F(Attaching, FailsOnAGeometryThatTheSegmentContradicts) {
  good_.geometry.warm_bytes *= 2;
  EXPECT_EQ(error_with(good_), ErrorCode::kBadSegment);
}

TEST_F(Attaching, FailsOnAPlaceThatDoesNotExist) {
  good_.index = good_.geometry.max_clients;
  EXPECT_EQ(error_with(good_), ErrorCode::kBadFrame);
  good_.index = good_.geometry.max_workers;
  EXPECT_EQ(error_with(good_, wire::Role::Worker), ErrorCode::kBadFrame);
}

TEST_F(Attaching, FailsOnDescriptorsInAnotherOrder) {
  std::swap(good_.descriptors[0], good_.descriptors[1]);
  EXPECT_EQ(error_with(good_), ErrorCode::kBadSegment);
}

TEST_F(Attaching, FailsOnADescriptorThatIsNoMemory) {
  good_.descriptors[2] = mine_.get();
  EXPECT_EQ(error_with(good_), ErrorCode::kBadSegment);
}

}  // namespace
}  // namespace slotring::shm
