#include "client_lib/shm/peer_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/descriptors.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/random_source.h"
#include "tests/support/temporary_folder.h"

namespace slotring::shm {
namespace {

using testing::same_file;
using testing::soon;

class PeerSocket : public ::testing::Test {
 protected:
  PeerSocket() { std::tie(mine_, theirs_) = testing::socket_pair(); }

  static Status say_goodbye(int socket, std::span<const int> descriptors = {}) {
    flatbuffers::FlatBufferBuilder builder;
    return send_packet(socket, builder, wire::Message::Goodbye,
                       wire::CreateGoodbye(builder).Union(), descriptors);
  }
  static Status send_ready(int socket, const std::string& runtime) {
    flatbuffers::FlatBufferBuilder builder;
    const auto ready = wire::CreateReadyDirect(builder, nullptr, runtime.c_str());
    return send_packet(socket, builder, wire::Message::Ready, ready.Union());
  }
  ErrorCode receive_error(MonotonicNs deadline = kNever) {
    const Result<Packet> packet = receive_packet(mine_.get(), deadline);
    return packet ? ErrorCode::kOk : packet.error().code;
  }

  UniqueFd mine_, theirs_;
};

TEST_F(PeerSocket, CarriesAMessage) {
  EXPECT_TRUE(send_ready(theirs_.get(), "CPython 3.11").ok());
  const Packet packet = receive_packet(mine_.get(), kNever).value();
  EXPECT_EQ(packet.type(), wire::Message::Ready);
  EXPECT_EQ(packet.as<wire::Ready>()->runtime()->str(), "CPython 3.11");
  EXPECT_EQ(packet.as<wire::Drain>(), nullptr);
}

TEST_F(PeerSocket, KeepsMessagesApartAndInOrder) {
  for (const std::string text : {"a", "b", "c"}) ASSERT_TRUE(send_ready(theirs_.get(), text).ok());
  for (const std::string text : {"a", "b", "c"}) {
    EXPECT_EQ(receive_packet(mine_.get(), kNever)->as<wire::Ready>()->runtime()->str(), text);
  }
}

TEST_F(PeerSocket, CarriesDescriptorsThatExecCloses) {
  const int sent[] = {mine_.get(), theirs_.get()};
  EXPECT_TRUE(say_goodbye(theirs_.get(), sent).ok());
  const Packet packet = receive_packet(mine_.get(), kNever).value();
  ASSERT_EQ(packet.descriptors.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    const int received = packet.descriptors[static_cast<std::size_t>(i)].get();
    EXPECT_TRUE(same_file(received, sent[i]));
    EXPECT_NE(::fcntl(received, F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(PeerSocket, ReceivesNothingAtItsDeadline) {
  const MonotonicNs deadline = soon(3);
  EXPECT_EQ(receive_error(deadline), ErrorCode::kDeadlineExceeded);
  EXPECT_GE(monotonic_now(), deadline);
}

TEST_F(PeerSocket, TellsThatTheOtherEndIsGone) {
  theirs_.reset();
  EXPECT_EQ(receive_error(), ErrorCode::kWorkerUnavailable);
  EXPECT_EQ(say_goodbye(mine_.get()).error().code, ErrorCode::kWorkerUnavailable);
}

TEST_F(PeerSocket, ReceivesWhatWasSentBeforeTheOtherEndWent) {
  EXPECT_TRUE(say_goodbye(theirs_.get()).ok());
  theirs_.reset();
  EXPECT_EQ(receive_error(), ErrorCode::kOk);
  EXPECT_EQ(receive_error(), ErrorCode::kWorkerUnavailable);
}

TEST_F(PeerSocket, DoesNotBlockOnAPeerThatDoesNotRead) {
  Status sent = Done{};
  for (int i = 0; i < 100'000 && sent; ++i) sent = send_ready(theirs_.get(), "again");
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().code, ErrorCode::kSystemLimit);
}

TEST_F(PeerSocket, RefusesGarbageOfAnyLength) {
  testing::RandomSource random;
  for (int round = 0; round < testing::effort(2000); ++round) {
    std::string garbage(1 + random.below(300), '\0');
    for (char& byte : garbage) byte = static_cast<char>(random.word());
    ASSERT_EQ(::send(theirs_.get(), garbage.data(), garbage.size(), 0),
              static_cast<ssize_t>(garbage.size()));
    ASSERT_EQ(receive_error(), ErrorCode::kBadFrame);
  }
}

TEST_F(PeerSocket, RefusesOrReadsAMutatedMessage) {
  testing::RandomSource random;
  for (int round = 0; round < testing::effort(4000); ++round) {
    flatbuffers::FlatBufferBuilder builder;
    const auto ready = wire::CreateReadyDirect(builder, nullptr, "CPython");
    wire::FinishPacketBuffer(builder,
                             wire::CreatePacket(builder, wire::Message::Ready, ready.Union()));
    builder.GetBufferPointer()[random.below(builder.GetSize())] ^=
        static_cast<std::uint8_t>(1 + random.below(255));
    ASSERT_GT(::send(theirs_.get(), builder.GetBufferPointer(), builder.GetSize(), 0), 0);
    const Result<Packet> packet = receive_packet(mine_.get(), kNever);
    if (!packet) continue;
    const auto* read = packet->as<wire::Ready>();
    if (read != nullptr && read->runtime() != nullptr) (void)read->runtime()->str();
  }
}

TEST_F(PeerSocket, RefusesAMessageLongerThanTheBound) {
  const std::string longest(kMaxPacketBytes + 1, 'x');
  ASSERT_GT(::send(theirs_.get(), longest.data(), longest.size(), 0), 0);
  EXPECT_EQ(receive_error(), ErrorCode::kBadFrame);
}

// A packet of `bytes` (one at most) with so many descriptors beside it.
void send_descriptors(int socket, std::size_t count, std::size_t bytes) {
  std::vector<int> many(count, socket);
  std::vector<char> control(CMSG_SPACE(sizeof(int) * many.size()));
  char byte = 'x';
  iovec part{&byte, bytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * many.size());
  std::memcpy(CMSG_DATA(rights), many.data(), sizeof(int) * many.size());
  ASSERT_EQ(::sendmsg(socket, &header, 0), static_cast<ssize_t>(bytes));
}

TEST_F(PeerSocket, RefusesAndClosesMoreDescriptorsThanTheBound) {
  send_descriptors(theirs_.get(), kMaxDescriptors + 3, 1);
  EXPECT_EQ(receive_error(), ErrorCode::kBadFrame) << "the test's end counts the descriptors";
}

TEST_F(PeerSocket, ClosesTheDescriptorsOfAPacketOfNoBytes) {
  send_descriptors(theirs_.get(), 3, 0);
  EXPECT_EQ(receive_error(), ErrorCode::kWorkerUnavailable) << "as above";
}

// Where a pool's socket is, and connecting to it.

class SocketPath : public ::testing::Test {
 protected:
  SocketPath() {
    if (const char* set = std::getenv("XDG_RUNTIME_DIR")) configured_ = set;
  }
  ~SocketPath() override {
    if (configured_) {
      ::setenv("XDG_RUNTIME_DIR", configured_->c_str(), 1);
    } else {
      ::unsetenv("XDG_RUNTIME_DIR");
    }
  }

  std::optional<std::string> configured_;
};

TEST_F(SocketPath, IsUsedAsItIsWhenItIsAPath) {
  EXPECT_EQ(socket_path("/run/x.sock"), "/run/x.sock");
  EXPECT_EQ(socket_path("./x"), "./x");
}

TEST_F(SocketPath, IsInTheRuntimeFolderWhenItIsAName) {
  ::setenv("XDG_RUNTIME_DIR", "/run/user/42", 1);
  EXPECT_EQ(socket_path("digits"), "/run/user/42/slotring/digits.sock");
}

TEST_F(SocketPath, HasAPlaceWithoutARuntimeFolder) {
  const std::string uid = std::to_string(::getuid());
  const std::string expected = std::filesystem::is_directory("/run/user/" + uid)
                                   ? "/run/user/" + uid + "/slotring/digits.sock"
                                   : "/tmp/slotring-" + uid + "/digits.sock";
  ::unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(socket_path("digits"), expected);
  ::setenv("XDG_RUNTIME_DIR", "not/absolute", 1);
  EXPECT_EQ(socket_path("digits"), expected);
}

class Connecting : public ::testing::Test {
 protected:
  ErrorCode connect_error(const std::string& path) const {
    const Result<UniqueFd> connected = connect_to(path);
    return connected ? ErrorCode::kOk : connected.error().code;
  }

  testing::TemporaryFolder folder_;
  std::string path_ = folder_.file("socket");
};

TEST_F(Connecting, ReachesWhoListens) {
  const UniqueFd listener = testing::listen_at(path_);
  EXPECT_EQ(connect_error(path_), ErrorCode::kOk);
}

TEST_F(Connecting, FindsNoPoolWhereThereIsNoSocketOrNobodyListens) {
  EXPECT_EQ(connect_error(path_), ErrorCode::kPoolNotFound);
  (void)testing::listen_at(path_);
  EXPECT_EQ(connect_error(path_), ErrorCode::kPoolNotFound);
  EXPECT_TRUE(connect_to(path_).error().retryable) << "a supervisor may come";
}

TEST_F(Connecting, RefusesAPathThatIsTooLong) {
  EXPECT_EQ(connect_error("/" + std::string(200, 'x')), ErrorCode::kInvalidArgument);
}

TEST_F(Connecting, EndsAtItsDeadlineWhenTheListenerHangs) {
  const UniqueFd listener = testing::listen_at(path_, /*backlog=*/0);
  std::vector<UniqueFd> queue;
  Result<UniqueFd> connected = connect_to(path_, soon(3));
  for (; connected && queue.size() < 10; connected = connect_to(path_, soon(3))) {
    queue.push_back(*std::move(connected));
  }
  ASSERT_FALSE(connected.ok());
  EXPECT_EQ(connected.error().code, ErrorCode::kDeadlineExceeded);
}

TEST_F(Connecting, IsRefusedWithoutPermission) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  const UniqueFd listener = testing::listen_at(path_);
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
  testing::ChildProcess other_user(
      [&] { return ::setuid(65534) == 0 && connect_error(path_) == ErrorCode::kRefused; });
  EXPECT_TRUE(other_user.succeeded());
}

}  // namespace
}  // namespace slotring::shm
