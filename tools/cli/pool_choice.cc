#include "tools/cli/pool_choice.h"

#include <algorithm>
#include <filesystem>

#include "client_lib/shm/peer_socket.h"
#include "tools/cli/command.h"

namespace slotring::cli {

namespace {

std::filesystem::path runtime_folder() {
  return std::filesystem::path(shm::socket_path("any")).parent_path();
}

bool somebody_listens(const std::string& socket) { return shm::connect_to(socket).ok(); }

}  // namespace

void add_pool_option(CLI::App& command, std::string& pool, AlsoPositional positional) {
  const char* names = positional == AlsoPositional::kYes ? "-p,--pool,POOL" : "-p,--pool";
  command
      .add_option(names, pool,
                  "The pool's name, or its socket's path; by default the only pool that runs")
      ->envname("SLOTRING_POOL")
      ->type_name("POOL");
}

std::vector<std::string> socket_files() {
  std::vector<std::string> sockets;
  std::error_code ignored;  // a folder that is not there holds no sockets
  for (const auto& entry : std::filesystem::directory_iterator(runtime_folder(), ignored)) {
    if (entry.path().extension() == ".sock" && entry.is_socket(ignored)) {
      sockets.push_back(entry.path());
    }
  }
  std::sort(sockets.begin(), sockets.end());
  return sockets;
}

Result<std::string> resolve_pool(const std::string& given) {
  if (!given.empty()) return given;
  std::vector<std::string> running = socket_files();
  // With one socket there is no choice, and the attempt to attach tells more than this could.
  if (running.size() > 1) {
    std::erase_if(running, [](const std::string& socket) { return !somebody_listens(socket); });
  }
  if (running.empty()) {
    return Error{.code = ErrorCode::kPoolNotFound,
                 .message = "no pool runs: nobody listens in " + runtime_folder().string() +
                            ". Start slotring-supervisor, or name a socket with --pool PATH",
                 .retryable = true};
  }
  if (running.size() > 1) {
    std::string message = "several pools run; choose one with --pool:";
    for (const std::string& socket : running) {
      message += " " + std::filesystem::path(socket).stem().string();
    }
    throw UsageError(message);
  }
  return running.front();
}

}  // namespace slotring::cli
