// Callers and servers as processes on one mapping, of which some are killed or stopped at random
// moments, with this one as their reaper. The histories, with operations that nobody returned from
// and with the reaper's steps, must be linearizable.

#include <sys/mman.h>
#include <sys/wait.h>

#include <memory>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "tests/linearizability/checker.h"
#include "tests/linearizability/real_pool.h"
#include "tests/linearizability/script.h"
#include "tests/support/child_process.h"
#include "tests/support/effort.h"

namespace slotring::linearizability {
namespace {

using layout::SeatState;
using testing::ChildProcess;
using testing::effort;
using testing::RandomSource;

constexpr std::uint32_t kSeats = 2;
constexpr std::uint32_t kSlotsPerSeat = 1;
constexpr std::uint16_t kCallers = 3;
constexpr std::size_t kLogs = 16;  // of callers, of servers, and of their successors

struct Shared {
  std::atomic<std::uint32_t> waiting{0};
  std::atomic<bool> started{false};
  std::atomic<std::uint32_t> called{0};
  Recorder logs[kLogs];
};

struct Process {
  std::unique_ptr<ChildProcess> child;
  std::uint16_t actor = 0;
  std::size_t log = 0;
  bool calls = false;  // else it serves
  bool dead = false;
};

class LinearizabilityOfProcesses : public ::testing::Test {
 protected:
  LinearizabilityOfProcesses()
      : memory_(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) {}
  ~LinearizabilityOfProcesses() override { ::munmap(memory_, sizeof(Shared)); }

  Process& start(bool calls, std::uint16_t actor) {
    Process process;
    process.actor = actor;
    process.log = processes_.size();
    process.calls = calls;
    shared_->logs[process.log].clear(actor, static_cast<std::uint16_t>(process.log));
    process.child = std::make_unique<ChildProcess>([this, calls, actor, log = process.log,
                                                    stream = random_.word()] {
      RandomSource random(stream);
      calls ? call(actor, shared_->logs[log], random) : serve(actor, shared_->logs[log], random);
      return true;
    });
    processes_.push_back(std::move(process));
    return processes_.back();
  }
  void await_start() {
    ++shared_->waiting;
    while (!shared_->started.load()) ::sched_yield();
  }
  void call(std::uint16_t client, Recorder& log, RandomSource& random) {
    const std::unique_ptr<Caller> caller = pool_.caller(client);
    await_start();
    run_caller(*caller, log, random, /*rounds=*/3, (client + 1u) * 1000u);
    ++shared_->called;
  }
  [[noreturn]] void serve(std::uint16_t seat, Recorder& log, RandomSource& random) {
    const std::unique_ptr<Server> server = pool_.server(seat);
    await_start();
    for (;;) {
      while (serve_once(*server, log, random)) {
      }
      server->wait();
    }
  }

  // What the supervisor does for a dead process, each slot's step an operation of the history.
  void bury(Process& process) {
    process.child->kill();
    const int status = process.child->join();
    process.dead = true;
    shared_->logs[process.log].append_to(history_, shm::monotonic_now());
    const std::uint64_t called = shm::monotonic_now();
    if (process.calls) {
      shm::reclaim_client(pool_.local().pool(), process.actor);
    } else {
      pool_.local().set_seat(process.actor, SeatState::kLost, generations_[process.actor]);
      shm::write_obituary(pool_.local().segment(), process.actor, generations_[process.actor], 1,
                          status, "");
      shm::reclaim_worker(pool_.local().pool(), process.actor, generations_[process.actor], false);
    }
    const std::uint64_t returned = shm::monotonic_now();
    for (std::uint32_t slot = 0; slot < kSeats * kSlotsPerSeat; ++slot) {
      Operation step;
      step.kind = process.calls ? Kind::kReclaimClient : Kind::kReclaimWorker;
      step.outcome = Outcome::kDone;
      step.actor = process.actor;
      step.thread = kLogs;
      step.slot = slot;
      step.called = called;
      step.returned = returned;
      history_.push_back(step);
    }
  }
  void disturb_somebody() {
    const std::size_t victim = random_.below(processes_.size());
    if (processes_[victim].dead) return;
    const pid_t pid = processes_[victim].child->pid();
    if (random_.one_in(3)) {
      ::kill(pid, SIGSTOP);
      for (std::uint32_t i = random_.below(20); i > 0; --i) ::sched_yield();
      ::kill(pid, SIGCONT);
    } else if (deaths_ < 2) {
      ++deaths_;
      bury(processes_[victim]);
      if (!processes_[victim].calls) succeed(processes_[victim].actor);
    }
  }
  void succeed(std::uint16_t seat) {
    start(/*calls=*/false, seat);
    pool_.local().publish(seat, ++generations_[seat]);
  }
  std::uint32_t callers_left() const {
    std::uint32_t left = 0;
    for (const Process& process : processes_) left += process.calls && !process.dead;
    return left;
  }

  // One history, from idle to idle.
  void run() {
    shared_ = new (memory_) Shared;
    processes_.clear();
    history_.clear();
    deaths_ = 0;
    for (std::uint16_t i = 0; i < kCallers; ++i) start(/*calls=*/true, i);
    for (std::uint16_t i = 0; i < kSeats; ++i) start(/*calls=*/false, i);
    ASSERT_TRUE(testing::eventually([&] { return shared_->waiting.load() == processes_.size(); }));
    shared_->started.store(true);
    for (std::uint32_t i = random_.below(4); i > 0; --i) {
      for (std::uint32_t steps = random_.below(random_.one_in(2) ? 8 : 60); steps > 0; --steps)
        ::sched_yield();
      disturb_somebody();
    }
    // Callers that were killed after their last operation count twice, which does no harm.
    EXPECT_TRUE(testing::eventually([&] {
      shm::audit_waiters(pool_.local().pool());
      return shared_->called.load() >= callers_left();
    })) << "somebody waits for ever";
    for (Process& process : processes_) {
      if (!process.dead) bury(process);
    }
    pool_.local().publish(0, ++generations_[0]);
    pool_.local().publish(1, ++generations_[1]);
    pool_.expect_idle();
  }

  void* memory_;
  Shared* shared_ = nullptr;
  RandomSource random_;
  RealPool pool_{kSeats, kSlotsPerSeat};
  std::vector<std::uint32_t> generations_ = std::vector<std::uint32_t>(kSeats, 1);
  std::vector<Process> processes_;
  History history_;
  int deaths_ = 0;
};

TEST_F(LinearizabilityOfProcesses, HoldsThroughDeathsAndPauses) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "TSan sees nothing across processes";
#endif
  std::size_t operations = 0, without_outcome = 0, deaths = 0;
  const int histories = effort(2000);
  for (int i = 0; i < histories && !HasFailure(); ++i) {
    const SequentialPool initial(pool_.generations(), kSlotsPerSeat);
    run();
    ASSERT_TRUE(Checker(initial, history_).linearizable())
        << "history " << i << ":\n"
        << to_string(smallest_violation(initial, history_));
    operations += history_.size();
    deaths += static_cast<std::size_t>(deaths_);
    for (const Operation& op : history_) without_outcome += !op.has_outcome();
  }
  std::printf("%d histories, %zu operations, %zu deaths, %zu operations without outcome\n",
              histories, operations, deaths, without_outcome);
}

}  // namespace
}  // namespace slotring::linearizability
