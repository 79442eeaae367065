// Workers that are forked from a template.

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"
#include "tests/support/temporary_folder.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
import random, re, resource, signal, threading

@slotring.handler
def leave(request):
    print("last words", file=sys.stderr, flush=True)
    os._exit(7)

@slotring.handler
def say(request):
    print("said by a worker", flush=True)
    return request

@slotring.handler
def chance(request):
    return repr(random.random())

@slotring.handler
def state(request):
    def descriptor(number):
        try:
            return re.sub(r"\d+", "", os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            return None
    with open("/proc/self/status") as status:
        signals = [line for line in status if re.match("Sig(Blk|Ign|Cgt)|Umask|Cpus_allowed|NoNewPrivs", line)]
    held = sorted(filter(None, map(descriptor, os.listdir("/proc/self/fd"))))
    with open("/proc/self/oom_score_adj") as adjustment:
        oom = adjustment.read()
    return "\n".join(str(part) for part in (
        os.getpgid(0) == os.getpid(), os.getsid(0) == os.getppid(), os.getcwd(), signals, held, oom,
        resource.getrlimit(resource.RLIMIT_NOFILE), sorted(os.environ.items()), sys.path,
        [re.sub(r"^\d+$", "N", word) for word in sys.argv], sys.flags, len(os.listdir("/proc/self/task")),
        [t.name for t in threading.enumerate()], signal.getsignal(signal.SIGINT)))
)";

// What is imported before the fork. Each import leaves a line in `imports`.
constexpr std::string_view kPreloaded = R"(
import os, pathlib, sys, threading, time
folder = pathlib.Path(os.environ["SLOTRING_TEST_FOLDER"])
with open(folder / "imports", "a") as imports:
    print(os.getpid(), file=imports)
)";

// A pool whose template imports the module `preloaded`, which is this text.
class TemplatePool {
 public:
  explicit TemplatePool(std::string_view preloaded = "", std::string_view keys = "")
      : pool_(kModule, (write_file(folder_.file("preloaded.py"),
                                   std::string(kPreloaded) + std::string(preloaded)),
                        keys_for(folder_) + std::string(keys))) {}

  SupervisedPool* operator->() { return &pool_; }

  // The pids of the templates that there were.
  std::vector<pid_t> templates() const {
    std::istringstream lines(read_file(pool_.path("imports")));
    return {std::istream_iterator<pid_t>(lines), {}};
  }

 private:
  static std::string keys_for(const TemporaryFolder& folder) {
    return "python_path = [\".\", \"" + folder.path() +
           "\"]\nstart = \"template\"\npreload = [\"preloaded\"]\nrestart_delay_s = 0.01\n"
           "restart_delay_max_s = 0.05\n";
  }

  TemporaryFolder folder_;
  SupervisedPool pool_;
};

// A zombie's environment is empty.
bool has_ended(pid_t pid) { return read_file("/proc/" + std::to_string(pid) + "/environ").empty(); }

// Kills the worker; returns its successor's pid.
pid_t replace_worker(Client& client) {
  const pid_t worker = SupervisedPool::worker_of(client);
  ::kill(worker, SIGKILL);
  // A call that it was still given to serve is lost with it.
  EXPECT_TRUE(eventually([&] { return client.call("echo", "").ok(); }));
  const pid_t successor = SupervisedPool::worker_of(client);
  EXPECT_NE(successor, worker);
  return successor;
}

TEST(Template, AKilledWorkerIsReplacedWithoutAnotherImport) {
  TemplatePool pool;
  Client client = pool->attach();
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
  const pid_t worker = SupervisedPool::worker_of(client);
  replace_worker(client);
  EXPECT_THAT(pool.templates(), ::testing::SizeIs(1));
  ASSERT_TRUE(client.call("say", "").ok());
  EXPECT_TRUE(pool->logs("said by a worker"));
  EXPECT_THAT(pool->log(),
              HasSubstr("[" + std::to_string(worker) + "]: was killed by signal 9 (Killed)"));
  EXPECT_EQ(pool->stop_supervisor(SIGTERM), 0);
  EXPECT_THAT(pool->log(), ::testing::ContainsRegex("template\\[[0-9]+\\]: exited with status 0"));
}

TEST(Template, AWorkerThatExitsInACallSaysHowAndItsLastWords) {
  TemplatePool pool;
  Client client = pool->attach();
  const Error error = client.call("leave", "").error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerLost);
  EXPECT_THAT(error.message, HasSubstr("exited with status 7"));
  EXPECT_THAT(error.traceback, HasSubstr("last words"));
}

