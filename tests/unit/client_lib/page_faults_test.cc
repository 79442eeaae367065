// What a call costs of the kernel's work on pages, once its slot is warm: nothing, on either side.

#include <sys/resource.h>

#include <cstring>

#include <gtest/gtest.h>

#include "tests/support/child_process.h"
#include "tests/support/effort.h"
#include "tests/support/local_pool.h"

namespace slotring {
namespace {

using shm::kNever;
using testing::ChildProcess;
using testing::LocalPool;

constexpr std::uint64_t kKept = 1 << 20;
constexpr int kWarmUps = 20;
constexpr int kCalls = 200;
// Of the processes' own: a call that faulted would add up to at least kCalls.
constexpr std::int64_t kFew = kCalls / 4;

layout::Geometry geometry() {
  layout::Geometry large = testing::small_geometry();
  large.area_bytes = 4 << 20;
  large.kept_bytes = kKept;
  return large;
}

std::int64_t page_faults() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return used.ru_minflt + used.ru_majflt;
}

struct Faults {
  std::int64_t of_client = page_faults();
  std::int64_t of_worker = 0;
};

// A worker in a process of its own, which counts its page faults.
class PageFaults : public ::testing::TestWithParam<std::size_t> {
 protected:
  PageFaults() {
    pool_.publish_all();
    pool_.intern("echo");
  }
  void SetUp() override {
    if (testing::kThreadSanitizer) GTEST_SKIP() << "TSan's own memory faults, too";
  }

  void serve() const {
    shm::WorkerSeat seat = pool_.worker();
    for (;;) {
      while (const auto call = seat.try_next()) reply_in_place(seat, *call);
      seat.wait(kNever);
    }
  }
  // With its faults so far, and then as many bytes as it was sent, all of which it has read.
  static void reply_in_place(shm::WorkerSeat& seat, const shm::RunningCall& call) {
    const std::span<std::byte> space = seat.reply_space(call, call.payload.size()).value();
    std::memcpy(space.data(), call.payload.data(), space.size());
    const std::int64_t faults = page_faults();
    std::memcpy(space.data(), &faults, sizeof(faults));
    (void)seat.reply(call, call.head.kind, space.size()).ok();
  }
  // The faults before the call's end.
  Faults call_in_place(std::size_t bytes) {
    Lease lease = client_->claim(kNever).value();
    const std::span<std::byte> space = lease.request(bytes).value();
    std::memset(space.data(), 1, bytes);
    EXPECT_TRUE(lease.submit("echo", PayloadKind::kBytes, bytes).ok());
    const ReplyView reply = lease.wait().value();
    EXPECT_EQ(reply.bytes.back(), std::byte{1});
    std::memcpy(copy_.data(), reply.bytes.data(), bytes);
    Faults faults;
    std::memcpy(&faults.of_worker, copy_.data(), sizeof(faults.of_worker));
    return faults;
  }

  LocalPool pool_{geometry()};
  std::unique_ptr<internal::ClientCore> client_ = pool_.client();
  std::vector<std::byte> copy_ = std::vector<std::byte>(4 << 20);
  ChildProcess worker_{[this] {
    serve();
    return false;
  }};
};

TEST_P(PageFaults, DoNotComeWithCallsThatFitIntoWhatIsKept) {
  for (int i = 0; i < kWarmUps; ++i) (void)call_in_place(GetParam());
  const Faults before = call_in_place(GetParam());
  Faults after;
  for (int i = 0; i < kCalls; ++i) after = call_in_place(GetParam());
  EXPECT_LT(after.of_client - before.of_client, kFew);
  EXPECT_LT(after.of_worker - before.of_worker, kFew);
}

INSTANTIATE_TEST_SUITE_P(OfSizes, PageFaults,
                         ::testing::Values(64, 100'000, kKept - layout::kPayloadOffset));

// What is given back after each call has to be had again for the next.
TEST_F(PageFaults, ComeWithCallsThatDoNotFit) {
  constexpr std::size_t kBytes = 2 * kKept;
  for (int i = 0; i < kWarmUps; ++i) (void)call_in_place(kBytes);
  const Faults before = call_in_place(kBytes);
  Faults after;
  for (int i = 0; i < kCalls; ++i) after = call_in_place(kBytes);
  EXPECT_GT(after.of_client - before.of_client, kFew);
  EXPECT_GT(after.of_worker - before.of_worker, kFew);
}

// Each mapping of the same memory has its faults once.
TEST_F(PageFaults, DoNotComeWithALaterClientsCallsEither) {
  for (int i = 0; i < kWarmUps; ++i) (void)call_in_place(100'000);
  const std::int64_t before = call_in_place(100'000).of_worker;
  for (std::uint32_t i = 1; i < 4; ++i) {
    client_ = pool_.client(i);
    for (int call = 0; call < kCalls / 4; ++call) (void)call_in_place(100'000);
  }
  EXPECT_LT(call_in_place(100'000).of_worker - before, kFew);
}

}  // namespace
}  // namespace slotring
