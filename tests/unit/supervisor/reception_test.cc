// Peers of all kinds at the door of one pool, over a real socket. The pool has no workers.

#include "supervisor/reception.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/attachment.h"
#include "client_lib/shm/process_identity.h"
#include "client_lib/shm/slot_pool.h"
#include "slotring/version.h"
#include "supervisor/listening_socket.h"
#include "supervisor/settings.h"
#include "tests/support/child_process.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;

constexpr layout::Geometry kGeometry{
    1, 2, 2, 4, layout::kMinAreaBytes, layout::kPageBytes, layout::kPageBytes};

class ReceptionTest : public ::testing::Test {
 protected:
  ReceptionTest() {
    folder_ = (std::filesystem::temp_directory_path() / "slotring-unit.XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
    socket_.emplace(ListeningSocket::open(folder_ + "/p.sock", false, false).value());
    EXPECT_TRUE(reception_.open(socket_->take_socket()).ok());
  }
  ~ReceptionTest() override { std::filesystem::remove_all(folder_); }

  static Log make_log() {
    auto output = LogOutput::open({"error", "/dev/null", LogFormat::kText});
    static const std::unique_ptr<LogOutput> kept = std::move(output).value();
    return kept->make_log("test");
  }

  // Lets the reception work until something has happened.
  template <class Happened>
  bool work_until(Happened happened) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!happened()) {
      if (std::chrono::steady_clock::now() > end) return false;
      io_.run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  shm::UniqueFd connect() { return shm::connect_to(socket_->path()).value(); }

  // Sends a Hello that is right but for what `wrong` changes, and returns the answer.
  Result<shm::Packet> say_hello(const shm::UniqueFd& socket, wire::Role role,
                                std::uint32_t version_offset = 0) {
    flatbuffers::FlatBufferBuilder builder;
    const auto name = builder.CreateString("tester\n");
    const auto version = builder.CreateString("9.9.9");
    const auto hello = wire::CreateHello(builder, layout::kProtocolVersion,
                                         layout::kLayoutVersion + version_offset,
                                         layout::layout_hash(), role, name, version);
    EXPECT_TRUE(shm::send_packet(socket.get(), builder, wire::Message::Hello, hello.Union()).ok());
    return next_packet(socket);
  }

  Result<shm::Packet> next_packet(const shm::UniqueFd& socket) {
    EXPECT_TRUE(work_until([&] {
      char byte;
      return ::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
    }));
    return shm::receive_packet(socket.get(), shm::kNever);
  }

  static ErrorCode code_of(const Result<shm::Packet>& answer) {
    if (!answer) return answer.error().code;
    const auto* refused = answer->as<wire::Refused>();
    return refused != nullptr ? static_cast<ErrorCode>(refused->code()) : ErrorCode::kOk;
  }

  void say_goodbye(const shm::UniqueFd& socket) {
    flatbuffers::FlatBufferBuilder builder;
    const auto goodbye = wire::CreateGoodbye(builder);
    EXPECT_TRUE(
        shm::send_packet(socket.get(), builder, wire::Message::Goodbye, goodbye.Union()).ok());
  }

  layout::ClientState state_of(std::uint32_t client) const {
    return static_cast<layout::ClientState>(memory_->segment().client(client).state.load());
  }

  std::string folder_;
  boost::asio::io_context io_{1};
  std::unique_ptr<PoolMemory> memory_ = PoolMemory::create("p", kGeometry).value();
  shm::SlotPool slots_{memory_->segment()};
  std::optional<ListeningSocket> socket_;
  Reception reception_{io_, make_log(), "p", AccessList({}, {}), *memory_, slots_};
};

TEST_F(ReceptionTest, AClientGetsItsPlaceAndDescriptorsAndIsListed) {
  const shm::UniqueFd socket = connect();
  const shm::Packet welcome = say_hello(socket, wire::Role::Client).value();
  ASSERT_NE(welcome.as<wire::Welcome>(), nullptr);
  EXPECT_EQ(welcome.as<wire::Welcome>()->index(), 0u);
  EXPECT_EQ(welcome.as<wire::Welcome>()->generation(), 1u);
  ASSERT_EQ(welcome.descriptors.size(), 3u);
  const auto mode = [&](int i) {
    return ::fcntl(welcome.descriptors[static_cast<std::size_t>(i)].get(), F_GETFL) & O_ACCMODE;
  };
  EXPECT_EQ(mode(0), O_RDWR);
  EXPECT_EQ(mode(1), O_RDWR);
  EXPECT_EQ(mode(2), O_RDONLY);
  const layout::ClientRecord& record = memory_->segment().client(0);
  EXPECT_EQ(state_of(0), layout::ClientState::kAttached);
  EXPECT_EQ(record.pid.load(), ::getpid());
  EXPECT_NE(record.pid_start_time.load(), 0u);
  EXPECT_EQ(shm::load_name(record.name), "tester\\x0a");
}

TEST_F(ReceptionTest, AnObserverGetsReadOnlyMemoryAndNoPlace) {
  const shm::UniqueFd socket = connect();
  const shm::Packet welcome = say_hello(socket, wire::Role::Observer).value();
  ASSERT_EQ(welcome.descriptors.size(), 1u);
  EXPECT_EQ(::fcntl(welcome.descriptors[0].get(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_EQ(reception_.clients(), 0u);
}

TEST_F(ReceptionTest, AnotherVersionIsRefusedNamingBoth) {
  const Result<shm::Packet> answer = say_hello(connect(), wire::Role::Client, 1);
  EXPECT_EQ(code_of(answer), ErrorCode::kVersionMismatch);
  const std::string message = answer->as<wire::Refused>()->message()->str();
  EXPECT_THAT(message, HasSubstr("9.9.9"));
  EXPECT_THAT(message, HasSubstr(version()));
  EXPECT_THAT(message, HasSubstr("layout " + std::to_string(layout::kLayoutVersion + 1)));
}

TEST_F(ReceptionTest, NobodyBecomesAWorkerHere) {
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Worker)), ErrorCode::kRefused);
}

TEST_F(ReceptionTest, OneClientMoreThanThereArePlacesIsRefused) {
  const shm::UniqueFd first = connect();
  const shm::UniqueFd second = connect();
  EXPECT_EQ(code_of(say_hello(first, wire::Role::Client)), ErrorCode::kOk);
  EXPECT_EQ(code_of(say_hello(second, wire::Role::Client)), ErrorCode::kOk);
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Client)), ErrorCode::kTooManyClients);
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Observer)), ErrorCode::kOk);
}

