#include "client_lib/call_statistics.h"

#include <fcntl.h>

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "slotring/client.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"
#include "tests/support/local_supervisor.h"
#include "tests/support/session_state.h"

namespace slotring {
namespace {

using internal::read_statistics;
using testing::LocalPool;
using testing::LocalSupervisor;
using namespace std::chrono_literals;

// By ErrorCategory.
using Ended = std::array<std::uint64_t, 16>;
Ended ended(std::initializer_list<std::pair<ErrorCategory, std::uint64_t>> counts) {
  Ended all{};
  for (const auto& [category, count] : counts) all[static_cast<std::size_t>(category)] = count;
  return all;
}

// Fails each call whose payload is the number of an error, and echoes the others.
class FailingWorker {
 public:
  explicit FailingWorker(const LocalPool& pool) : thread_(pool, answer) {}

 private:
  static void answer(shm::WorkerSeat& seat, const shm::RunningCall& call) {
    const std::string text = testing::text_of(call);
    const int code = std::atoi(text.c_str());
    if (code == 0) {
      testing::EchoWorker::echo(seat, call);
    } else {
      seat.fail(call, Error{static_cast<ErrorCode>(code), "as it was asked"});
    }
  }

  testing::SeatThread thread_;
};

class CallStatisticsTest : public ::testing::Test {
 protected:
  CallStatisticsTest() {
    pool_.publish_all();
    pool_.intern("echo");
    pool_.intern("other");
  }

  Client attach() { return Client::attach(supervisor_.path()).value(); }
  CallFigures figures(std::string_view method = "echo") {
    for (const MethodFigures& of : read_statistics(pool_.segment()).methods) {
      if (of.method == method) return of.figures;
    }
    return {};
  }
  // The index of the category that a call ends with.
  static std::size_t outcome_of(Client& client, std::string_view text) {
    const Result<Reply> reply = client.call("echo", text);
    return static_cast<std::size_t>(reply ? ErrorCategory::kNone : reply.error().category());
  }
  // Calls through a client of the test's own making, at any place.
  void call(internal::ClientCore& client, std::string_view text, std::string_view method = "echo") {
    Lease lease = testing::submit(client, text, shm::kNever, method).value();
    (void)lease.wait().ok();
  }

  LocalPool pool_{testing::session_geometry(4)};
  LocalSupervisor supervisor_{pool_};
};

TEST_F(CallStatisticsTest, CountsRepliesAndErrorsByTheirKind) {
  const FailingWorker worker(pool_);
  Client client = attach();
  for (const char* text : {"good", "good", "300", "301", "1101", "600"}) {
    (void)client.call("echo", text).ok();
  }
  EXPECT_EQ(figures().calls, 6u);
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kNone, 2},
                                    {ErrorCategory::kHandler, 2},
                                    {ErrorCategory::kSession, 1},
                                    {ErrorCategory::kWorker, 1}}));
  EXPECT_EQ(client.statistics().methods.size(), 1u);
}

TEST_F(CallStatisticsTest, CountsEachMethodForItself) {
  const FailingWorker worker(pool_);
  Client client = attach();
  for (const char* method : {"echo", "other", "other", "unheard of"}) {
    (void)client.call(method, "good").ok();
  }
  EXPECT_EQ(figures("echo").calls, 1u);
  EXPECT_EQ(figures("other").calls, 2u);
  EXPECT_EQ(figures("").calls, 1u);
}

TEST_F(CallStatisticsTest, CountsMethodsPastTheLastRowTogether) {
  while (pool_.segment().header().method_count.load() < layout::kStatsMethods) {
    pool_.intern("m" + std::to_string(pool_.segment().header().method_count.load() + 1));
  }
  const FailingWorker worker(pool_);
  Client client = attach();
  (void)client.call("m127", "good").ok();
  (void)client.call("m128", "good").ok();
  EXPECT_EQ(figures("m127").calls, 1u);
  EXPECT_EQ(figures("").calls, 1u);
}

TEST_F(CallStatisticsTest, CountsCallsThatNeverGotASlot) {
  Client client = attach();
  const std::unique_ptr<internal::ClientCore> other = pool_.client(9);
  std::vector<Lease> all;
  for (int i = 0; i < 4; ++i) all.push_back(other->claim(shm::kNever).value());
  (void)client.call("echo", "late", {.timeout = 1ms}).ok();
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kTimeout, 1}}));
  (void)client.claim({.timeout = 1ms}).ok();
  EXPECT_EQ(figures("").ended, ended({{ErrorCategory::kTimeout, 1}}));
}

