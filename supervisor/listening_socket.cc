#include "supervisor/listening_socket.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <thread>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/peer_socket.h"
#include "client_lib/shm/process_identity.h"

namespace slotring::supervisor {

namespace {

constexpr int kBacklog = 128;

std::string lock_path(const std::string& socket_path) { return socket_path + ".lock"; }

Error refused(std::string why) { return Error{ErrorCode::kRefused, std::move(why)}; }

Status make_folder(const std::string& folder, bool must_be_private) {
  std::error_code failed;
  const std::filesystem::path parent = std::filesystem::path(folder).parent_path();
  std::filesystem::create_directories(parent, failed);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return shm::system_error(("making the socket's folder " + folder).c_str(), errno);
  }
  struct stat info;
  if (::lstat(folder.c_str(), &info) != 0) return shm::system_error(folder.c_str(), errno);
  if (!must_be_private) return Done{};
  // Somebody else could replace the socket by their own.
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 0022) != 0) {
    return refused("the socket's folder " + folder +
                   " must be a folder of this user that nobody else can write to");
  }
  return Done{};
}

// Of the file's holder; pid 0 when it cannot be read.
shm::ProcessIdentity read_owner(int lock) {
  char text[64];
  const ssize_t count = ::pread(lock, text, sizeof(text) - 1, 0);
  text[std::max<ssize_t>(count, 0)] = '\0';
  shm::ProcessIdentity owner;
  std::istringstream(text) >> owner.pid >> owner.start_time;
  return owner;
}

Status write_owner(int lock) {
  const std::string owner =
      std::to_string(::getpid()) + " " + std::to_string(shm::process_start_time(::getpid()));
  if (::ftruncate(lock, 0) != 0 ||
      ::pwrite(lock, owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    return shm::system_error("writing the lock file", errno);
  }
  return Done{};
}

// Whether the locked file is still the one that others would open.
bool is_in_place(int lock, const std::string& path) {
  struct stat locked;
  struct stat named;
  return ::fstat(lock, &locked) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         locked.st_dev == named.st_dev && locked.st_ino == named.st_ino;
}

Result<shm::UniqueFd> take_lock(const std::string& socket_path) {
  const std::string path = lock_path(socket_path);
  // A process that a dying supervisor forked holds its lock until it executes its program.
  constexpr shm::MonotonicNs kPatienceWithTheDead = 5'000'000'000;
  const shm::MonotonicNs deadline = shm::monotonic_now() + kPatienceWithTheDead;
  for (;;) {
    shm::UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock.valid()) return shm::system_error(("opening " + path).c_str(), errno);
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return shm::system_error(("locking " + path).c_str(), errno);
      const shm::ProcessIdentity owner = read_owner(lock.get());
      if (owner.pid > 0 && !shm::is_alive(owner) && shm::monotonic_now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      return refused("the supervisor with pid " + std::to_string(owner.pid) + " serves " +
                     socket_path + " already");
    }
    // The owner before may have removed the file between the two calls.
    if (!is_in_place(lock.get(), path)) continue;
    if (Status written = write_owner(lock.get()); !written) return std::move(written).error();
    return lock;
  }
}

// Removes what a dead supervisor left. REQUIRES: the lock is held.
Status remove_stale_socket(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return Done{};
  if (!S_ISSOCK(info.st_mode)) return refused(path + " exists and is not a socket");
  // Whoever answers, or hangs with a full queue, is somebody.
  constexpr shm::MonotonicNs kPatience = 1'000'000'000;
  const Result<shm::UniqueFd> connected = shm::connect_to(path, shm::monotonic_now() + kPatience);
  if (connected || connected.error().code == ErrorCode::kDeadlineExceeded) {
    return refused("some program that is no supervisor listens at " + path + " already");
  }
  if (::unlink(path.c_str()) != 0) return shm::system_error(("removing " + path).c_str(), errno);
  return Done{};
}

}  // namespace

ListeningSocket::ListeningSocket(ListeningSocket&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      lock_(std::move(other.lock_)),
      socket_(std::move(other.socket_)) {}

ListeningSocket::~ListeningSocket() {
  if (path_.empty()) return;
  ::unlink(path_.c_str());
  ::unlink(lock_path(path_).c_str());  // before the lock goes, see take_lock()
}

Result<ListeningSocket> ListeningSocket::open(const std::string& path, bool private_folder,
                                              bool open_to_all) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (Status made = make_folder(folder, private_folder); !made) return std::move(made).error();
  Result<shm::UniqueFd> lock = take_lock(path);
  if (!lock) return std::move(lock).error();
  if (Status removed = remove_stale_socket(path); !removed) {
    return std::move(removed).error();
  }
  ListeningSocket listening(path, *std::move(lock));
  if (Status listens = listening.listen(open_to_all); !listens) return std::move(listens).error();
  return listening;
}

Status ListeningSocket::listen(bool open_to_all) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof(address.sun_path)) {
    return Error{ErrorCode::kInvalidArgument,
                 "the socket path " + path_ + " is longer than a Unix socket allows (" +
                     std::to_string(sizeof(address.sun_path) - 1) + " bytes)"};
  }
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  socket_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_.valid()) return shm::system_error("socket", errno);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (::bind(socket_.get(), generic, sizeof(address)) != 0) {
    return shm::system_error(("binding " + path_).c_str(), errno);
  }
  // Nobody can connect before listen(), so the mode is in place in time.
  if (::chmod(path_.c_str(), open_to_all ? 0666 : 0600) != 0 ||
      ::listen(socket_.get(), kBacklog) != 0) {
    return shm::system_error(("listening at " + path_).c_str(), errno);
  }
  return Done{};
}

}  // namespace slotring::supervisor
