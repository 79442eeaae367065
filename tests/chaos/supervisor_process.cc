#include "tests/chaos/supervisor_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <utility>

namespace slotring::chaos {

namespace {

std::string pool_table(const std::string& name, const Options& options, const std::string& folder) {
  const bool native = name == "native";
  std::string table = "[pool." + name + "]\n";
  table += "module = \"chaos_served\"\n";
  table += "python_path = [\"" SLOTRING_CHAOS_MODULES "\"]\n";
  if (native) table += "python = \"" SLOTRING_CHAOS_WORKER "\"\n";
  if (name == "template") table += "start = \"template\"\npreload = [\"json\"]\n";
  table += "socket = \"" + name + ".sock\"\n";
  table += "env = { SLOTRING_CHAOS_FOLDER = \"" + folder + "\", PYTHONDONTWRITEBYTECODE = \"1\"";
  if (options.canary == "wrong-reply") table += ", SLOTRING_CHAOS_WRONG_REPLIES = \"1\"";
  table += " }\n";
  table += "workers = " + std::to_string(options.workers) + "\n";
  // So few that some callers have to wait, and now and then one too many.
  table += "slots_per_worker = 2\nmax_clients = 64\nmax_waiting = 3\n";
  table += "slot_bytes = \"2 MiB\"\nwarm_bytes = \"64 KiB\"\n";
  // Deaths are what this is about: no seat is given up, and successors come soon.
  table += "crash_loop_deaths = 0\nrestart_delay_s = 0.02\nrestart_delay_max_s = 0.1\n";
  table += "orphan_timeout_s = 60\n\n";
  return table;
}

}  // namespace

SupervisorProcess::SupervisorProcess(const Options& options, std::string folder)
    : folder_(std::move(folder)) {
  pools_ = options.pool == "both" ? std::vector<std::string>{"python", "native"}
                                  : std::vector<std::string>{options.pool};
  std::ofstream config(folder_ + "/config.toml");
  config << "[log]\nlevel = \"info\"\n\n";
  for (const std::string& pool : pools_) config << pool_table(pool, options, folder_);
}

SupervisorProcess::~SupervisorProcess() { kill(); }

std::vector<std::string> SupervisorProcess::sockets() const {
  std::vector<std::string> sockets;
  for (const std::string& pool : pools_) sockets.push_back(folder_ + "/" + pool + ".sock");
  return sockets;
}

void SupervisorProcess::start() {
  const std::string config = folder_ + "/config.toml";
  pid_ = ::fork();
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int log = ::open(log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  ::execl(SLOTRING_SUPERVISOR_PROGRAM, SLOTRING_SUPERVISOR_PROGRAM, "--config", config.c_str(),
          nullptr);
  ::_exit(127);
}

void SupervisorProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

std::optional<int> SupervisorProcess::ended() {
  int status = 0;
  if (pid_ <= 0 || ::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = 0;
  return status;
}

}  // namespace slotring::chaos