TEST_F(CallStatisticsTest, CountsCallsThatEndBeforeTheyAreSent) {
  Client client = attach();
  (void)client.call("echo", std::string(1 << 20, 'x')).ok();
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kInvalid, 1}}));
}

TEST_F(CallStatisticsTest, CountsCallsThatNobodyAnswers) {
  Client client = attach();
  (void)client.call("echo", "hello", {.timeout = 1ms}).ok();
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kTimeout, 1}}));
}

TEST_F(CallStatisticsTest, CountsACallOnceThatWasSentAgain) {
  Client client = attach();
  std::thread caller([&] { (void)client.call("echo", "hello").ok(); });
  const auto requested = [&] {
    return pool_.state(0) == shm::SlotState::kRequested ||
           pool_.state(1) == shm::SlotState::kRequested;
  };
  EXPECT_TRUE(testing::eventually(requested));
  // Its worker leaves for good, and there is no other: the second try ends the call.
  pool_.set_seat(0, layout::SeatState::kRetired);
  shm::reclaim_worker(pool_.pool(), 0, 1, /*retired=*/true);
  caller.join();
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kWorker, 1}}));
}

TEST_F(CallStatisticsTest, CountsLeasesWhenTheirWaitEnds) {
  const FailingWorker worker(pool_);
  Client client = attach();
  for (const char* text : {"good", "300"}) {
    Lease lease = client.claim().value();
    std::memcpy(lease.request(3)->data(), text, 3);
    (void)lease.submit("echo", PayloadKind::kBytes, 3).ok();
    EXPECT_EQ(figures().calls, text[0] == 'g' ? 0u : 1u);
    (void)lease.wait().ok();
  }
  EXPECT_EQ(figures().ended, ended({{ErrorCategory::kNone, 1}, {ErrorCategory::kHandler, 1}}));
  client.claim()->release();
  EXPECT_EQ(figures("").calls, 0u) << "nothing was called";
}

TEST_F(CallStatisticsTest, MeasuresFromTheClaimToTheEnd) {
  Client client = attach();
  (void)client.call("echo", "hello", {.timeout = 20ms}).ok();
  EXPECT_GE(figures().mean, 20ms);
  EXPECT_GE(figures().longest, 20ms);
  EXPECT_GE(figures().p50, 15ms);
}

TEST_F(CallStatisticsTest, SumsOverAllClients) {
  const FailingWorker worker(pool_);
  for (std::uint32_t place : {0u, 3u, 15u}) call(*pool_.client(place), "good");
  EXPECT_EQ(figures().calls, 3u) << "and keeps what those have counted that left";
}

TEST_F(CallStatisticsTest, GoesOnCountingAtAPlaceThatIsTakenAgain) {
  const FailingWorker worker(pool_);
  for (int i = 0; i < 3; ++i) call(*pool_.client(5), "good");
  EXPECT_EQ(figures().calls, 3u);
}

TEST_F(CallStatisticsTest, CountsAtAPlaceWhosePagesAreSaidToBeThereAndAreNot) {
  const FailingWorker worker(pool_);
  pool_.segment().client(5).stats_pages.store(~std::uint64_t{0});
  call(*pool_.client(5), "good");
  EXPECT_EQ(figures().calls, 1u);
}