TEST_F(ReceptionTest, ADrainingPoolRefusesClientsAndStillShowsItself) {
  reception_.refuse_clients();
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Client)), ErrorCode::kPoolDraining);
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Observer)), ErrorCode::kOk);
}

TEST_F(ReceptionTest, GoodbyeAndCloseGiveThePlaceBackForTheNextEpoch) {
  shm::UniqueFd socket = connect();
  ASSERT_TRUE(say_hello(socket, wire::Role::Client).ok());
  say_goodbye(socket);
  socket.reset();
  EXPECT_TRUE(work_until([&] { return reception_.clients() == 0; }));
  EXPECT_EQ(state_of(0), layout::ClientState::kVacant);
  const Result<shm::Packet> again = say_hello(connect(), wire::Role::Client);
  EXPECT_EQ(again->as<wire::Welcome>()->index(), 0u);
  EXPECT_EQ(again->as<wire::Welcome>()->generation(), 2u);
}

TEST_F(ReceptionTest, AClosedSocketOfALivingProcessProvesNothing) {
  shm::UniqueFd socket = connect();
  ASSERT_TRUE(say_hello(socket, wire::Role::Client).ok());
  socket.reset();
  // Whoever is served now came after the close was seen.
  ASSERT_TRUE(say_hello(connect(), wire::Role::Observer).ok());
  EXPECT_EQ(reception_.clients(), 1u);
  EXPECT_EQ(state_of(0), layout::ClientState::kAttached);
}

