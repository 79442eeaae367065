// When there is no memory: who needs it is told, nobody else is disturbed, and the same call
// succeeds once there is memory again.

#include <unistd.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/lane.h"
#include "tests/support/local_pool.h"
#include "tests/support/shortage.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Beyond what is backed by memory for the pool's life.
const std::string kLarge(1 << 20, 'l');
constexpr std::string_view kModule = R"(
@slotring.handler
def grow(request):
    return bytes(1 << 20)
)";

TEST(MemoryShortage, AClientsLargeRequestIsOutOfMemoryAndSucceedsLater) {
  FaultyPool pool;
  Client client = pool->attach();
  ASSERT_TRUE(client.call("echo", "warm").ok());
  {
    const Fault full(pool.own_faults(), "fallocate");
    const Result<Reply> refused = client.call("echo", kLarge);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, ErrorCode::kOutOfMemory);
    EXPECT_THAT(refused.error().message, HasSubstr("No space left on device"));
    // Each refused call gave its slot back.
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(client.call("echo", kLarge).error().code, ErrorCode::kOutOfMemory);
      EXPECT_EQ(client.call("echo", "small").value().text(), "small");
    }
  }
  EXPECT_EQ(client.call("echo", kLarge).value().text(), kLarge);
}

TEST(MemoryShortage, AWorkersLargeReplyIsOutOfMemoryAndSucceedsLater) {
  FaultyPool pool(kModule);
  Client client = pool->attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  {
    const Fault full(pool.faults(), "fallocate");
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(client.call("grow", "").error().code, ErrorCode::kOutOfMemory);
      EXPECT_EQ(client.call("echo", "small").value().text(), "small");
    }
  }
  EXPECT_EQ(client.call("grow", "").value().bytes().size(), kLarge.size());
  EXPECT_EQ(SupervisedPool::worker_of(client), worker) << "it is still the same one";
}

// It is there for the pool's life.
TEST(MemoryShortage, IsNothingToLargeCallsThatFitIntoWhatEarlierOnesLeft) {
  FaultyPool pool(kModule);
  Client client = pool->attach();
  const auto call_all = [&] {
    EXPECT_EQ(client.call("echo", kLarge).value().text(), kLarge);
    EXPECT_EQ(client.call("grow", "").value().bytes().size(), kLarge.size());
  };
  call_all();
  const Fault full(pool.faults(), "fallocate"), own_full(pool.own_faults(), "fallocate");
  call_all();
}

TEST(MemoryShortage, OfAStreamsWindowIsOutOfMemoryAndLosesNoFrame) {
  const TemporaryFolder faults;
  ::setenv("SLOTRING_TEST_FAULTS", faults.path().c_str(), 1);
  const LocalPool pool;
  shm::FrameWriter area(pool.requests(), 0);
  shm::LaneWriter writer(area, shm::Lane::kStream);
  shm::LaneReader reader(pool.requests(), shm::Lane::kStream);
  writer.begin(pool.replies().area(0), 1, 128 * 1024);
  reader.begin(pool.requests().area(0), pool.replies().area(0), 1);
  const auto send = [&](std::size_t bytes, std::byte value) {
    EXPECT_TRUE(writer.has_room(bytes));
    const Result<std::span<std::byte>> space = writer.space(bytes);
    if (!space) return space.error().code;
    std::fill(space->begin(), space->end(), value);
    return writer.commit(shm::LaneFrameKind::kItem, {}, bytes) ? ErrorCode::kOk
                                                               : ErrorCode::kInternal;
  };
  const auto receive = [&] {
    return reader.ready() ? reader.next().value().frame.payload[0] : std::byte{0};
  };
  ASSERT_EQ(send(10'000, std::byte{1}), ErrorCode::kOk);
  {
    const Fault full(faults, "fallocate");
    EXPECT_EQ(send(50'000, std::byte{2}), ErrorCode::kOutOfMemory);
    EXPECT_EQ(receive(), std::byte{1});
    EXPECT_FALSE(reader.ready());
  }
  EXPECT_EQ(send(50'000, std::byte{3}), ErrorCode::kOk);
  EXPECT_EQ(receive(), std::byte{3});
}

TEST(MemoryShortage, AClientThatCannotMapThePoolIsToldAndAttachesLater) {
  FaultyPool pool;
  Client other = pool->attach();
  {
    const Fault full(pool.own_faults(), "mmap");
    EXPECT_EQ(Client::attach(pool->socket()).error().code, ErrorCode::kOutOfMemory);
    EXPECT_EQ(other.call("echo", "undisturbed").value().text(), "undisturbed");
  }
  Client client = pool->attach();
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
}

// However often it happens: five deaths of a worker would end its seat.
TEST(MemoryShortage, AWorkerThatCannotMapThePoolIsStartedAgainUntilItCan) {
  TemporaryFolder faults;
  const FaultyEnvironment environment(faults);
  // The supervisor's own mapping, of the control segment, passes.
  const Fault full(faults, "mmap", "1");
  const std::string keys =
      "restart_delay_s = 0.01\nrestart_delay_max_s = 0.02\ncrash_loop_deaths = 2\n";
  SupervisedPool pool("", keys);
  EXPECT_TRUE(eventually([&] { return count_of(pool.log(), "cannot join the pool") >= 4; }));
  EXPECT_TRUE(pool.logs("Cannot allocate memory"));
  full.end();
  Client client = pool.attach();
  EXPECT_EQ(client.call("echo", "x").value().text(), "x");
}

class NoMemoryForAPool : public ::testing::TestWithParam<const char*> {};

TEST_P(NoMemoryForAPool, IsAnErrorOfTheStartThatLeavesNothing) {
  SupervisedPool elsewhere;
  Client client = elsewhere.attach();
  const std::string config = elsewhere.path("second.toml");
  write_file(config, "[pool.second]\nmodule = \"served\"\nsocket = \"second.sock\"\n");
  const TemporaryFolder faults;
  const Fault full(faults, GetParam());
  const FaultyEnvironment environment(faults);
  const Finished second = run({supervisor_program(), "--config", config});
  EXPECT_EQ(second.status, 1);
  const bool descriptors = GetParam() == std::string("memfd_create");
  EXPECT_THAT(second.err, HasSubstr(descriptors ? "SYSTEM_LIMIT: pool second: "
                                                : "OUT_OF_MEMORY: pool second: "));
  EXPECT_FALSE(elsewhere.has("second.sock"));
  EXPECT_FALSE(elsewhere.has("second.sock.lock"));
  EXPECT_EQ(client.call("echo", "undisturbed").value().text(), "undisturbed");
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, NoMemoryForAPool,
                         ::testing::Values("fallocate", "memfd_create", "mmap"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace slotring::testing