TEST_F(CallStatisticsTest, EqualsWhatManyThreadsOfTwoClientsCounted) {
  const FailingWorker worker(pool_);
  Client client = attach();
  const std::unique_ptr<internal::ClientCore> other = pool_.client(7);
  std::array<std::atomic<std::uint64_t>, 16> truth{};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&, t] {
      static constexpr const char* kTexts[] = {"good", "300", "1102", "0", "100"};
      for (int i = 0; i < testing::effort(500); ++i) {
        ++truth[outcome_of(client, kTexts[(i + t) % 5])];
        call(*other, "good", "other");
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  const CallFigures seen = figures();
  for (std::size_t kind = 0; kind < truth.size(); ++kind) {
    EXPECT_EQ(seen.ended[kind], truth[kind].load()) << kind;
  }
  EXPECT_EQ(figures("other").calls, static_cast<std::uint64_t>(4 * testing::effort(500)));
}

TEST_F(CallStatisticsTest, CountsTheCallsOfASession) {
  const FailingWorker worker(pool_);
  Client client = attach();
  Session session = client.session("a");
  for (const char* text : {"good", "good", "300"}) (void)session.call("echo", text).ok();
  (void)session.call("echo", std::string(1 << 20, 'x')).ok();
  (void)client.call("echo", "good").ok();
  const SessionInfo info = session.info().value();
  EXPECT_EQ(info.calls, 4u);
  EXPECT_EQ(info.errors, 2u);
  EXPECT_EQ(figures().calls, 5u);
}

TEST_F(CallStatisticsTest, IsReadByAnObserverWhichBacksNothing) {
  const FailingWorker worker(pool_);
  for (std::uint32_t place : {0u, 3u}) call(*pool_.client(place), "good");
  const shm::UniqueFd& memory = pool_.segment().memory();
  const shm::ControlSegment observed =
      shm::ControlSegment::open(shm::reopen_read_only(memory).value(), pool_.segment().geometry(),
                                shm::Access::kReadOnly)
          .value();
  const std::uint64_t before = shm::backed_bytes(memory);
  const PoolStatistics seen = read_statistics(observed);
  EXPECT_EQ(seen.methods.at(0).figures.calls, 2u);
  EXPECT_EQ(shm::backed_bytes(memory), before);
}

TEST_F(CallStatisticsTest, ShowsWhatWorkersCountForThemselves) {
  internal::count_call(pool_.segment().seat_stats(0), ErrorCategory::kNone, 1'000'000);
  const PoolStatistics seen = read_statistics(pool_.segment());
  ASSERT_EQ(seen.workers.size(), 1u);
  EXPECT_EQ(seen.workers[0].worker, 0u);
  EXPECT_EQ(seen.workers[0].figures.mean, 1ms);
}

TEST_F(CallStatisticsTest, EstimatesPercentilesWithinAQuarter) {
  layout::CallStats& stats = pool_.segment().seat_stats(0);
  for (int i = 1; i <= 1000; ++i) {
    internal::count_call(stats, ErrorCategory::kNone, static_cast<std::uint64_t>(i) * 10'000);
  }
  const CallFigures seen = read_statistics(pool_.segment()).workers.at(0).figures;
  const auto near = [](std::chrono::nanoseconds seen_ns, std::chrono::nanoseconds truth) {
    return seen_ns >= truth * 3 / 4 && seen_ns <= truth * 5 / 4;
  };
  EXPECT_EQ(seen.mean, 5005us);
  EXPECT_TRUE(near(seen.p50, 5ms)) << seen.p50.count();
  EXPECT_TRUE(near(seen.p90, 9ms)) << seen.p90.count();
  EXPECT_TRUE(near(seen.p99, 9900us)) << seen.p99.count();
  EXPECT_GE(seen.longest, 10ms);
}

TEST_F(CallStatisticsTest, TellsOfCallsPastASecondByTheirMean) {
  layout::CallStats& stats = pool_.segment().seat_stats(0);
  for (int i = 0; i < 97; ++i) internal::count_call(stats, ErrorCategory::kNone, 1'000'000);
  for (int i = 0; i < 3; ++i) internal::count_call(stats, ErrorCategory::kNone, 6'000'000'000);
  const CallFigures seen = read_statistics(pool_.segment()).workers.at(0).figures;
  EXPECT_GE(seen.p99, 4'500ms);
  EXPECT_LE(seen.p99, 9s);
  EXPECT_GE(seen.longest, 6s);
  EXPECT_LE(seen.p90, 2ms);
}

TEST_F(CallStatisticsTest, BoundsWhatAPeerMayHaveWritten) {
  layout::CallStats& stats = pool_.segment().seat_stats(0);
  internal::count_call(stats, ErrorCategory::kNone, 6'000'000'000);
  for (const std::uint64_t lie : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    stats.total_ns.store(lie);
    const CallFigures seen = read_statistics(pool_.segment()).workers.at(0).figures;
    EXPECT_GE(seen.longest, 1s);
    EXPECT_LE(seen.longest, 24h * 365);
  }
}

TEST_F(CallStatisticsTest, CountsAnErrorOfAKindThatThereIsNone) {
  const FailingWorker worker(pool_);
  Client client = attach();
  EXPECT_FALSE(client.call("echo", "9999").ok());
  EXPECT_EQ(figures().errors(), 1u);
}

}  // namespace
}  // namespace slotring
