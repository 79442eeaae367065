// What pools of this kind have got wrong before, each as a test: see docs/migration.md. What other
// tests hold already is not repeated here: a request that no worker started by its deadline
// (calls_test.cc), prints and raw bytes with nobody to read them (tests/python/test_output.py),
// frames and messages of every bad form (frame_corruption_test.cc, tests/fuzz).

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/attachment.h"
#include "schemas/area_layout.h"
#include "tests/support/child_process.h"
#include "tests/support/count_of.h"
#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// --- claims while workers start ---------------------------------------------------------------

constexpr int kStarting = 4;
constexpr std::string_view kStartsWhenTold = R"(
for number in range(4):
    try:
        os.close(os.open(folder / f"worker-{number}", os.O_CREAT | os.O_EXCL))
        break
    except FileExistsError:
        pass
wait_for(f"start-{number}")
)";

// What the processes that claim have seen so far.
struct Tally {
  std::atomic<int> ended{0};
  std::atomic<int> claimed{0};
  std::atomic<int> timed_out{0};
  std::atomic<int> cancelled{0};
  std::atomic<bool> all_ready{false};
};

class SharedTally {
 public:
  SharedTally()
      : memory_(::mmap(nullptr, sizeof(Tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {
    new (memory_) Tally;
  }
  SharedTally(const SharedTally&) = delete;
  SharedTally& operator=(const SharedTally&) = delete;
  ~SharedTally() { ::munmap(memory_, sizeof(Tally)); }

  Tally& operator*() const { return *static_cast<Tally*>(memory_); }
  Tally* operator->() const { return static_cast<Tally*>(memory_); }

 private:
  void* memory_;
};

// One claim with a short deadline, or that another thread cancels; every other one is then a call.
void claim_once(Client& client, int number, Tally& tally) {
  std::stop_source stop;
  std::thread canceller;
  CallOptions options{.timeout = microseconds(number % 7 * 500)};
  if (number % 2 == 0) {
    options = {.timeout = minutes(1), .stop = stop.get_token()};
    canceller = std::thread([&] { stop.request_stop(); });
  }
  std::optional<Error> error;
  if (number % 3 == 0) {
    const std::string text = std::to_string(number);
    const Result<Reply> reply = client.call("echo", text, options);
    if (reply) {
      EXPECT_EQ(reply->text(), text);
    } else {
      error = reply.error();
    }
  } else if (const Result<Lease> lease = client.claim(options); !lease) {
    error = lease.error();
  }
  if (canceller.joinable()) canceller.join();
  if (!error) {
    ++tally.claimed;
  } else if (error->code == ErrorCode::kCancelled) {
    ++tally.cancelled;
  } else if (error->code == ErrorCode::kDeadlineExceeded) {
    ++tally.timed_out;
  } else {
    ADD_FAILURE() << error->to_string();
  }
  ++tally.ended;
}

TEST(Lessons, AThousandClaimsAndCancelsWhileWorkersStartLoseNoSlotAndTimeOutsStillFire) {
  constexpr int kClients = 4;
  constexpr int kClaims = 250;
  SupervisedPool pool(kStartsWhenTold, "workers = 4\nslots_per_worker = 2\n");
  const SharedTally tally;
  std::vector<ChildProcess> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&] {
      Client client = pool.attach();
      for (int n = 0; n < kClaims || !tally->all_ready; ++n) claim_once(client, n, *tally);
      return true;
    });
  }
  // One worker after the other may go on, while all clients claim.
  for (int worker = 0; worker < kStarting; ++worker) {
    ASSERT_TRUE(eventually([&] { return tally->ended.load() >= 200 * (worker + 1); }));
    if (worker == 0) {
      EXPECT_EQ(tally->claimed.load(), 0);
    }
    write_file(pool.path("start-" + std::to_string(worker)), "");
  }
  EXPECT_TRUE(pool.logs("ready: 4 workers"));
  tally->all_ready = true;
  for (ChildProcess& client : clients) EXPECT_TRUE(client.succeeded());
  EXPECT_GE(tally->ended.load(), kClients * kClaims);
  EXPECT_GT(tally->timed_out.load(), 0);
  EXPECT_GT(tally->cancelled.load(), 0);

