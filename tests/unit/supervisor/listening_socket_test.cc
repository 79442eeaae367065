#include "supervisor/listening_socket.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/peer_socket.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;

class ListeningSocketTest : public ::testing::Test {
 protected:
  ListeningSocketTest() {
    folder_ = (std::filesystem::temp_directory_path() / "slotring-unit.XXXXXX").string();
    EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/p.sock";
  }
  ~ListeningSocketTest() override { std::filesystem::remove_all(folder_); }

  static Result<ListeningSocket> open(const std::string& path) {
    return ListeningSocket::open(path, /*private_folder=*/false, /*open_to_all=*/false);
  }
  static mode_t mode_of(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777;
  }
  // A socket file that nobody listens at, as a killed supervisor leaves it.
  static void leave_socket(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    const shm::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(ListeningSocketTest, ListensForItsOwnUserAndLeavesNoFiles) {
  {
    const ListeningSocket socket = open(path_).value();
    EXPECT_TRUE(shm::connect_to(path_).ok());
    EXPECT_EQ(mode_of(path_), 0600u);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(ListeningSocketTest, IsOpenToAllWhenOthersAreAllowed) {
  const ListeningSocket socket = ListeningSocket::open(path_, false, /*open_to_all=*/true).value();
  EXPECT_EQ(mode_of(path_), 0666u);
}

TEST_F(ListeningSocketTest, MakesItsFolderPrivate) {
  const ListeningSocket socket = open(folder_ + "/new/p.sock").value();
  EXPECT_EQ(mode_of(folder_ + "/new"), 0700u);
}

TEST_F(ListeningSocketTest, RefusesADefaultFolderThatOthersCanWriteTo) {
  ::chmod(folder_.c_str(), 0777);
  const auto refused = ListeningSocket::open(path_, /*private_folder=*/true, false);
  EXPECT_EQ(refused.error().code, ErrorCode::kRefused);
}

TEST_F(ListeningSocketTest, ASecondOneIsToldWhoTheFirstIs) {
  std::optional<ListeningSocket> first(open(path_).value());
  const Result<ListeningSocket> second = open(path_);
  EXPECT_EQ(second.error().code, ErrorCode::kRefused);
  EXPECT_THAT(second.error().message, HasSubstr("pid " + std::to_string(::getpid())));
  EXPECT_TRUE(shm::connect_to(path_).ok()) << "the second one broke the first";
  first.reset();
  EXPECT_TRUE(open(path_).ok());
}

TEST_F(ListeningSocketTest, TakesOverWhatADeadSupervisorLeft) {
  leave_socket(path_);
  std::ofstream(path_ + ".lock") << "4194305";
  const ListeningSocket socket = open(path_).value();
  EXPECT_TRUE(shm::connect_to(path_).ok());
}

TEST_F(ListeningSocketTest, NeverRemovesWhatIsNoSocket) {
  std::ofstream(path_) << "precious";
  EXPECT_EQ(open(path_).error().code, ErrorCode::kRefused);
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(ListeningSocketTest, APathTooLongForASocketIsAnError) {
  const Result<ListeningSocket> socket = open(folder_ + "/" + std::string(120, 'x'));
  EXPECT_EQ(socket.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace slotring::supervisor
