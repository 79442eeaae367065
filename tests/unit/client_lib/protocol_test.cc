// The whole protocol as threads on one mapping: many clients and workers, random deadlines and
// cancels. Each call has one outcome, runs at most once, and what its outcome says is true; at the
// end every slot is free.

#include <array>
#include <atomic>
#include <charconv>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/random_source.h"

namespace slotring {
namespace {

using testing::EchoWorker;
using testing::effort;
using testing::LocalPool;
using testing::RandomSource;

constexpr std::uint32_t kWorkers = 2;
constexpr std::uint32_t kClients = 3;
constexpr std::uint32_t kThreadsAClient = 2;
constexpr std::uint32_t kCallers = kClients * kThreadsAClient;
const auto kCallsACaller = static_cast<std::uint32_t>(effort(8000));

std::uint32_t number_in(std::span<const std::byte> payload) {
  const auto* text = reinterpret_cast<const char*>(payload.data());
  std::uint32_t number = 0;
  std::from_chars(text, text + payload.size(), number);
  return number;
}

class Protocol : public ::testing::Test {
 protected:
  Protocol() : runs_(kCallers * kCallsACaller) {
    pool_.publish_all();
    pool_.intern("echo");
  }

  // One call, numbered, whose text says so. Ended by its reply, its deadline, or its release.
  void call(internal::ClientCore& client, std::uint32_t number, RandomSource& random) {
    const std::string text = std::to_string(number) + std::string(random.below(300), '.');
    const bool hurried = random.one_in(4);
    const shm::MonotonicNs deadline =
        hurried ? shm::monotonic_now() + random.below(60'000) : shm::kNever;
    Result<Lease> lease = testing::submit(client, text, deadline);
    if (!lease) return check_unsent(lease.error(), number);
    if (random.one_in(8)) return lease->release();  // cancelled: it may run or not
    const Result<ReplyView> reply = lease->wait();
    if (!reply) return check_error(reply.error(), number);
    EXPECT_EQ(testing::text_of(*reply), text);
    EXPECT_EQ(runs_[number].load(), 1);
    ++replies_;
  }
  void check_unsent(const Error& error, std::uint32_t number) {
    EXPECT_TRUE(error.code == ErrorCode::kPoolSaturated ||
                error.code == ErrorCode::kDeadlineExceeded)
        << error.to_string();
    EXPECT_EQ(runs_[number].load(), 0);
  }
  void check_error(const Error& error, std::uint32_t number) {
    if (error.code == ErrorCode::kHandlerRaised) {
      EXPECT_EQ(error.message, "call " + std::to_string(number));
      EXPECT_EQ(runs_[number].load(), 1);
      return;
    }
    EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded) << error.to_string();
    EXPECT_TRUE(!error.retryable || runs_[number].load() == 0) << "retryable, but it ran";
  }

  void serve(shm::WorkerSeat& seat, RandomSource& random) {
    while (!stop_.load()) {
      while (const auto call = seat.try_next()) handle(seat, *call, random);
      seat.wait(shm::kNever);
    }
  }
  void handle(shm::WorkerSeat& seat, const shm::RunningCall& call, RandomSource& random) {
    const std::uint32_t number = number_in(call.payload);
    EXPECT_EQ(runs_[number].fetch_add(1), 0) << "run twice";
    for (std::uint32_t pause = random.below(20); pause > 16; --pause) std::this_thread::yield();
    if (random.one_in(16)) {
      seat.fail(call, Error{ErrorCode::kHandlerRaised, "call " + std::to_string(number)});
    } else {
      EchoWorker::echo(seat, call);
    }
  }

  void run_callers(std::array<std::unique_ptr<internal::ClientCore>, kClients>& clients) {
    std::vector<std::thread> callers;
    for (std::uint32_t caller = 0; caller < kCallers; ++caller) {
      callers.emplace_back([&, caller] {
        RandomSource random(caller);
        internal::ClientCore& client = *clients[caller % kClients];
        for (std::uint32_t i = 0; i < kCallsACaller; ++i) {
          call(client, caller * kCallsACaller + i, random);
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
  void run() {
    std::array<std::unique_ptr<internal::ClientCore>, kClients> clients;
    for (std::uint32_t i = 0; i < kClients; ++i) clients[i] = pool_.client(i);
    std::vector<shm::WorkerSeat> seats;
    for (std::uint32_t i = 0; i < kWorkers; ++i) seats.push_back(pool_.worker(i));
    std::vector<std::thread> workers;
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
      workers.emplace_back([&, i] {
        RandomSource random(100 + i);
        serve(seats[i], random);
      });
    }
    run_callers(clients);
    stop_.store(true);
    for (shm::WorkerSeat& seat : seats) seat.interrupt();
    for (std::thread& worker : workers) worker.join();
  }
  void expect_whole_pool() {
    for (std::uint32_t seat = 0; seat < kWorkers; ++seat) {
      EXPECT_EQ(pool_.segment().busy_slots(seat), 0u);
    }
    EXPECT_EQ(pool_.pool().line().count_waiting(), 0u);
    std::uint32_t claimable = 0;
    while (pool_.pool().try_claim(0)) ++claimable;
    EXPECT_EQ(claimable, pool_.segment().geometry().slots()) << "listed, and each once";
  }

  LocalPool pool_{testing::small_geometry(kWorkers, 2)};
  std::vector<std::atomic<int>> runs_;
  std::atomic<std::uint32_t> replies_{0};
  std::atomic<bool> stop_{false};
};

TEST_F(Protocol, GivesEveryCallOneOutcomeAndEverySlotBack) {
  run();
  expect_whole_pool();
  EXPECT_GT(replies_.load(), kCallers * kCallsACaller / 4);
}

}  // namespace
}  // namespace slotring
