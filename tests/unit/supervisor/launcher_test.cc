#include "supervisor/launcher.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "supervisor/process_watch.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;

LaunchOrder shell(const std::string& script) { return {"/bin/sh", {"-c", script}, "/", {}}; }

std::string read_all(const shm::UniqueFd& fd) {
  std::string text;
  char bytes[4096];
  for (ssize_t count; (count = ::read(fd.get(), bytes, sizeof(bytes))) > 0;) {
    text.append(bytes, static_cast<std::size_t>(count));
  }
  return text;
}

int wait_for_end(const LaunchedProcess& process) {
  pollfd waited{process.pidfd.get(), POLLIN, 0};
  while (::poll(&waited, 1, -1) < 0 && errno == EINTR) {
  }
  return reap_group(process.pidfd.get(), process.pid);
}

bool has_children() { return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD; }

std::string output_of(const LaunchOrder& order) {
  const LaunchedProcess process = launch(order).value();
  const std::string output = read_all(process.output);
  EXPECT_EQ(wait_for_end(process), 0) << read_all(process.error_output);
  return output;
}

TEST(Launcher, RunsTheProgramInItsFolderAndEnvironment) {
  LaunchOrder order = shell("pwd; echo $SLOTRING_TEST; echo oops >&2; exit 3");
  order.directory = "/usr";
  order.environment["SLOTRING_TEST"] = "a b";
  const LaunchedProcess process = launch(order).value();
  EXPECT_EQ(read_all(process.output), "/usr\na b\n");
  EXPECT_EQ(read_all(process.error_output), "oops\n");
  EXPECT_EQ(describe_wait_status(wait_for_end(process)), "exited with status 3");
  EXPECT_FALSE(has_children());
}

TEST(Launcher, AProgramIsFoundOnPath) { EXPECT_EQ(output_of({"echo", {"x"}, "/", {}}), "x\n"); }

TEST(Launcher, LeadsAProcessGroupOfItsOwn) {
  const LaunchedProcess process = launch(shell("read line")).value();
  EXPECT_EQ(::getpgid(process.pid), process.pid);
  EXPECT_EQ(process.start_time, shm::process_start_time(process.pid));
  EXPECT_NE(process.start_time, 0u);
  wait_for_end(process);
}

TEST(Launcher, HoldsNoDescriptorButItsSocketAndTheStandardOnes) {
  const shm::UniqueFd inheritable(::dup(0));  // not close-on-exec
  // Asks for each by name: listing the folder would open one.
  const LaunchOrder order{
      "/bin/sh",
      {"-c", "echo $1:; for n in $(seq 0 99); do [ -e /proc/$$/fd/$n ] && echo $n; done; true",
       "sh", kSocketPlace},
      "/",
      {}};
  const std::string output = output_of(order);
  const std::string socket = output.substr(0, output.find(':'));
  EXPECT_EQ(output, socket + ":\n0\n1\n2\n" + socket + "\n");
}

TEST(Launcher, TheSocketReachesTheOtherEnd) {
  const LaunchOrder order{"/usr/bin/python3",
                          {"-c",
                           "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); "
                           "s.send(s.recv(100).upper())",
                           kSocketPlace},
                          "/",
                          {}};
  const LaunchedProcess process = launch(order).value();
  ASSERT_EQ(::send(process.socket.get(), "hello", 5, MSG_NOSIGNAL), 5);
  char answer[100];
  ASSERT_EQ(::recv(process.socket.get(), answer, sizeof(answer), 0), 5);
  EXPECT_EQ(std::string(answer, 5), "HELLO");
  EXPECT_EQ(wait_for_end(process), 0);
}

TEST(Launcher, NoSignalIsBlockedOrIgnored) {
  sigset_t blocked;
  sigset_t before;
  ::sigfillset(&blocked);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  ::signal(SIGUSR1, SIG_IGN);
  const std::string output =
      output_of({"grep", {"-E", "^Sig(Blk|Ign)", "/proc/self/status"}, "/", {}});
  ::signal(SIGUSR1, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  EXPECT_EQ(output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Launcher, AProgramThatCannotRunIsAnErrorAndLeavesNoProcess) {
  for (const char* program : {"/no/such/program", "no-such-program-on-path", "/etc/passwd"}) {
    const Result<LaunchedProcess> process = launch({program, {}, "/", {}});
    EXPECT_EQ(process.error().code, ErrorCode::kInvalidArgument) << program;
    EXPECT_THAT(process.error().message, HasSubstr(program));
    EXPECT_FALSE(has_children()) << program;
  }
}

TEST(Launcher, AFolderThatIsNotThereEndsTheProcessWithAReason) {
  LaunchOrder order = shell("true");
  order.directory = "/no/such/folder";
  const LaunchedProcess process = launch(order).value();
  EXPECT_THAT(read_all(process.error_output), HasSubstr("/no/such/folder"));
  EXPECT_EQ(describe_wait_status(wait_for_end(process)), "exited with status 126");
}

TEST(ProcessWatch, ReapingEndsWhatIsLeftOfTheGroup) {
  const LaunchedProcess process = launch(shell("sleep 1000 & echo $!")).value();
  pollfd waited{process.pidfd.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waited, 1, 60'000), 1);
  EXPECT_EQ(reap_group(process.pidfd.get(), process.pid), 0);
  // The sleeping one holds the other end until it is gone: this returns only then.
  const std::string orphan = read_all(process.output);
  EXPECT_GT(std::stoi(orphan), 1);
}

TEST(ProcessWatch, TellsHowAProcessEnded) {
  const LaunchedProcess process = launch(shell("kill -9 $$")).value();
  EXPECT_EQ(describe_wait_status(wait_for_end(process)), "was killed by signal 9 (Killed)");
}

TEST(ProcessWatch, KnowsNoProcessThatIsNotThere) {
  EXPECT_EQ(shm::open_pidfd(0x3FFFFF00).error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_EQ(shm::process_start_time(0x3FFFFF00), 0u);
}

}  // namespace
}  // namespace slotring::supervisor
