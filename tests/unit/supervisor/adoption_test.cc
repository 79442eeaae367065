// Finding a pool by its workers, and what these say. Workers are processes of their own; the test
// is their supervisor, and the next one.

#include "supervisor/adoption.h"

#include <unistd.h>

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/seat_worker.h"
#include "tests/support/temporary_folder.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;
using testing::SeatWorker;

constexpr layout::Geometry kGeometry{
    2, 2, 2, 4, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};

class AdoptionTest : public ::testing::Test {
 protected:
  Result<FoundPool> find(int turns = 1000) {
    return find_running_pool(sockets_, "p", log_, [turns]() mutable { return --turns > 0; });
  }
  static shm::Packet next_packet(int socket) {
    return shm::receive_packet(socket, shm::kNever).value();
  }

  std::unique_ptr<LogOutput> output_ =
      LogOutput::open({"error", "/dev/null", LogFormat::kText}).value();
  Log log_ = output_->make_log("test");
  testing::TemporaryFolder folder_;
  SeatSockets sockets_ = SeatSockets::open(folder_.file("p.sock")).value();
  std::unique_ptr<PoolMemory> memory_ = PoolMemory::create("p", kGeometry).value();
};

TEST_F(AdoptionTest, WithoutWorkersThereIsNoPool) {
  const FoundPool found = find().value();
  EXPECT_EQ(found.memory, nullptr);
  EXPECT_TRUE(found.workers.empty());
}

TEST_F(AdoptionTest, AWorkerHandsOverTheMemoryAndItsPlace) {
  SeatWorker worker(sockets_, *memory_, 1, "p");
  worker.lose_supervisor();
  const FoundPool found = find().value();
  ASSERT_NE(found.memory, nullptr);
  EXPECT_EQ(found.memory->instance(), memory_->instance());
  EXPECT_TRUE(shm::is_same_memory(found.memory->segment().memory(), memory_->segment().memory()));
  ASSERT_EQ(found.workers.size(), 1u);
  EXPECT_EQ(found.workers[0].seat, 1u);
  EXPECT_EQ(found.workers[0].identity.pid, worker.pid());
  const auto* resume = found.workers[0].resume->as<wire::Resume>();
  ASSERT_NE(resume, nullptr);
  EXPECT_EQ(resume->seat(), 1u);
  EXPECT_EQ(resume->generation(), 3u);
  EXPECT_FALSE(resume->draining());
  EXPECT_EQ(resume->methods()->Get(0)->str(), "ping");
  EXPECT_EQ(resume->method_ids()->Get(0), 1);
}

TEST_F(AdoptionTest, AScribbledHeaderIsWrittenAgainAndNoSecondMemoryIsMade) {
  SeatWorker worker(sockets_, *memory_, 0, "p");
  worker.lose_supervisor();
  const std::uint64_t instance = memory_->instance();
  layout::ControlHeader& header = memory_->segment().header();
  header.magic.store(1);
  header.layout_version = 77;
  header.layout_hash = 77;
  header.instance = 77;
  header.geometry.max_workers = UINT32_MAX;
  const FoundPool found = find().value();
  ASSERT_NE(found.memory, nullptr);
  EXPECT_EQ(found.memory->instance(), instance);
  EXPECT_EQ(header.magic.load(), layout::kMagic);
  EXPECT_EQ(header.instance, instance);
  EXPECT_EQ(found.memory->segment().geometry(), kGeometry);
}

TEST_F(AdoptionTest, AWorkerOfAnotherPoolIsLeftAlone) {
  SeatWorker worker(sockets_, *memory_, 0, "other");
  worker.lose_supervisor();
  const FoundPool found = find().value();
  EXPECT_EQ(found.memory, nullptr);
  EXPECT_TRUE(found.workers.empty());
  EXPECT_EQ(::kill(worker.pid(), 0), 0);
}

TEST_F(AdoptionTest, WhileAWorkerLivesThatDoesNotAnswerThereIsNoSecondMemory) {
  SeatWorker worker(sockets_, *memory_, 0, "p");
  ::kill(worker.pid(), SIGSTOP);
  worker.lose_supervisor();
  const Result<FoundPool> found = find(/*turns=*/3);
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ErrorCode::kRefused);
  EXPECT_THAT(found.error().message, HasSubstr(std::to_string(worker.pid())));
  ::kill(worker.pid(), SIGCONT);
  EXPECT_NE(find()->memory, nullptr);
}

TEST_F(AdoptionTest, AProgramThatWasUpgradedIsNotItsOwnWorker) {
  // The worker was forked, and has not come to say listen() itself.
  const shm::UniqueFd socket = sockets_.listen(0).value();
  const FoundPool found = find(/*turns=*/10).value();
  EXPECT_EQ(found.memory, nullptr);
  EXPECT_TRUE(found.workers.empty());
}

TEST_F(AdoptionTest, SupervisorsThatDieInAdoptionAreFollowedByOthers) {
  SeatWorker worker(sockets_, *memory_, 0, "p");
  worker.lose_supervisor();
  for (int death = 0; death < 5; ++death) {
    FoundPool found = find().value();
    ASSERT_NE(found.memory, nullptr) << death;
    if (death % 2 == 0) continue;  // it dies before it has answered
    int pipes[2];
    ASSERT_EQ(::pipe(pipes), 0);
    const int supervisor = found.workers[0].socket.get();
    EXPECT_TRUE(send_resumed(supervisor, pipes[1], pipes[1]).ok());
    ::close(pipes[1]);
    ::close(pipes[0]);
  }
}

TEST_F(AdoptionTest, AWorkerThatWasToldToLeaveSaysSoToTheNextOne) {
  SeatWorker worker(sockets_, *memory_, 0, "p");
  EXPECT_TRUE(send_drain(worker.socket()).ok());
  worker.lose_supervisor();
  EXPECT_TRUE(find()->workers[0].resume->as<wire::Resume>()->draining());
}

}  // namespace
}  // namespace slotring::supervisor