  // Each slot is to be had, once; who comes then is told when the time is over, or cancelled.
  Client client = pool.attach();
  std::vector<Lease> leases;
  for (int slot = 0; slot < kStarting * 2; ++slot) {
    Result<Lease> lease = client.claim();
    ASSERT_TRUE(lease.ok()) << "slot " << slot << ": " << lease.error().to_string();
    leases.push_back(*std::move(lease));
  }
  EXPECT_EQ(client.claim({.timeout = milliseconds(5)}).error().code, ErrorCode::kDeadlineExceeded);
  std::stop_source stop;
  std::optional<Error> cancelled;
  std::thread waiting(
      [&] { cancelled = client.claim({.timeout = kNoTimeout, .stop = stop.get_token()}).error(); });
  stop.request_stop();
  waiting.join();
  EXPECT_EQ(cancelled->code, ErrorCode::kCancelled);
  leases.clear();
  EXPECT_EQ(client.call("echo", "well").value().text(), "well");
}

// --- output -----------------------------------------------------------------------------------

constexpr std::string_view kNoise = R"(
import ctypes, select

# The pipe never blocks, so that a supervisor that is stopped stops nobody: who writes more than it
# holds waits for room.
def wait_for_room(fd):
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll()

def write_raw(fd, data):
    while data:
        wait_for_room(fd)
        data = data[os.write(fd, data):]

def make_noise(where):
    for fd in (1, 2):
        write_raw(fd, bytes(range(256)) * 20)
        write_raw(fd, b"\x00\x00\x00\x10{\"id\": 1}")    # as a frame of a bridge over stdio began
        write_raw(fd, b"x" * 200_000)                  # a line with no end
        write_raw(fd, f"\nnoise in {where} to {fd}\n".encode())
    c = ctypes.CDLL(None)
    wait_for_room(1)
    c.printf(f"printed by C in {where}\n".encode())
    c.fflush(None)
    print("printed by Python", "y" * 100_000)
    print("\udcff is no UTF-8", file=sys.stderr)

make_noise("import")

@slotring.setup
def set_up():
    make_noise("set-up")

@slotring.handler
def noisy(request):
    make_noise("a call")
    return request
)";

TEST(Lessons, WhateverAWorkerWritesToItsOutputDisturbsNothing) {
  SupervisedPool pool(kNoise);
  Client client = pool.attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  for (int i = 0; i < 10; ++i) {
    const std::string text = "call " + std::to_string(i);
    EXPECT_EQ(client.call("noisy", text).value().text(), text);
    EXPECT_EQ(client.call("echo", text).value().text(), text);
  }
  EXPECT_EQ(SupervisedPool::worker_of(client), worker);
  for (const std::string place : {"import", "set-up", "a call"}) {
    EXPECT_TRUE(pool.logs("noise in " + place + " to 1"));
    EXPECT_TRUE(pool.logs("noise in " + place + " to 2"));
    EXPECT_TRUE(pool.logs("printed by C in " + place));
  }
}

// --- starts -----------------------------------------------------------------------------------

TEST(Lessons, WorkersSetUpAllAtOnceAndNotOneAfterAnother) {
  // Each set-up ends when all four have begun: one after another, none would.
  SupervisedPool pool(R"(
@slotring.setup
def meet():
    (folder / f"in-set-up-{os.getpid()}").touch()
    while len(list(folder.glob("in-set-up-*"))) < 4:
        time.sleep(0.002)
)",
                      "workers = 4\n");
  EXPECT_TRUE(pool.logs("ready: 4 workers"));
  EXPECT_EQ(count_of(pool.log(), "started, generation 1"), 4u) << pool.log();
  EXPECT_THAT(pool.log(), Not(HasSubstr("generation 2")));
}

