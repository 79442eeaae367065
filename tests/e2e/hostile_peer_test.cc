// A client that writes anything anywhere it can, while others work: their processes survive, they
// get typed errors at worst, and when it is gone the pool is as good as before, without a restart
// of anything.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client_lib/shm/attachment.h"
#include "tests/support/child_process.h"
#include "tests/support/random_source.h"
#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

constexpr std::uint32_t kSlots = 6;
constexpr std::string_view kKeys =
    "workers = 2\nslots_per_worker = 3\nmax_clients = 8\nmax_waiting = 4\nslot_bytes = \"1MiB\"\n"
    "warm_bytes = \"64KiB\"\n[log]\nlevel = \"debug\"\n";
constexpr int kClients = 2;

enum class Scribble { kRandom, kZeros, kPlausible, kBitFlips, kExtremes };

const char* to_string(Scribble scribble) {
  constexpr const char* kNames[] = {"RandomWords", "Zeros", "PlausibleWords", "BitFlips",
                                    "Extremes"};
  return kNames[static_cast<int>(scribble)];
}

// A client that keeps to no rule, until it is killed.
class HostilePeer {
 public:
  HostilePeer(const std::string& socket, Scribble scribble) : scribble_(scribble) {
    const shm::UniqueFd connection = shm::connect_to(socket).value();
    joined_ = shm::attach(connection.get(), wire::Role::Client, "hostile",
                          shm::monotonic_now() + 60'000'000'000)
                  .value();
    connection_ = ::dup(connection.get());
  }

  [[noreturn]] void scribble() {
    for (;;) {
      if (random_.one_in(8)) {
        scribble_request();
      } else if (random_.one_in(500)) {
        punch_hole();
      } else {
        scribble_control();
      }
    }
  }

 private:
  void scribble_control() {
    const layout::ControlOffsets offsets(joined_.segment->geometry());
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(&joined_.segment->header());
    // Half of it where calls live: words, waiters, rings; methods and obituaries are most of the
    // rest.
    const bool anywhere = random_.one_in(2);
    const std::uint64_t begin = anywhere ? 0 : offsets.words;
    const std::uint64_t index = (begin + random_.below(offsets.total - begin)) / 8;
    words[index].store(scribbled(words[index].load()));
  }
  void scribble_request() {
    std::byte* area = joined_.requests->area(random_.below(kSlots));
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(area);
    const std::uint32_t index = random_.below(random_.one_in(2) ? 32 : 4096 / 8);
    words[index].store(scribbled(words[index].load()));
  }
  void punch_hole() {
    const bool control = random_.one_in(2);
    const shm::UniqueFd& memory = control ? joined_.segment->memory() : joined_.requests->memory();
    const std::uint64_t bytes = control ? layout::ControlOffsets(joined_.segment->geometry()).total
                                        : kSlots * joined_.requests->area_bytes();
    (void)shm::give_back(memory, random_.below(bytes / 4096) * 4096, 4096).ok();
  }
  std::uint64_t scribbled(std::uint64_t old) {
    switch (scribble_) {
      case Scribble::kRandom:
        return random_.word();
      case Scribble::kZeros:
        return 0;
      case Scribble::kPlausible:
        return plausible(old);
      case Scribble::kBitFlips:
        return old ^ std::uint64_t{1} << random_.below(64);
      case Scribble::kExtremes:
        break;
    }
    constexpr std::uint64_t kExtremes[] = {~std::uint64_t{0}, 1, std::uint64_t{1} << 63,
                                           0xFFFF'FFFF, 0xFFFF'0000};
    return random_.one_in(2) ? kExtremes[random_.below(5)] : old + random_.below(5) - 2;
  }
  // As a slot's or a waiter's word may look: about its generation, any client, any state.
  std::uint64_t plausible(std::uint64_t old) {
    const auto generation = static_cast<std::uint32_t>((old >> 32) + random_.below(2));
    const auto owner = static_cast<std::uint16_t>(random_.below(5));
    const auto state = static_cast<layout::SlotState>(random_.below(layout::kSlotStates));
    const auto flags = static_cast<layout::SlotFlags>(random_.one_in(2) ? random_.below(64) : 0);
    return layout::SlotWord{generation, owner, state, flags}.pack();
  }

  Scribble scribble_;
  RandomSource random_{static_cast<std::uint64_t>(scribble_)};
  shm::Attachment joined_;
  int connection_ = -1;  // as long as this process lives
};

// What the test and the processes of well-behaved clients tell each other.
struct Board {
  enum Phase { kStorm, kCalm, kIdle };
  std::atomic<int> phase{kStorm};
  std::atomic<int> attached{0};
  std::atomic<int> outcomes{0};  // of calls in the storm
  std::atomic<int> errors{0};
  std::atomic<int> right_calls{0};  // in the calm
  std::atomic<int> idle{0};
};

bool may_happen(ErrorCode code) {
  constexpr ErrorCode kTyped[] = {
      ErrorCode::kBadSegment,     ErrorCode::kBadFrame,     ErrorCode::kDeadlineExceeded,
      ErrorCode::kPoolSaturated,  ErrorCode::kPoolDraining, ErrorCode::kWorkerUnavailable,
      ErrorCode::kWorkerLost,     ErrorCode::kOutOfMemory,  ErrorCode::kMethodNotFound,
      ErrorCode::kInvalidArgument};  // the frame of the request was scribbled over
  return std::find(std::begin(kTyped), std::end(kTyped), code) != std::end(kTyped);
}

// The life of a well-behaved client.
bool behave(const std::string& socket, Board& board) {
  Client client = Client::attach(socket).value();
  ++board.attached;
  int number = 0;
  const auto call = [&](milliseconds timeout) -> std::optional<Error> {
    const std::string text = "call " + std::to_string(number++);
    const Result<Reply> reply = client.call("echo", text, {.timeout = timeout});
    if (!reply) return reply.error();
    // In the storm the bytes may be anybody's.
    EXPECT_TRUE(board.phase.load() != Board::kCalm || reply->text() == text) << reply->text();
    return std::nullopt;
  };
  while (board.phase.load() == Board::kStorm) {
    const std::optional<Error> error = call(milliseconds(300));
    ++board.outcomes;
    if (!error) continue;
    ++board.errors;
    EXPECT_TRUE(may_happen(error->code)) << error->to_string();
  }
  // The first calls may meet what is left of the storm, in this client's own places.
  EXPECT_TRUE(eventually([&] { return !call(seconds(10)); }));
  for (int i = 0; i < 20; ++i) {
    const std::optional<Error> error = call(seconds(10));
    EXPECT_FALSE(error) << error->to_string();
    if (!error) ++board.right_calls;
  }
  ++board.idle;
  return eventually([&] { return board.phase.load() == Board::kIdle; });
}

class HostilePeerTest : public ::testing::TestWithParam<Scribble> {
 protected:
  HostilePeerTest()
      : memory_(::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)),
        board_(*new (memory_) Board) {}
  ~HostilePeerTest() override { ::munmap(memory_, sizeof(Board)); }