TEST_F(ReceptionTest, ADeadClientsSlotsComeBack) {
  int joined[2];
  ASSERT_EQ(::pipe(joined), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Result<shm::UniqueFd> socket = shm::connect_to(socket_->path());
    const Result<shm::Attachment> attached =
        shm::attach(socket->get(), wire::Role::Client, "mortal", shm::kNever);
    const auto ok = static_cast<char>(attached.ok());
    (void)!::write(joined[1], &ok, 1);
    for (;;) ::pause();
  }
  ASSERT_TRUE(work_until([&] { return reception_.clients() == 1; }));
  char ok = 0;
  ASSERT_TRUE(::read(joined[0], &ok, 1) == 1 && ok == 1);
  // As if it had claimed a slot.
  const layout::SlotWord claimed{7, 0, layout::SlotState::kClaimed, 0};
  memory_->segment().slot_word(1).store(claimed.pack());
  ::kill(child, SIGKILL);
  EXPECT_TRUE(work_until([&] { return reception_.clients() == 0; }));
  const auto word = layout::SlotWord::unpack(memory_->segment().slot_word(1).load());
  EXPECT_EQ(word.state, layout::SlotState::kFree);
  EXPECT_EQ(word.generation, 8u);
  ::waitpid(child, nullptr, 0);
  ::close(joined[0]);
  ::close(joined[1]);
}

TEST_F(ReceptionTest, NoiseIsCutOffAndHarmsNobody) {
  const shm::UniqueFd noisy = connect();
  const std::string noise(1000, '\xFF');
  ASSERT_EQ(::send(noisy.get(), noise.data(), noise.size(), MSG_NOSIGNAL), 1000);
  EXPECT_EQ(code_of(next_packet(noisy)), ErrorCode::kWorkerUnavailable) << "it should be closed";

  const shm::UniqueFd impatient = connect();
  say_goodbye(impatient);
  EXPECT_EQ(code_of(next_packet(impatient)), ErrorCode::kBadFrame);
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Client)), ErrorCode::kOk);
}

TEST_F(ReceptionTest, ManySilentConnectionsDoNotKeepOthersOut) {
  std::vector<shm::UniqueFd> silent;
  for (int i = 0; i < 200; ++i) {
    silent.push_back(connect());
    io_.poll();
  }
  EXPECT_EQ(code_of(say_hello(connect(), wire::Role::Client)), ErrorCode::kOk);
}

// Clients of an earlier supervisor, as it left them in the table.
class ReceptionAfterAnother : public ReceptionTest {
 protected:
  static std::uint64_t own_start() { return shm::process_start_time(::getpid()); }

  void leave_client(std::uint32_t index, pid_t pid, std::uint64_t start_time,
                    layout::ClientState state = layout::ClientState::kAttached) const {
    layout::ClientRecord& record = memory_->segment().client(index);
    record.pid.store(pid);
    record.pid_start_time.store(start_time);
    record.epoch.store(5);
    record.state.store(static_cast<std::uint32_t>(state));
  }
  // As `who` would connect: the test itself or, true, a child of it.
  ErrorCode rejoin(std::uint64_t instance, std::uint32_t index, std::uint32_t epoch,
                   bool by_child = false) {
    shm::UniqueFd socket;
    std::optional<testing::ChildProcess> child;
    if (by_child) {
      int ends[2];
      EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
      const shm::UniqueFd theirs(ends[1]);
      socket.reset(ends[0]);
      child.emplace([&] {
        const shm::UniqueFd connected = connect();
        flatbuffers::FlatBufferBuilder none;
        const int descriptor = connected.get();
        (void)shm::send_packet(theirs.get(), none, wire::Message::Goodbye,
                               wire::CreateGoodbye(none).Union(), {&descriptor, 1});
        for (;;) ::pause();
        return true;
      });
      socket = std::move(shm::receive_packet(ends[0], shm::kNever)->descriptors[0]);
    } else {
      socket = connect();
    }
    shm::Attachment joined;
    joined.instance = instance;
    joined.index = index;
    joined.generation = epoch;
    EXPECT_TRUE(shm::send_rejoin(socket.get(), joined).ok());
    const Result<shm::Packet> answer = next_packet(socket);
    kept_.push_back(std::move(socket));
    return code_of(answer);
  }

