#include "supervisor/seat_sockets.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/peer_socket.h"

namespace slotring::supervisor {

namespace {

// Supervisors that came and died while the worker was stopped leave connections in its queue.
constexpr int kBacklog = 128;

}  // namespace

Result<SeatSockets> SeatSockets::open(const std::string& pool_socket) {
  std::string folder = pool_socket + ".seats";
  Result<shm::UniqueFd> descriptor = make_folder(folder);
  if (!descriptor) return std::move(descriptor).error();
  return SeatSockets(std::move(folder), *std::move(descriptor));
}

Result<shm::UniqueFd> SeatSockets::make_folder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return shm::system_error(("making the folder " + folder).c_str(), errno);
  }
  shm::UniqueFd descriptor(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!descriptor.valid() || ::fstat(descriptor.get(), &info) != 0) {
    return shm::system_error(("opening the folder " + folder).c_str(), errno);
  }
  // Somebody else could put sockets of their own there, and hand over memory of their own.
  if (info.st_uid != ::geteuid() || (info.st_mode & 0077) != 0) {
    return Error{ErrorCode::kRefused, "the folder " + folder +
                                          " must belong to this user and be closed to all others "
                                          "(mode 0700); remove it if it is in the way"};
  }
  return descriptor;
}

// Through the folder's descriptor, since a socket's path has at most 107 bytes.
std::string SeatSockets::path_of(shm::SeatIndex seat) const {
  return "/proc/self/fd/" + std::to_string(descriptor_.get()) + "/" + std::to_string(seat);
}

Result<shm::UniqueFd> SeatSockets::listen(shm::SeatIndex seat) {
  struct stat info;
  if (::fstat(descriptor_.get(), &info) == 0 && info.st_nlink == 0) {  // it was removed
    Result<shm::UniqueFd> again = make_folder(folder_);
    if (!again) return again;
    descriptor_ = *std::move(again);
  }
  const std::string path = path_of(seat);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  shm::UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return shm::system_error("socket", errno);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return shm::system_error(("listening in " + folder_).c_str(), errno);
  }
  return socket;
}

std::vector<shm::SeatIndex> SeatSockets::seats() const {
  std::vector<shm::SeatIndex> found;
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, failed)) {
    const std::string name = entry.path().filename().string();
    shm::SeatIndex seat = 0;
    const auto [end, no_number] = std::from_chars(name.data(), name.data() + name.size(), seat);
    if (no_number == std::errc{} && end == name.data() + name.size() &&
        seat < layout::kMaxWorkers) {
      found.push_back(seat);
    }
  }
  return found;
}

Result<shm::UniqueFd> SeatSockets::connect(shm::SeatIndex seat) const {
  constexpr shm::MonotonicNs kPatience = 10'000'000;
  Result<shm::UniqueFd> socket = shm::connect_to(path_of(seat), shm::monotonic_now() + kPatience);
  if (!socket && socket.error().code == ErrorCode::kPoolNotFound) {
    return Error{ErrorCode::kWorkerUnavailable, "nobody holds the seat's socket"};
  }
  return socket;
}

void SeatSockets::remove() const {
  for (const shm::SeatIndex seat : seats()) ::unlink(path_of(seat).c_str());
  ::rmdir(folder_.c_str());
}

}  // namespace slotring::supervisor
