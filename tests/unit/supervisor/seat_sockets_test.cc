#include "supervisor/seat_sockets.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "client_lib/shm/process_identity.h"
#include "supervisor/peer_identity.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"

namespace slotring::supervisor {
namespace {

class SeatSocketsTest : public ::testing::Test {
 protected:
  testing::TemporaryFolder folder_;
  std::string path_ = folder_.file("pool.sock");
  SeatSockets sockets_ = SeatSockets::open(path_).value();
};

TEST_F(SeatSocketsTest, WhoSaysListenIsWhomOneIsConnectedTo) {
  const shm::UniqueFd socket = sockets_.listen(7).value();
  EXPECT_EQ(identify_peer(sockets_.connect(7)->get())->pid, ::getpid());
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  testing::ChildProcess worker([&] {
    ::listen(socket.get(), 16);
    (void)!::write(ready[1], "x", 1);
    for (;;) ::pause();
    return true;
  });
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(identify_peer(sockets_.connect(7)->get())->pid, worker.pid());
  worker.kill();
  (void)worker.join();
  // Still held, by this process; but who said listen() last has ended.
  const Result<shm::UniqueFd> connected = sockets_.connect(7);
  ASSERT_TRUE(connected.ok());
  const Result<PeerIdentity> dead = identify_peer(connected->get());
  EXPECT_TRUE(dead ? shm::has_ended(dead->pidfd)  // newer kernels give a pidfd of the dead, too
                   : dead.error().code == ErrorCode::kWorkerUnavailable);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(SeatSocketsTest, ASocketThatNobodyHoldsIsFoundAndRefuses) {
  EXPECT_EQ(sockets_.connect(3).error().code, ErrorCode::kWorkerUnavailable);
  sockets_.listen(3).value().reset();
  EXPECT_EQ(sockets_.seats(), std::vector<shm::SeatIndex>{3});
  EXPECT_EQ(sockets_.connect(3).error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(sockets_.listen(3).ok()) << "the file is in nobody's way";
}

TEST_F(SeatSocketsTest, OtherFilesAreNoSeats) {
  for (const char* name : {"x", "-1", "99999999999", "4096000", "1x", ""}) {
    if (*name != '\0') {
      ASSERT_NE(::mknod((path_ + ".seats/" + name).c_str(), S_IFREG, 0), -1);
    }
  }
  EXPECT_TRUE(sockets_.seats().empty());
}

TEST_F(SeatSocketsTest, AFolderThatWasRemovedIsMadeAgain) {
  std::filesystem::remove_all(path_ + ".seats");
  const shm::UniqueFd socket = sockets_.listen(0).value();
  EXPECT_EQ(SeatSockets::open(path_)->seats(), std::vector<shm::SeatIndex>{0});
}

TEST_F(SeatSocketsTest, AFolderThatOthersMayEnterIsRefused) {
  std::filesystem::permissions(path_ + ".seats", std::filesystem::perms(0755));
  EXPECT_EQ(SeatSockets::open(path_).error().code, ErrorCode::kRefused);
}

TEST_F(SeatSocketsTest, TheEndRemovesTheFolder) {
  const shm::UniqueFd socket = sockets_.listen(0).value();
  sockets_.remove();
  EXPECT_FALSE(std::filesystem::exists(path_ + ".seats"));
}

}  // namespace
}  // namespace slotring::supervisor