  std::vector<shm::UniqueFd> kept_;
};

TEST_F(ReceptionAfterAnother, AClientWithALivingPidButAnotherStartTimeIsDead) {
  leave_client(0, ::getpid(), own_start() + 1);
  leave_client(1, ::getpid(), own_start());
  ASSERT_TRUE(reception_.adopt_clients().ok());
  EXPECT_EQ(state_of(0), layout::ClientState::kVacant);
  EXPECT_EQ(state_of(1), layout::ClientState::kAttached);
  EXPECT_EQ(reception_.clients(), 1u);
}

TEST_F(ReceptionAfterAnother, ALivingClientIsNeverExpiredAndADyingOneIsReclaimed) {
  testing::ChildProcess client([] {
    for (;;) ::pause();
    return true;
  });
  leave_client(0, client.pid(), shm::process_start_time(client.pid()));
  leave_client(1, ::getpid(), own_start());
  ASSERT_TRUE(reception_.adopt_clients().ok());
  ASSERT_TRUE(say_hello(connect(), wire::Role::Observer).ok());
  EXPECT_EQ(reception_.clients(), 2u);
  client.kill();
  EXPECT_TRUE(work_until([&] { return reception_.clients() == 1; }));
  EXPECT_EQ(state_of(0), layout::ClientState::kVacant);
  EXPECT_EQ(state_of(1), layout::ClientState::kAttached);
}

TEST_F(ReceptionAfterAnother, OneWhosePidCannotBeSeenStays) {
  leave_client(0, 0, 0);
  ASSERT_TRUE(reception_.adopt_clients().ok());
  EXPECT_EQ(reception_.clients(), 1u);
}

TEST_F(ReceptionAfterAnother, WhoLeftWithNobodyToTellItToIsReclaimed) {
  leave_client(0, ::getpid(), own_start(), layout::ClientState::kLeft);
  leave_client(1, ::getpid(), own_start());
  ASSERT_TRUE(reception_.adopt_clients().ok());
  EXPECT_EQ(reception_.clients(), 1u);
  leave_client(1, ::getpid(), own_start(), layout::ClientState::kLeft);
  reception_.reclaim_left();
  EXPECT_EQ(reception_.clients(), 0u);
}

TEST_F(ReceptionAfterAnother, OnlyTheProcessItselfWithItsPlaceComesBack) {
  leave_client(0, ::getpid(), own_start());
  ASSERT_TRUE(reception_.adopt_clients().ok());
  const std::uint64_t instance = memory_->instance();
  EXPECT_EQ(rejoin(instance + 1, 0, 5), ErrorCode::kNotAttached) << "another memory";
  EXPECT_EQ(rejoin(instance, 0, 4), ErrorCode::kNotAttached) << "another epoch";
  EXPECT_EQ(rejoin(instance, 1, 0), ErrorCode::kNotAttached) << "a vacant place";
  EXPECT_EQ(rejoin(instance, 4711, 5), ErrorCode::kNotAttached) << "no place";
  EXPECT_EQ(rejoin(instance, 0, 5, /*by_child=*/true), ErrorCode::kNotAttached);
  EXPECT_EQ(reception_.clients(), 1u);
  EXPECT_EQ(rejoin(instance, 0, 5), ErrorCode::kOk);
  EXPECT_EQ(rejoin(instance, 0, 5), ErrorCode::kOk) << "twice does no harm";
  EXPECT_EQ(reception_.clients(), 1u);
  say_goodbye(kept_.back());
  kept_.clear();
  EXPECT_TRUE(work_until([&] { return reception_.clients() == 0; }));
}

