#include "tests/support/supervised_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <flatbuffers/flexbuffers.h>
#include <gtest/gtest.h>

namespace slotring::testing {

namespace {

int exit_status(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t spawn(const std::vector<std::string>& command, const std::string& in, const std::string& out,
            const std::string& err) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  constexpr int kWrite = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&files, 0, in.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, out.c_str(), kWrite, 0644);
  posix_spawn_file_actions_addopen(&files, 2, err.c_str(), kWrite, 0644);
  pid_t pid = 0;
  const int failed =
      ::posix_spawn(&pid, arguments[0], &files, nullptr, arguments.data(), ::environ);
  posix_spawn_file_actions_destroy(&files);
  EXPECT_EQ(failed, 0) << "cannot start " << command[0];
  return failed == 0 ? pid : 0;
}

constexpr std::string_view kModule = R"(
import os, pathlib, sys, time
import slotring

folder = pathlib.Path(__file__).parent

def wait_for(name):
    while not (folder / name).exists():
        time.sleep(0.002)

@slotring.handler
def echo(request):
    return request

@slotring.handler
def block(request):
    (folder / "blocking").touch()
    wait_for("go")
    return b"done"

)";

}  // namespace

std::string sanitizer_environment() {
  std::istringstream entries(SLOTRING_WORKER_ENVIRONMENT);
  std::string table;
  for (std::string entry; std::getline(entries, entry, '|');) {
    const std::size_t equals = entry.find('=');
    const std::string name = entry.substr(0, equals);
    // What a test preloads into all programs includes it.
    const char* preloaded = name == "LD_PRELOAD" ? std::getenv("LD_PRELOAD") : nullptr;
    table += name + " = \"" + (preloaded ? preloaded : entry.substr(equals + 1)) + "\", ";
  }
  return table;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

pid_t start(const std::vector<std::string>& command, const std::string& output_file) {
  return spawn(command, "/dev/null", output_file, output_file);
}

Finished run(const std::vector<std::string>& command, std::string_view input) {
  std::string folder = (std::filesystem::temp_directory_path() / "slotring-run.XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return {};
  write_file(folder + "/in", input);
  const pid_t pid = spawn(command, folder + "/in", folder + "/out", folder + "/err");
  Finished finished;
  if (pid != 0) finished.status = exit_status(pid);
  finished.out = read_file(folder + "/out");
  finished.err = read_file(folder + "/err");
  std::filesystem::remove_all(folder);
  return finished;
}

SupervisedPool::SupervisedPool(std::string_view module, std::string_view keys,
                               std::vector<std::string> launcher)
    : launcher_(std::move(launcher)) {
  folder_ = (std::filesystem::temp_directory_path() / "slotring-e2e.XXXXXX").string();
  if (::mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("no folder for the test");
  std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  write_file(path("served.py"), std::string(kModule) + std::string(module));
  write_file(path("config.toml"),
             "[pool.tested]\nmodule = \"served\"\nsocket = \"pool.sock\"\n"
             "env = { " +
                 sanitizer_environment() + "SLOTRING_TEST_FOLDER = \"" + folder_ + "\" }\n" +
                 std::string(keys));
  start_supervisor();
}

SupervisedPool::~SupervisedPool() {
  if (supervisor_ != 0) stop_supervisor(SIGTERM);
  if (!eventually([this] { return processes().empty(); })) {
    ADD_FAILURE() << "processes of the pool are left over";
    for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
  }
  if (::testing::Test::HasFailure()) std::fputs(log().c_str(), stderr);
  std::filesystem::remove_all(folder_);
}

bool SupervisedPool::has(std::string_view name) const {
  return std::filesystem::exists(path(name));
}

void SupervisedPool::unblock() const { write_file(path("go"), ""); }

void SupervisedPool::start_supervisor() {
  std::vector<std::string> command = launcher_;
  command.insert(command.end(), {supervisor_program(), "--config", path("config.toml")});
  supervisor_ = start(command, path("log"));
}

int SupervisedPool::stop_supervisor(int signal) {
  ::kill(supervisor_, signal);
  const int status = exit_status(supervisor_);
  supervisor_ = 0;
  return status;
}

Client SupervisedPool::attach() const {
  std::optional<Result<Client>> client;
  const bool attached = eventually([&] {
    client.emplace(Client::attach(socket()));
    return client->ok() || client->error().code != ErrorCode::kPoolNotFound;
  });
  EXPECT_TRUE(attached);
  return std::move(*client).value();
}

std::vector<pid_t> SupervisedPool::processes() const {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (read_file(entry.path().string() + "/environ").find(folder_) == std::string::npos) continue;
    found.push_back(std::stoi(name));
  }
  return found;
}

pid_t SupervisedPool::worker_of(Client& client) {
  const std::vector<std::uint8_t> answer = client.call("ping", Payload()).value().value().value();
  return flexbuffers::GetRoot(answer).AsMap()["pid"].AsInt32();
}

std::string supervisor_program() { return SLOTRING_SUPERVISOR_PROGRAM; }
std::string command_program() { return SLOTRING_COMMAND_PROGRAM; }

}  // namespace slotring::testing
