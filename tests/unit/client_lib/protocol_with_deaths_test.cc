// The whole protocol between real processes, of which clients and workers are killed at random, and
// reclaimed by this one as by a supervisor. Each call of a client that lives has one outcome, no
// call is answered by another's reply, and in the end every slot comes back.

#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using layout::SeatState;
using testing::ChildProcess;
using testing::EchoWorker;
using testing::effort;
using testing::LocalPool;
using testing::RandomSource;

constexpr std::uint32_t kWorkers = 2;
constexpr std::uint16_t kClients = 3;

// What the processes tell this one.
struct Counters {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> replies{0};
  std::atomic<std::uint64_t> lost{0};
};

class ProtocolWithDeaths : public ::testing::Test {
 protected:
  ProtocolWithDeaths()
      : memory_(::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        counters_(new (memory_) Counters) {
    for (shm::SeatIndex seat = 0; seat < kWorkers; ++seat) start_worker(seat);
    for (std::uint16_t client = 0; client < kClients; ++client) start_client(client);
  }
  ~ProtocolWithDeaths() override {
    workers_.clear();
    clients_.clear();
    ::munmap(memory_, sizeof(Counters));
  }

  // As a worker: echoes for ever.
  void start_worker(shm::SeatIndex seat) {
    workers_[seat] = std::make_unique<ChildProcess>([this, seat] {
      shm::WorkerSeat mine = pool_.worker(seat);
      for (;;) {
        while (auto call = mine.try_next()) EchoWorker::echo(mine, *call);
        mine.wait(shm::kNever);
      }
      return true;
    });
    pool_.publish(seat, ++generations_[seat]);
  }
  // As a client: calls until told to stop, with a text that is its own.
  void start_client(std::uint16_t index) {
    const std::uint64_t life = ++lives_;
    clients_[index] = std::make_unique<ChildProcess>([this, index, life] {
      const auto client = pool_.client(index);
      RandomSource random(life);
      bool good = true;
      for (std::uint64_t call = 0; good && !counters_->stop.load(); ++call) {
        good = call_once(*client, std::to_string(life) + ":" + std::to_string(call), random);
      }
      return good;
    });
  }
  bool call_once(internal::ClientCore& client, const std::string& text, RandomSource& random) {
    const shm::MonotonicNs deadline =
        random.one_in(8) ? shm::monotonic_now() + random.below(50'000) : shm::kNever;
    Result<Lease> lease = testing::submit(client, text, deadline);
    if (!lease) return is_expected(lease.error());
    if (random.one_in(16)) return lease->release(), true;
    const Result<ReplyView> reply = lease->wait();
    if (!reply) return is_expected(reply.error());
    ++counters_->replies;
    return testing::text_of(*reply) == text;
  }
  bool is_expected(const Error& error) {
    if (error.code == ErrorCode::kWorkerLost) ++counters_->lost;
    const bool expected = error.code == ErrorCode::kWorkerLost ||
                          error.code == ErrorCode::kDeadlineExceeded ||
                          error.code == ErrorCode::kPoolSaturated;
    if (!expected) std::fprintf(stderr, "a client got %s\n", error.to_string().c_str());
    return expected;
  }

  // As the supervisor.
  void mourn_worker(shm::SeatIndex seat) {
    const int status = workers_[seat]->join();
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself";
    pool_.set_seat(seat, SeatState::kLost, generations_[seat]);
    shm::write_obituary(pool_.segment(), seat, generations_[seat], 1, status, "");
    shm::reclaim_worker(pool_.pool(), seat, generations_[seat], /*retired=*/false);
  }
  void kill_somebody(RandomSource& random) {
    if (random.one_in(2)) {
      const shm::SeatIndex seat = random.below(kWorkers);
      workers_[seat]->kill();
      mourn_worker(seat);
      start_worker(seat);
    } else {
      const auto index = static_cast<std::uint16_t>(random.below(kClients));
      clients_[index]->kill();
      const int status = clients_[index]->join();
      EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself";
      shm::reclaim_client(pool_.pool(), index);
      start_client(index);
    }
  }
  // Lets calls go on until so many more were answered, auditing as the supervisor does.
  bool await_replies(std::uint64_t more) {
    const std::uint64_t enough = counters_->replies.load() + more;
    return testing::eventually([&] {
      shm::audit_waiters(pool_.pool());
      return counters_->replies.load() >= enough;
    });
  }
  void stop_clients() {
    counters_->stop.store(true);
    for (auto& client : clients_) EXPECT_TRUE(client->succeeded());
    for (std::uint16_t client = 0; client < kClients; ++client) {
      shm::reclaim_client(pool_.pool(), client);
    }
  }
  void expect_whole_pool() {
    for (shm::SeatIndex seat = 0; seat < kWorkers; ++seat) {
      EXPECT_EQ(pool_.segment().busy_slots(seat), 0u);
      pool_.publish(seat, ++generations_[seat]);
    }
    std::uint32_t claimable = 0;
    while (pool_.pool().try_claim(0)) ++claimable;
    EXPECT_EQ(claimable, pool_.segment().geometry().slots());
    EXPECT_EQ(pool_.pool().line().count_waiting(), 0u);
  }

  LocalPool pool_{testing::small_geometry(kWorkers, 2)};
  void* memory_;
  Counters* counters_;
  std::uint64_t lives_ = 0;
  std::vector<std::uint32_t> generations_ = std::vector<std::uint32_t>(kWorkers, 0);
  std::vector<std::unique_ptr<ChildProcess>> workers_{kWorkers};
  std::vector<std::unique_ptr<ChildProcess>> clients_{kClients};
};

TEST_F(ProtocolWithDeaths, LosesNoSlotAndMixesNoRepliesUp) {
  RandomSource random;
  for (int death = 0; death < effort(300) && !HasFailure(); ++death) {
    EXPECT_TRUE(await_replies(1 + random.below(40))) << "nobody gets on";
    kill_somebody(random);
  }
  EXPECT_TRUE(await_replies(100)) << "nobody gets on";
  stop_clients();
  for (shm::SeatIndex seat = 0; seat < kWorkers; ++seat) {
    workers_[seat]->kill();
    mourn_worker(seat);
  }
  expect_whole_pool();
  RecordProperty("lost", static_cast<int>(counters_->lost.load()));
}

}  // namespace
}  // namespace slotring