TEST(AccessList, AdmitsItsOwnUserRootAndWhoIsListed) {
  const AccessList list({1001}, {2002});
  PeerIdentity peer;
  peer.uid = 4711;
  peer.gid = 4711;
  EXPECT_FALSE(list.admits(peer));
  peer.groups = {1, 2002};
  EXPECT_TRUE(list.admits(peer)) << "by a supplementary group";
  peer.groups.clear();
  peer.gid = 2002;
  EXPECT_TRUE(list.admits(peer)) << "by its group";
  peer.gid = 4711;
  for (const uid_t uid : {uid_t{1001}, uid_t{0}, ::geteuid()}) {
    peer.uid = uid;
    EXPECT_TRUE(list.admits(peer)) << uid;
  }
}

// Sends a Broadcast of the key "lm".
Status send_broadcast(const shm::UniqueFd& socket, std::size_t payload_bytes) {
  flatbuffers::FlatBufferBuilder builder;
  const auto key = builder.CreateString("lm");
  const auto method = builder.CreateString("configure");
  const auto payload = builder.CreateVector(std::vector<std::uint8_t>(payload_bytes, 'x'));
  const auto broadcast = wire::CreateBroadcast(builder, key, method, 1, payload, false);
  return shm::send_packet(socket.get(), builder, wire::Message::Broadcast, broadcast.Union());
}

TEST_F(ReceptionTest, ABroadcastIsKeptAndAnsweredWithItsEpoch) {
  Settings settings(memory_->segment());
  reception_.set_broadcast([&](shm::Setting setting) { return settings.record(setting); });
  const shm::UniqueFd socket = connect();
  ASSERT_EQ(code_of(say_hello(socket, wire::Role::Client)), ErrorCode::kOk);
  ASSERT_TRUE(send_broadcast(socket, 100).ok());
  const shm::Packet answer = next_packet(socket).value();
  ASSERT_NE(answer.as<wire::Broadcasted>(), nullptr);
  EXPECT_EQ(answer.as<wire::Broadcasted>()->epoch(), 1u);
  EXPECT_EQ(shm::read_settings(memory_->segment()).settings.at(0).payload.size(), 100u);
}

TEST_F(ReceptionTest, ABroadcastThatIsRefusedLeavesItsClientAttached) {
  Settings settings(memory_->segment());
  reception_.set_broadcast([&](shm::Setting setting) { return settings.record(setting); });
  const shm::UniqueFd socket = connect();
  ASSERT_EQ(code_of(say_hello(socket, wire::Role::Client)), ErrorCode::kOk);
  ASSERT_TRUE(send_broadcast(socket, shm::kMaxSettingBytes + 1).ok());
  EXPECT_EQ(code_of(next_packet(socket)), ErrorCode::kPayloadTooLarge);
  reception_.refuse_clients();
  ASSERT_TRUE(send_broadcast(socket, 1).ok());
  EXPECT_EQ(code_of(next_packet(socket)), ErrorCode::kPoolDraining);
  EXPECT_EQ(settings.keys(), 0u);
  EXPECT_EQ(state_of(0), layout::ClientState::kAttached);
}

TEST_F(ReceptionTest, AnObserverMayNotBroadcast) {
  reception_.set_broadcast([](const shm::Setting&) -> Result<std::uint32_t> {
    ADD_FAILURE() << "the observer was listened to";
    return 1u;
  });
  const shm::UniqueFd socket = connect();
  ASSERT_EQ(code_of(say_hello(socket, wire::Role::Observer)), ErrorCode::kOk);
  ASSERT_TRUE(send_broadcast(socket, 1).ok());
  EXPECT_EQ(code_of(next_packet(socket)), ErrorCode::kWorkerUnavailable) << "it is cut off";
}

}  // namespace
}  // namespace slotring::supervisor