TEST(Lessons, AWorkerThatCannotImportIsReportedAtItsFirstStartAndStartedAFewTimesOnly) {
  constexpr std::size_t kWorkers = 2;
  constexpr std::size_t kStarts = 3;
  SupervisedPool pool(R"(
with open(folder / "starts", "a") as starts:
    starts.write("a start\n")
import no_such_module
)",
                      "workers = 2\nrestart_delay_s = 0.01\ncrash_loop_deaths = 3\n");
  Client client = pool.attach();
  // The caller is told as soon as no worker is left to hope for, long before its deadline.
  const Error error = client.call("echo", "", {.timeout = kNoTimeout}).error();
  EXPECT_EQ(error.code, ErrorCode::kWorkerUnavailable);
  const auto starts = [&] { return count_of(read_file(pool.path("starts")), "a start"); };
  EXPECT_EQ(starts(), kWorkers * kStarts);
  EXPECT_TRUE(eventually(
      [&] { return count_of(pool.log(), "started, generation") == kWorkers * kStarts; }));
  EXPECT_LT(pool.log().find("No module named 'no_such_module'"),
            pool.log().find("started, generation 2"));
  EXPECT_EQ(client.call("echo", "").error().code, ErrorCode::kWorkerUnavailable);
  EXPECT_EQ(pool.stop_supervisor(SIGTERM), 0);
  EXPECT_EQ(starts(), kWorkers * kStarts) << "nobody tries again";
}

// --- bad frames -------------------------------------------------------------------------------

