#include "tools/peers/server_processes.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "client_lib/shm/memory.h"
#include "client_lib/shm/unique_fd.h"

namespace slotring::peers {

namespace {

constexpr std::chrono::seconds kStartTimeout(60);  // scikit-learn's import takes some on a busy CPU

}  // namespace

ServerProcesses::ServerProcesses(const std::vector<std::vector<std::string>>& commands,
                                 const std::string& log) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Exception(shm::system_error("pipe", errno));
  const shm::UniqueFd reader(ends[0]);
  const shm::UniqueFd writer(ends[1]);
  for (const auto& command : commands) {
    processes_.push_back(bench::ChildProcess::start(command, log, &writer));
  }
  await_ready(reader.get(), log);
}

void ServerProcesses::await_ready(int reader, const std::string& log) {
  const auto deadline = std::chrono::steady_clock::now() + kStartTimeout;
  for (std::size_t ready = 0; ready < processes_.size();) {
    bench::check_interrupted();
    pollfd waited{reader, POLLIN, 0};
    char byte;
    if (::poll(&waited, 1, 100) > 0) {
      if (::read(reader, &byte, 1) == 1) ++ready;
      continue;
    }
    const bool all_run =
        std::all_of(processes_.begin(), processes_.end(),
                    [](bench::ChildProcess& process) { return process.running(); });
    if (all_run && std::chrono::steady_clock::now() < deadline) continue;
    throw Exception(Error{ErrorCode::kWorkerUnavailable,
                          "a server did not start; its log ends with:\n" + bench::end_of_log(log)});
  }
}

std::vector<pid_t> ServerProcesses::pids() const {
  std::vector<pid_t> pids;
  for (const bench::ChildProcess& process : processes_) pids.push_back(process.pid());
  return pids;
}

}  // namespace slotring::peers