  void start_clients() {
    for (int i = 0; i < kClients; ++i) {
      clients_.emplace_back([this] { return behave(pool_.socket(), board_); });
    }
    // All of them: a header that is being scribbled over refuses who attaches.
    ASSERT_TRUE(eventually([&] { return board_.attached.load() == kClients; }));
    ASSERT_TRUE(eventually([&] { return board_.outcomes.load() >= 50; }));
  }
  void let_a_hostile_peer_scribble() {
    ChildProcess hostile([this]() -> bool { HostilePeer(pool_.socket(), GetParam()).scribble(); });
    const int before = board_.errors.load();
    EXPECT_TRUE(eventually([&] { return board_.errors.load() >= before + 60; }));
    hostile.kill();
    (void)hostile.join();
    EXPECT_TRUE(
        eventually([&] { return pool_.log().find("\"hostile\" died") != std::string::npos; }));
    // The supervisor answers an observer after it has repaired the pool.
    EXPECT_EQ(run({command_program(), "status", "--pool", pool_.socket()}).status, 0);
  }
  void expect_calm_clients() {
    board_.phase.store(Board::kCalm);
    EXPECT_TRUE(eventually([&] { return board_.idle.load() == kClients; }));
    EXPECT_EQ(board_.right_calls.load(), 20 * kClients);
  }
  void expect_whole_pool() {
    Client fresh = pool_.attach();
    for (int i = 0; i < 20; ++i) {
      const Result<Reply> reply = fresh.call("echo", "fresh", {.timeout = seconds(20)});
      EXPECT_EQ(reply ? reply->text() : reply.error().to_string(), "fresh");
    }
    std::vector<Lease> all;
    for (std::uint32_t i = 0; i < kSlots; ++i) {
      Result<Lease> lease = fresh.claim({.timeout = seconds(20)});
      ASSERT_TRUE(lease.ok()) << "slot " << i << ": " << lease.error().to_string() << "\n"
                              << words_of_slots();
      all.push_back(*std::move(lease));
    }
    EXPECT_EQ(fresh.claim({.timeout = milliseconds(1)}).error().code, ErrorCode::kDeadlineExceeded);
  }
  // For a failure's message.
  std::string words_of_slots() const {
    return run({command_program(), "status", "--pool", pool_.socket()}).out;
  }
  void let_clients_go() {
    board_.phase.store(Board::kIdle);
    for (ChildProcess& client : clients_) EXPECT_TRUE(client.succeeded());
  }

  SupervisedPool pool_{"", kKeys};
  void* memory_;
  Board& board_;
  std::vector<ChildProcess> clients_;
};

TEST_P(HostilePeerTest, IsSurvivedAndWhatItDidIsRepaired) {
  ASSERT_TRUE(
      eventually([&] { return pool_.log().find("ready: 2 workers") != std::string::npos; }));
  pool_.unblock();  // a scribbled method id may call it
  (void)test_seed();
  start_clients();
  const std::vector<pid_t> processes = pool_.processes();
  let_a_hostile_peer_scribble();
  expect_calm_clients();
  expect_whole_pool();
  const Finished status = run({command_program(), "status", "--pool", pool_.socket()});
  EXPECT_EQ(status.status, 0) << status.err;
  EXPECT_THAT(status.out, ::testing::Not(HasSubstr("corrupt")));
  EXPECT_THAT(pool_.processes(), UnorderedElementsAreArray(processes)) << "a process was replaced";
  EXPECT_THAT(pool_.log(), HasSubstr("a peer has scribbled over the pool's memory; mended:"));
  let_clients_go();
  EXPECT_EQ(pool_.stop_supervisor(SIGTERM), 0);
}

INSTANTIATE_TEST_SUITE_P(Scribbles, HostilePeerTest,
                         ::testing::Values(Scribble::kRandom, Scribble::kZeros,
                                           Scribble::kPlausible, Scribble::kBitFlips,
                                           Scribble::kExtremes),
                         [](const auto& scribble) {
                           return std::string(to_string(scribble.param));
                         });

}  // namespace
}  // namespace slotring::testing