// Writes over the descriptor of the request that holds `text`, as no client does.
void spoil_request(const SupervisedPool& pool, std::string_view text) {
  const shm::UniqueFd connection = shm::connect_to(pool.socket()).value();
  const shm::Attachment joined = shm::attach(connection.get(), wire::Role::Client, "hostile",
                                             shm::monotonic_now() + 60'000'000'000)
                                     .value();
  int spoiled = 0;
  for (std::uint32_t slot = 0; slot < joined.segment->geometry().slots(); ++slot) {
    std::byte* area = joined.requests->area(slot);
    const std::string_view payload(reinterpret_cast<const char*>(area + layout::kPayloadOffset),
                                   text.size());
    if (payload != text) continue;
    layout::FrameDescriptor& described = reinterpret_cast<layout::AreaHeader*>(area)->first;
    described.envelope_at.store(0xFFFF'FFFF, std::memory_order_relaxed);
    ++spoiled;
  }
  EXPECT_EQ(spoiled, 1);
}

TEST(Lessons, ABadFrameFailsItsOwnCallAndNoOther) {
  SupervisedPool pool;
  Client client = pool.attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  std::thread running([&] { EXPECT_EQ(client.call("block", "").value().text(), "done"); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  // Queued behind the running call, where the second is spoiled.
  std::vector<Lease> queued;
  for (const std::string_view text : {"the first", "the second", "the third"}) {
    Lease lease = client.claim().value();
    std::memcpy(lease.request(text.size()).value().data(), text.data(), text.size());
    ASSERT_TRUE(lease.submit("echo", PayloadKind::kBytes, text.size()));
    queued.push_back(std::move(lease));
  }
  spoil_request(pool, "the second");
  pool.unblock();
  running.join();
  const auto reply_of = [](Lease& lease) {
    const ReplyView reply = lease.wait().value();
    return std::string(reinterpret_cast<const char*>(reply.bytes.data()), reply.bytes.size());
  };
  EXPECT_EQ(reply_of(queued[0]), "the first");
  EXPECT_EQ(queued[1].wait().error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(reply_of(queued[2]), "the third");
  queued.clear();
  // A payload that is no value.
  const std::vector<std::uint8_t> garbage(100, 0xFF);
  EXPECT_EQ(client.call("echo", Payload::value(garbage)).error().code, ErrorCode::kBadFrame);
  EXPECT_EQ(SupervisedPool::worker_of(client), worker);
}

// --- deadlines --------------------------------------------------------------------------------

TEST(Lessons, TheTimeThatACallerWaitsForASlotCountsAgainstItsDeadline) {
  constexpr std::uint64_t kTimeoutNs = 60'000'000'000;
  SupervisedPool pool(R"(
@slotring.handler
def deadline(request, ctx):
    now = time.monotonic()
    return f"{now + ctx.remaining_s:.9f}".encode()
)",
                      "slots_per_worker = 1\n");
  Client client = pool.attach();
  std::thread running([&] { EXPECT_TRUE(client.call("block", "", {.timeout = kNoTimeout}).ok()); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  std::string reply;
  std::thread waiting([&] {
    reply = client.call("deadline", "", {.timeout = std::chrono::nanoseconds(kTimeoutNs)})
                .value()
                .text();
  });
  ASSERT_TRUE(eventually([&] {
    const std::string status = run({command_program(), "status", "--pool", pool.socket()}).out;
    return status.find("1 waiting caller") != std::string::npos;
  }));
  const std::uint64_t waits_since = shm::monotonic_now();
  pool.unblock();
  running.join();
  waiting.join();
  const double deadline_ns = std::stod(reply) * 1e9;
  EXPECT_LE(deadline_ns, static_cast<double>(waits_since + kTimeoutNs));
  // And it fires there, for one who waits in line.
  const Lease only = client.claim().value();
  const Error late = client.call("echo", "", {.timeout = milliseconds(10)}).error();
  EXPECT_EQ(late.code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(late.retryable) << "nothing has run";
}

// --- two pools of one name --------------------------------------------------------------------

TEST(Lessons, TwoPoolsOfOneNameInTwoFoldersNeverMeet) {
  constexpr std::string_view kModule = R"(
@slotring.handler
def where(request):
    return str(folder).encode()
)";
  SupervisedPool one(kModule, "workers = 2\n");
  std::optional<SupervisedPool> other(std::in_place, kModule, "workers = 2\n");
  Client of_one = one.attach();
  Client of_other = other->attach();
  EXPECT_EQ(of_one.pool(), of_other.pool());
  const auto where = [](Client& client) {
    return std::string(client.call("where", "").value().text());
  };
  ASSERT_TRUE(one.logs("ready: 2 workers") && other->logs("ready: 2 workers"));
  const std::vector<pid_t> workers = one.processes();
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(where(of_one) + "/pool.sock", one.socket());
    EXPECT_EQ(where(of_other) + "/pool.sock", other->socket());
  }
  // One's death and end are nothing to the other.
  other->stop_supervisor(SIGKILL);
  other->start_supervisor();
  EXPECT_TRUE(other->logs("took over 2 workers"));
  EXPECT_EQ(where(of_other) + "/pool.sock", other->socket());
  of_other = one.attach();
  other.reset();
  EXPECT_EQ(where(of_one) + "/pool.sock", one.socket());
  EXPECT_EQ(one.processes(), workers);
}

// --- the end ----------------------------------------------------------------------------------

TEST(Lessons, AStopWaitsForTheRealExitOfEveryWorker) {
  SupervisedPool pool(R"(
import subprocess

@slotring.setup
def set_up():
    global child
    child = subprocess.Popen(["/bin/sleep", "1000"])

@slotring.teardown
def tear_down():
    (folder / f"tears-down-{os.getpid()}").touch()
    wait_for("torn")
    child.kill()
    child.wait()
)",
                      "workers = 2\nstop_timeout_s = 60\ndrain_timeout_s = 60\n");
  ASSERT_TRUE(pool.logs("ready: 2 workers"));
  const std::vector<pid_t> processes = pool.processes();
  ASSERT_EQ(processes.size(), 4u) << "two workers with a child each";
  const pid_t supervisor = pool.supervisor();
  ::kill(supervisor, SIGTERM);
  for (const pid_t pid : processes) {
    const std::string comm = read_file("/proc/" + std::to_string(pid) + "/comm");
    if (comm == "sleep\n") continue;
    EXPECT_TRUE(eventually([&] { return pool.has("tears-down-" + std::to_string(pid)); }));
  }
  siginfo_t ended{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(supervisor), &ended, WEXITED | WNOHANG | WNOWAIT), 0);
  EXPECT_EQ(ended.si_pid, 0) << "the supervisor has left its workers";
  EXPECT_EQ(pool.processes(), processes);
  write_file(pool.path("torn"), "");
  ASSERT_TRUE(eventually([&] {
    ::waitid(P_PID, static_cast<id_t>(supervisor), &ended, WEXITED | WNOHANG | WNOWAIT);
    return ended.si_pid == supervisor;
  }));
  EXPECT_THAT(pool.processes(), ElementsAre()) << "at once, not soon";
  EXPECT_EQ(ended.si_status, 0);
  EXPECT_FALSE(pool.has("pool.sock"));
}

}  // namespace
}  // namespace slotring::testing
