// Programs that outlive every process: clients create, execute, list and delete programs in their
// sessions while workers are killed at random; everything that was acknowledged is found
// afterwards, also by a new supervisor with new workers.
//
//     programs_demo SUPERVISOR FOLDER [CLIENTS [SESSIONS [STEPS [SEED]]]]
//
// SUPERVISOR is the program slotring-supervisor, FOLDER the one with programs.toml and
// demo_programs.py; they are copied, and the pool's files are in a folder of their own that is
// removed in the end. CLIENTS processes (4) with SESSIONS sessions each (25) take STEPS steps
// (400).

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <slotring/client.h>
#include <slotring/programs.h>

#include "client_work.h"
#include "demo_programs.h"
#include "ledger.h"
#include "pool_processes.h"

namespace {

using namespace programs_demo;
namespace fs = std::filesystem;

struct Plan {
  std::string supervisor;
  std::string folder;
  int clients = 4;
  int sessions = 25;
  int steps = 400;
  std::uint64_t seed = 0;
};

void wait_until(const std::string& what, const std::function<bool()>& happened) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!happened()) {
    expect(std::chrono::steady_clock::now() < give_up, "waited in vain for " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

// The pool: a supervisor and its workers, in a folder of their own.
class Pool {
 public:
  explicit Pool(const Plan& plan) : supervisor_program_(plan.supervisor) {
    std::string name = (fs::temp_directory_path() / "programs.XXXXXX").string();
    expect(::mkdtemp(name.data()) != nullptr, "there is no folder for the pool");
    folder_ = name;
    for (const char* file : {"programs.toml", "demo_programs.py"}) {
      fs::copy_file(fs::path(plan.folder) / file, folder_ / file);
    }
    start_supervisor();
  }
  ~Pool() {
    kill_everything();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  std::string socket() const { return (folder_ / "programs.sock").string(); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string log() const {
    std::ifstream file(path("log"));
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  void start_supervisor() {
    supervisor_ = start({supervisor_program_, "--config", path("programs.toml")}, path("log"));
  }
  // Waits for the supervisor.
  slotring::Client attach() const {
    std::optional<slotring::Result<slotring::Client>> client;
    wait_until("the supervisor", [&] {
      client.emplace(slotring::Client::attach(socket(), {.name = "programs_demo"}));
      return client->ok() || !client->error().retryable;
    });
    return std::move(*client).value();
  }
  bool kill_a_worker(std::mt19937_64& random) const {
    const std::vector<pid_t> workers = children_of(supervisor_);
    return !workers.empty() && ::kill(workers[random() % workers.size()], SIGKILL) == 0;
  }
  void kill_everything() {
    if (supervisor_ == 0) return;
    ::kill(supervisor_, SIGSTOP);  // so that it starts no more of them
    const std::vector<pid_t> workers = children_of(supervisor_);
    ::kill(supervisor_, SIGKILL);
    (void)wait_for(supervisor_);
    supervisor_ = 0;
    for (const pid_t worker : workers) ::kill(worker, SIGKILL);
    for (const pid_t worker : workers) {
      wait_until("a worker's end", [&] { return !is_alive(worker); });
    }
  }

 private:
  std::string supervisor_program_;
  fs::path folder_;
  pid_t supervisor_ = 0;
};

// Runs in a client process: tells the parent of each step through `progress`.
int run_client(const std::vector<std::string>& words) {
  const ClientWork plan{words.at(0), std::stoi(words.at(1)), std::stoi(words.at(2)),
                        std::stoi(words.at(3)), std::stoull(words.at(4))};
  const int progress = std::stoi(words.at(5));
  do_work(plan, [&] {
    expect(::write(progress, ".", 1) == 1, "nobody follows the progress");
  }).write(words.at(6));
  return 0;
}

// Kills a worker after so many steps of all clients, 5 to 25, until the clients have ended.
int kill_workers(const Pool& pool, int progress, std::mt19937_64& random) {
  int killed = 0;
  std::uint64_t left = 5;
  for (char steps[64];;) {
    const ssize_t count = ::read(progress, steps, sizeof(steps));
    expect(count >= 0, "cannot read the progress");
    if (count == 0) return killed;
    if (left > static_cast<std::uint64_t>(count)) {
      left -= static_cast<std::uint64_t>(count);
      continue;
    }
    if (pool.kill_a_worker(random)) ++killed;
    left = 5 + random() % 21;
  }
}

std::vector<Ledger> run_clients(const Plan& plan, const Pool& pool) {
  int progress[2];
  expect(::pipe(progress) == 0, "there is no pipe");
  (void)::fcntl(progress[0], F_SETFD, FD_CLOEXEC);
  std::vector<pid_t> clients;
  for (int i = 0; i < plan.clients; ++i) {
    clients.push_back(
        start({"/proc/self/exe", "client", pool.socket(), std::to_string(i),
               std::to_string(plan.sessions), std::to_string(plan.steps), std::to_string(plan.seed),
               std::to_string(progress[1]), pool.path("ledger-" + std::to_string(i))}));
  }
  ::close(progress[1]);
  std::mt19937_64 random(plan.seed ^ 0x6b696c6c);
  const int killed = kill_workers(pool, progress[0], random);
  ::close(progress[0]);
  for (const pid_t client : clients) {
    expect(wait_for(client) == 0, "a client has failed");
  }
  expect(killed > 0, "no worker was killed: too few steps");
  std::printf("ok: %d clients with %d sessions each, while %d workers were killed\n", plan.clients,
              plan.sessions, killed);
  std::vector<Ledger> ledgers;
  for (int i = 0; i < plan.clients; ++i) {
    ledgers.push_back(Ledger::read(pool.path("ledger-" + std::to_string(i))));
  }
  return ledgers;
}

void check_statistics(const slotring::Client& client, const std::vector<Ledger>& ledgers) {
  Ledger truth;
  for (const Ledger& ledger : ledgers) truth.add(ledger);
  std::uint64_t calls = 0;
  const slotring::PoolStatistics statistics = client.statistics();
  for (const auto& [method, counts] : truth.calls) {
    const slotring::CallFigures* found = nullptr;
    for (const slotring::MethodFigures& row : statistics.methods) {
      if (row.method == method) found = &row.figures;
    }
    expect(found != nullptr, "the pool has counted no call of " + method);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      expect(found->ended[i] == counts[i], method + ": the pool has counted " +
                                               std::to_string(found->ended[i]) +
                                               " calls of category " + std::to_string(i) +
                                               ", the clients " + std::to_string(counts[i]));
      calls += counts[i];
    }
  }
  std::printf("ok: the pool's statistics are the clients' own: %llu calls of %zu methods\n",
              static_cast<unsigned long long>(calls), truth.calls.size());
}

slotring::ProgramDefinition global_program() { return definition_of("everybody's add", "add"); }

void check_global_program(slotring::Client& client) {
  slotring::Programs programs(client);
  const slotring::Execution done =
      programs.execute_program("everybody's add", inputs_of("add", 4)).value();
  expect_outputs("add", 4, done.outputs);
  expect(done.scope == slotring::ProgramScope::kGlobal,
         "execute_program took another program for the global one");
}

void delete_global_program(slotring::Client& client) {
  slotring::Programs programs(client);
  expect(programs.delete_global_program("everybody's add").value().ok(),
         "a worker did not delete the global program");
  expect(programs.list_programs().value().empty(), "a deleted global program is listed");
}

// The commands that no session's work asks for.
void check_commands_of_workers(slotring::Client& client) {
  slotring::Programs programs(client);
  const auto configured = programs.configure_lm({.model = "openai/none"}).value();
  expect(configured.ok() && !configured.workers.empty(), "configure_lm failed in a worker");
  const auto statistics = programs.get_stats().value();
  expect(statistics.model == "openai/none" && statistics.global_programs == 1 &&
             statistics.uptime.count() > 0 &&
             statistics.dspy_available == programs.ping().value().dspy_available,
         "get_stats tells something else");
  const slotring::Error refused = client.call("configure_lm", slotring::Payload()).error();
  expect(refused.code == slotring::ErrorCode::kBroadcastOnly, "configure_lm took a plain call");
  (void)programs.cleanup().value();
  slotring::Programs session(client, "a passing guest");
  (void)session.create_program(global_program()).value();
  slotring::ProgramDefinition predictor;
  predictor.name = "predictor";
  predictor.type = "dspy";
  predictor.signature = {{"question: str"}, {"answer: str"}, ""};
  const auto made = session.create_program(predictor);
  expect(statistics.dspy_available
             ? made.ok()
             : !made.ok() && made.error().code == slotring::ErrorCode::kDependencyMissing,
         "a program of DSPy without DSPy ended with something else");
  if (made) (void)session.delete_program("predictor").value();
  expect(session.reset_state().value().programs == 1, "reset_state counts wrongly");
  expect(session.cleanup_session().value().programs == 0, "cleanup_session counts wrongly");
  expect(programs.shutdown().value() > 0, "shutdown tells no pid");
  std::printf("ok: configure_lm, get_stats, cleanup, reset_state, cleanup_session, shutdown\n");
}

void run(const Plan& plan) {
  Pool pool(plan);
  try {
    std::vector<Ledger> ledgers;
    {
      slotring::Client client = pool.attach();
      slotring::Programs programs(client);
      const auto created = programs.create_global_program(global_program()).value();
      expect(created.ok(), "a worker cannot make the global program");
      ledgers = run_clients(plan, pool);
      check_statistics(client, ledgers);
      check_global_program(client);
      check_commands_of_workers(client);
    }
    pool.kill_everything();
    pool.start_supervisor();
    slotring::Client client = pool.attach();
    std::size_t count = 0;
    for (const Ledger& ledger : ledgers) {
      check(pool.socket(), ledger);
      for (const auto& [name, truth] : ledger.sessions) count += truth.programs.size();
    }
    check_global_program(client);
    delete_global_program(client);
    std::printf("ok: %zu programs are there after everything was killed and started again\n",
                count);
  } catch (...) {
    std::fputs(pool.log().c_str(), stderr);
    throw;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (!words.empty() && words[0] == "client") {
      return run_client({words.begin() + 1, words.end()});
    }
    if (words.size() < 2 || words.size() > 6) {
      std::fprintf(stderr,
                   "usage: programs_demo SUPERVISOR FOLDER [CLIENTS [SESSIONS [STEPS [SEED]]]]\n");
      return 2;
    }
    Plan plan{words[0], words[1]};
    if (words.size() > 2) plan.clients = std::stoi(words[2]);
    if (words.size() > 3) plan.sessions = std::stoi(words[3]);
    if (words.size() > 4) plan.steps = std::stoi(words[4]);
    plan.seed = words.size() > 5 ? std::stoull(words[5]) : std::random_device{}();
    std::printf("repeat with the seed %llu\n", static_cast<unsigned long long>(plan.seed));
    std::fflush(stdout);
    run(plan);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "programs_demo: %s\n", failure.what());
    return 1;
  }
}