TEST(Template, AForkedWorkerIsLikeALaunchedOne) {
  TemporaryFolder folder;
  std::string states[2];
  for (int forked = 0; forked < 2; ++forked) {
    SupervisedPool pool(kModule, forked ? "start = \"template\"\n" : "");
    Client client = pool.attach();
    states[forked] = std::string(client.call("state", "").value().text());
    // The folders of the two pools differ.
    const std::string own = std::filesystem::path(pool.socket()).parent_path();
    for (std::size_t at; (at = states[forked].find(own)) != std::string::npos;) {
      states[forked].replace(at, own.size(), "FOLDER");
    }
  }
  EXPECT_EQ(states[0], states[1]);
}

TEST(Template, WorkersDoNotDrawTheSameRandomNumbers) {
  TemplatePool pool(R"(
import random, types
random.random()
numpy_random = types.ModuleType("numpy.random")
numpy_random.seed = lambda: (folder / "numpy_reseeded").touch()
sys.modules["numpy.random"] = numpy_random
)");
  Client client = pool->attach();
  const std::string first(client.call("chance", "").value().text());
  replace_worker(client);
  EXPECT_NE(client.call("chance", "").value().text(), first);
  EXPECT_TRUE(pool->has("numpy_reseeded"));
}

TEST(Template, AKilledTemplateIsReplacedAndItsWorkersServeOn) {
  TemplatePool pool;
  Client client = pool->attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  ::kill(pool.templates().at(0), SIGKILL);
  EXPECT_TRUE(eventually([&] { return pool.templates().size() == 2; }));
  EXPECT_EQ(SupervisedPool::worker_of(client), worker);
  replace_worker(client);
}

TEST(Template, AStoppedTemplateIsGivenUpForAnother) {
  TemplatePool pool("", std::string("crash_loop_deaths = 0\nstart_timeout_s = ") +
                            (kInstrumented ? "3\n" : "1.5\n"));
  Client client = pool->attach();
  ASSERT_TRUE(client.call("echo", "").ok());
  ::kill(pool.templates().at(0), SIGSTOP);
  replace_worker(client);
  EXPECT_TRUE(pool->logs("did not fork for too long"));
  EXPECT_TRUE(has_ended(pool.templates().at(0)));
}

TEST(Template, AThreadInItIsNamedAndNoWorkerIsForked) {
  TemplatePool pool("threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n",
                    "crash_loop_deaths = 2\n");
  Client client = pool->attach();
  const Error error = client.call("echo", "").error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(pool->logs("(started while 'preloaded' was imported)"));
  EXPECT_TRUE(pool->logs("no more restarts"));
}

TEST(Template, AModuleThatCannotBeImportedIsNamedWithoutARestartStorm) {
  TemplatePool pool("import no_such_module\n", "crash_loop_deaths = 3\nworkers = 2\n");
  Client client = pool->attach();
  EXPECT_EQ(client.call("echo", "").error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_TRUE(pool->logs("cannot import 'preloaded', of `preload`: ModuleNotFoundError: "));
  EXPECT_LE(pool.templates().size(), 6u) << "three for each worker, at most";
}

TEST(Template, TheNextSupervisorHasATemplateOfItsOwn) {
  TemplatePool pool;
  Client client = pool->attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  pool->stop_supervisor(SIGKILL);
  EXPECT_TRUE(eventually([&] { return has_ended(pool.templates().at(0)); }));
  EXPECT_EQ(client.call("echo", "alone").value().text(), "alone");
  pool->start_supervisor();
  EXPECT_TRUE(eventually([&] { return pool.templates().size() == 2; }));
  EXPECT_EQ(SupervisedPool::worker_of(client), worker) << "it was taken over";
  replace_worker(client);
}

TEST(Template, AnUpgradedSupervisorHasReapedItAndStartsAnother) {
  TemplatePool pool;
  Client client = pool->attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  const Finished upgraded = run({command_program(), "upgrade", pool->socket()});
  EXPECT_EQ(upgraded.status, 0) << upgraded.err;
  EXPECT_TRUE(eventually([&] { return pool.templates().size() == 2; }));
  EXPECT_FALSE(std::filesystem::exists("/proc/" + std::to_string(pool.templates().at(0))));
  EXPECT_EQ(SupervisedPool::worker_of(client), worker);
  replace_worker(client);
}

TEST(Template, ALazyPoolHasNoneBeforeSomebodyClaims) {
  TemplatePool pool("", "lazy = true\nprofile = \"threads\"\n");
  Client client = pool->attach();
  EXPECT_THAT(pool.templates(), ::testing::IsEmpty());
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
  EXPECT_THAT(pool.templates(), ::testing::SizeIs(1));
}

}  // namespace
}  // namespace slotring::testing
