// A real pool for end-to-end tests: slotring-supervisor with Python workers, in its own folder.
//
//     SupervisedPool pool;
//     Client client = pool.attach();
//     client.call("echo", "hello");
//
// Its workers serve `echo` and `block`, which tells pool.is_blocking() and returns b"done" after
// pool.unblock(), and what the test's own module text adds. That can wait for the test and tell it
// things through files: pool.path("name"), in Python `folder / "name"`. At its end the pool is
// stopped, and the test fails when a process of it is left.

#ifndef SLOTRING_TESTS_SUPPORT_SUPERVISED_POOL_H_
#define SLOTRING_TESTS_SUPPORT_SUPERVISED_POOL_H_

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "slotring/client.h"
#include "tests/support/effort.h"

namespace slotring::testing {

struct Finished {
  int status = -1;  // exit status; 128 + the signal's number when killed
  std::string out;
  std::string err;
};
// Runs a program to its end, with `input` to read.
Finished run(const std::vector<std::string>& command, std::string_view input = "");

std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view text);

// Starts a program, its output going into a file. Returns its pid.
pid_t start(const std::vector<std::string>& command, const std::string& output_file);

class SupervisedPool {
 public:
  // `module` is Python that the worker's module holds besides. `keys` are lines of the pool's table
  // beyond module and socket. `launcher` are words before the supervisor's own command, of a
  // program that becomes it.
  explicit SupervisedPool(std::string_view module = "", std::string_view keys = "",
                          std::vector<std::string> launcher = {});
  ~SupervisedPool();

  Client attach() const;
  std::string socket() const { return path("pool.sock"); }
  std::string path(std::string_view name) const { return folder_ + "/" + std::string(name); }
  bool has(std::string_view name) const;
  bool is_blocking() const { return has("blocking"); }
  void unblock() const;
  std::string log() const { return read_file(path("log")); }
  // Whether the supervisor logs this, which it does on a thread of its own.
  bool logs(std::string_view text) const {
    return eventually([&] { return log().find(text) != std::string::npos; });
  }
  pid_t supervisor() const { return supervisor_; }

  void start_supervisor();
  // Sends `signal` and returns how the supervisor ended, as Finished::status.
  int stop_supervisor(int signal);

  // The pids of living processes of this pool: those with its folder in their environment.
  std::vector<pid_t> processes() const;
  // The worker's pid, as `ping` tells it.
  static pid_t worker_of(Client& client);

 private:
  std::vector<std::string> launcher_;
  std::string folder_;
  pid_t supervisor_ = 0;
};

// Entries of a pool's `env` table that an instrumented extension needs; none without sanitizers.
std::string sanitizer_environment();

// The path of a program that was built beside the tests.
std::string supervisor_program();
std::string command_program();

}  // namespace slotring::testing

#endif  // SLOTRING_TESTS_SUPPORT_SUPERVISED_POOL_H_
