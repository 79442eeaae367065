// A client's knowledge of its supervisor. The test plays the supervisor, over real sockets, and the
// worker, which is this process by its pid.

#include "client_lib/supervisor_contact.h"

#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>

#include <gtest/gtest.h>

#include "client_lib/shm/process_identity.h"
#include "tests/support/local_supervisor.h"

namespace slotring::internal {
namespace {

using testing::LocalPool;

class SupervisorContactTest : public ::testing::Test {
 protected:
  SupervisorContactTest() {
    joined_.pool = "local";
    joined_.supervisor_pid = ::getpid();
    joined_.generation = 7;
    joined_.supervisor_epoch = 1;
    joined_.instance = pool_.segment().header().instance;
    joined_.segment = std::shared_ptr<shm::ControlSegment>(
        const_cast<shm::ControlSegment*>(&pool_.segment()), [](shm::ControlSegment*) {});
    pool_.segment().client(0).epoch.store(7);
    set_client_state(layout::ClientState::kAttached);
    contact_ = std::make_unique<SupervisorContact>(connect(), folder_.file("pool"), joined_);
  }

  // The client's end of a new connection; the other is `supervisor_`.
  shm::UniqueFd connect() {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    supervisor_.reset(ends[0]);
    return shm::UniqueFd(ends[1]);
  }
  void set_worker(std::int32_t pid, std::uint64_t start_time) const {
    pool_.segment().seat(0).pid.store(pid);
    pool_.segment().seat(0).pid_start_time.store(start_time);
  }
  void set_living_worker() const { set_worker(::getpid(), shm::process_start_time(::getpid())); }
  void set_dead_worker() const {  // its pid is another process' by now
    set_worker(::getpid(), shm::process_start_time(::getpid()) + 1);
  }
  void set_client_state(layout::ClientState state) const {
    pool_.segment().client(0).state.store(static_cast<std::uint32_t>(state));
  }
  layout::ClientState client_state() const {
    return static_cast<layout::ClientState>(pool_.segment().client(0).state.load());
  }
  static shm::UniqueFd accept(const shm::UniqueFd& listener) {
    return shm::UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  LocalPool pool_;
  testing::TemporaryFolder folder_;
  shm::Attachment joined_;
  shm::UniqueFd supervisor_;
  std::unique_ptr<SupervisorContact> contact_;
};

TEST_F(SupervisorContactTest, WaitingGoesOnWhileTheSupervisorOrTheWorkerLives) {
  set_dead_worker();
  EXPECT_TRUE(contact_->check_seat(0)) << "the supervisor will tell";
  EXPECT_TRUE(contact_->check_pool().ok());
  supervisor_.reset();
  set_living_worker();
  EXPECT_TRUE(contact_->check_seat(0));
  EXPECT_TRUE(contact_->check_pool().ok());
}

TEST_F(SupervisorContactTest, WaitingEndsWithBothDead) {
  supervisor_.reset();
  for (const bool never_was : {false, true}) {
    never_was ? set_worker(0, 0) : set_dead_worker();
    EXPECT_FALSE(contact_->check_seat(0));
    EXPECT_EQ(contact_->check_pool().error().code, ErrorCode::kWorkerUnavailable);
  }
  EXPECT_EQ(contact_->unserved_error(0, true).code, ErrorCode::kWorkerLost);
}

TEST_F(SupervisorContactTest, NothingIsConcludedFromPidsOfAnotherNamespace) {
  joined_.supervisor_pid = ::getpid() + 1;  // as the supervisor sees itself
  SupervisorContact contact(connect(), folder_.file("pool"), joined_);
  supervisor_.reset();
  set_dead_worker();
  EXPECT_TRUE(contact.check_seat(0));
  EXPECT_TRUE(contact.check_pool().ok());
}

TEST_F(SupervisorContactTest, ANewSupervisorIsToldOnce) {
  supervisor_.reset();
  const shm::UniqueFd listener = testing::listen_at(folder_.file("pool"));
  pool_.segment().header().supervisor_epoch.store(2);
  EXPECT_TRUE(contact_->follow().ok());
  const shm::UniqueFd connection = accept(listener);
  const shm::Packet packet = shm::receive_packet(connection.get(), shm::kNever).value();
  const auto* rejoin = packet.as<wire::Rejoin>();
  ASSERT_NE(rejoin, nullptr);
  EXPECT_EQ(rejoin->instance(), joined_.instance);
  EXPECT_EQ(rejoin->index(), 0u);
  EXPECT_EQ(rejoin->epoch(), 7u);
  EXPECT_TRUE(contact_->follow().ok());
  EXPECT_TRUE(contact_->check_seat(0));
}

TEST_F(SupervisorContactTest, OneOfAnotherMemorySaysThatThePoolWasStartedAnew) {
  supervisor_.reset();
  set_dead_worker();
  const shm::UniqueFd listener = testing::listen_at(folder_.file("pool"));
  EXPECT_TRUE(contact_->check_seat(0)) << "it may be of the same memory";
  const shm::UniqueFd connection = accept(listener);
  ASSERT_TRUE(shm::receive_packet(connection.get(), shm::kNever).ok());
  ASSERT_TRUE(testing::send_refused(connection.get(), ErrorCode::kNotAttached, "").ok());
  EXPECT_FALSE(contact_->check_seat(0));
  EXPECT_EQ(contact_->check_pool().error().code, ErrorCode::kNotAttached);
  EXPECT_EQ(contact_->follow().error().code, ErrorCode::kNotAttached);
  EXPECT_EQ(contact_->unserved_error(0, true).code, ErrorCode::kNotAttached);
}

// Broadcasts, made on a thread of their own while the test plays the supervisor.
class SupervisorBroadcast : public SupervisorContactTest {
 protected:
  std::future<Result<std::uint32_t>> broadcast(shm::MonotonicNs deadline = testing::soon(30'000)) {
    return std::async(std::launch::async, [this, deadline] {
      shm::Setting setting;
      setting.key = "lm";
      setting.method = "configure";
      setting.kind = 1;
      setting.payload = {std::byte{'x'}};
      return contact_->broadcast(setting, deadline);
    });
  }
  static void answer(const shm::UniqueFd& socket, std::uint32_t epoch) {
    flatbuffers::FlatBufferBuilder builder;
    const auto broadcasted = wire::CreateBroadcasted(builder, epoch);
    EXPECT_TRUE(
        shm::send_packet(socket.get(), builder, wire::Message::Broadcasted, broadcasted.Union())
            .ok());
  }
  static void answer_rejoin(const shm::UniqueFd& socket) {
    EXPECT_EQ(shm::receive_packet(socket.get(), shm::kNever)->type(), wire::Message::Rejoin);
    flatbuffers::FlatBufferBuilder builder;
    const auto rejoined = wire::CreateRejoined(builder);
    EXPECT_TRUE(
        shm::send_packet(socket.get(), builder, wire::Message::Rejoined, rejoined.Union()).ok());
  }
  static void expect_broadcast(const shm::UniqueFd& socket) {
    const Result<shm::Packet> packet = shm::receive_packet(socket.get(), testing::soon(30'000));
    ASSERT_TRUE(packet.ok());
    const auto* broadcast = packet->as<wire::Broadcast>();
    ASSERT_NE(broadcast, nullptr);
    EXPECT_EQ(broadcast->key()->str(), "lm");
    EXPECT_EQ(broadcast->method()->str(), "configure");
    EXPECT_EQ(broadcast->payload()->size(), 1u);
  }
  // By way of a supervisor that the client has not met.
  void expect_broadcast_to_a_new_supervisor() {
    const shm::UniqueFd listener = testing::listen_at(folder_.file("pool"));
    auto epoch = broadcast();
    const shm::UniqueFd connection = accept(listener);
    answer_rejoin(connection);
    expect_broadcast(connection);
    answer(connection, 6);
    EXPECT_EQ(epoch.get().value(), 6u);
  }
};

TEST_F(SupervisorBroadcast, TheSupervisorAnswersWithItsEpoch) {
  auto epoch = broadcast();
  expect_broadcast(supervisor_);
  EXPECT_TRUE(contact_->check_seat(0)) << "who looks meanwhile leaves the answer alone";
  answer(supervisor_, 5);
  EXPECT_EQ(epoch.get().value(), 5u);
}

TEST_F(SupervisorBroadcast, ARefusalIsItsError) {
  auto epoch = broadcast();
  expect_broadcast(supervisor_);
  ASSERT_TRUE(testing::send_refused(supervisor_.get(), ErrorCode::kSystemLimit, "63 keys").ok());
  const Result<std::uint32_t> refused = epoch.get();
  EXPECT_EQ(refused.error().code, ErrorCode::kSystemLimit);
  EXPECT_EQ(refused.error().message, "63 keys");
}

TEST_F(SupervisorBroadcast, ANewSupervisorIsToldFirstThatTheClientIsThere) {
  supervisor_.reset();
  expect_broadcast_to_a_new_supervisor();
}

TEST_F(SupervisorBroadcast, WithoutASupervisorNothingIsSentAndItMayBeTriedAgain) {
  supervisor_.reset();
  const Error error = broadcast().get().error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(error.retryable);
}

TEST_F(SupervisorBroadcast, ASupervisorThatDiesBeforeItsAnswerLeavesItOpenWhatIsKept) {
  auto epoch = broadcast();
  expect_broadcast(supervisor_);
  supervisor_.reset();
  const Error error = epoch.get().error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerUnavailable);
  EXPECT_FALSE(error.retryable);
}

TEST_F(SupervisorBroadcast, AnAnswerThatComesTooLateIsNotTakenForTheNextOnes) {
  EXPECT_EQ(broadcast(testing::soon(1)).get().error().code, ErrorCode::kDeadlineExceeded);
  expect_broadcast(supervisor_);
  answer(supervisor_, 5);
  expect_broadcast_to_a_new_supervisor();
}

TEST_F(SupervisorBroadcast, AnotherMemorysSupervisorSaysThatThePoolWasStartedAnew) {
  supervisor_.reset();
  const shm::UniqueFd listener = testing::listen_at(folder_.file("pool"));
  auto epoch = broadcast();
  const shm::UniqueFd connection = accept(listener);
  ASSERT_TRUE(shm::receive_packet(connection.get(), shm::kNever).ok());
  ASSERT_TRUE(testing::send_refused(connection.get(), ErrorCode::kNotAttached, "").ok());
  EXPECT_EQ(epoch.get().error().code, ErrorCode::kNotAttached);
  EXPECT_EQ(contact_->follow().error().code, ErrorCode::kNotAttached);
}

TEST_F(SupervisorContactTest, AGoodbyeIsAlsoWrittenDown) {
  contact_->say_goodbye();
  EXPECT_EQ(client_state(), layout::ClientState::kLeft);
  EXPECT_EQ(shm::receive_packet(supervisor_.get(), shm::kNever)->type(), wire::Message::Goodbye);
}

TEST_F(SupervisorContactTest, AGoodbyeToASupervisorThatItNeverMetComesWithARejoin) {
  supervisor_.reset();
  const shm::UniqueFd listener = testing::listen_at(folder_.file("pool"));
  pool_.segment().header().supervisor_epoch.store(2);
  contact_->say_goodbye();
  const shm::UniqueFd connection = accept(listener);
  EXPECT_EQ(shm::receive_packet(connection.get(), shm::kNever)->type(), wire::Message::Rejoin);
  EXPECT_EQ(shm::receive_packet(connection.get(), shm::kNever)->type(), wire::Message::Goodbye);
}

TEST_F(SupervisorContactTest, AGoodbyeLeavesAnothersPlaceAlone) {
  pool_.segment().client(0).epoch.store(8);
  contact_->say_goodbye();
  EXPECT_EQ(client_state(), layout::ClientState::kAttached);
  pool_.segment().client(0).epoch.store(7);
  set_client_state(layout::ClientState::kReclaiming);
  contact_->say_goodbye();
  EXPECT_EQ(client_state(), layout::ClientState::kReclaiming);
}

}  // namespace
}  // namespace slotring::internal
