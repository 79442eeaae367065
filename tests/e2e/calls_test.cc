// Calls through a real pool: what goes in, what comes out, and what happens when it goes wrong.

#include <sys/wait.h>
#include <unistd.h>

#include <numeric>
#include <thread>

#include <flatbuffers/flexbuffers.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.handler
def kind_of(request):
    return type(request).__name__

@slotring.handler
def divide(request):
    """Divides a by b."""
    return request["a"] / request["b"]

@slotring.handler
def unsendable(request):
    return object()

@slotring.handler
def noisy(request):
    print("to stdout")
    os.write(1, b"raw bytes\n")
    print("to stderr", file=sys.stderr)
    return b"quiet"
)";

std::vector<std::uint8_t> map_of(int a, int b) {
  flexbuffers::Builder builder;
  builder.Map([&] {
    builder.Int("a", a);
    builder.Int("b", b);
  });
  builder.Finish();
  return builder.GetBuffer();
}

TEST(Calls, BytesComeBackAsTheyWere) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  EXPECT_EQ(client.call("echo", "hello").value().text(), "hello");
  EXPECT_EQ(client.call("echo", "").value().text(), "");
  EXPECT_EQ(client.call("kind_of", "x").value().kind(), PayloadKind::kValue);
}

TEST(Calls, ALargePayloadFitsWhereItIsAllowedAndIsATypedErrorBeyond) {
  SupervisedPool pool(kModule, "slot_bytes = \"2 MiB\"\n");
  Client client = pool.attach();
  std::string large(2'000'000, '\0');
  std::iota(large.begin(), large.end(), '\0');
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.call("echo", large).value().text(), large);

  const std::string larger(2 * 1024 * 1024, 'x');
  EXPECT_EQ(client.call("echo", larger).error().code, ErrorCode::kPayloadTooLarge);
  EXPECT_EQ(client.call("echo", "still served").value().text(), "still served");
}

TEST(Calls, ValuesAreConvertedBothWays) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const auto reply = client.call("divide", Payload::value(map_of(7, 2))).value().value().value();
  EXPECT_EQ(flexbuffers::GetRoot(reply).AsDouble(), 3.5);
}

TEST(Calls, TheInPlacePathWritesAndReadsInTheSlot) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Lease lease = client.claim().value();
  const std::span<std::byte> space = lease.request(3).value();
  std::memcpy(space.data(), "abc", 3);
  ASSERT_TRUE(lease.submit("echo", PayloadKind::kBytes, 3));
  const ReplyView reply = lease.wait().value();
  EXPECT_EQ(std::memcmp(reply.bytes.data(), "abc", 3), 0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(reply.bytes.data()) % 64, 0u);
}

TEST(Calls, AnExceptionIsATypedErrorWithTraceback) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Error error = client.call("divide", Payload::value(map_of(1, 0))).error();
  EXPECT_EQ(error.code, ErrorCode::kHandlerRaised);
  EXPECT_EQ(error.python_type, "ZeroDivisionError");
  EXPECT_THAT(error.message, HasSubstr("division by zero"));
  EXPECT_THAT(error.traceback, HasSubstr("request[\"a\"] / request[\"b\"]"));
  EXPECT_FALSE(error.retryable);
  EXPECT_THROW((void)client.call("divide", "no map").value(), Exception);
}

TEST(Calls, AReplyThatCannotBeSentNamesItsType) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Error error = client.call("unsendable", "").error();
  EXPECT_EQ(error.code, ErrorCode::kReplyNotConvertible);
  EXPECT_THAT(error.message, HasSubstr("object"));
}

TEST(Calls, AnUnknownMethodIsATypedErrorThatNamesTheLikeliest) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Error error = client.call("ehco", "").error();
  EXPECT_EQ(error.code, ErrorCode::kMethodNotFound);
  EXPECT_THAT(error.message, HasSubstr("echo"));
}

TEST(Calls, PrintsReachTheLogAndNoFrame) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  EXPECT_EQ(client.call("noisy", "").value().text(), "quiet");
  EXPECT_TRUE(eventually([&] {
    const std::string log = pool.log();
    return log.find("to stdout") != log.npos && log.find("raw bytes") != log.npos &&
           log.find("to stderr") != log.npos;
  })) << pool.log();
}

TEST(Calls, ADeadlineEndsTheCallWhileTheHandlerRunsAndNobodyGetsItsReply) {
  SupervisedPool pool(kModule, "slots_per_worker = 1\n");
  Client client = pool.attach();
  ASSERT_TRUE(client.call("echo", "warm").ok());
  const Error error = client.call("block", "", {.timeout = milliseconds(50)}).error();
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_FALSE(error.retryable);
  // The slot stays with the worker: the next caller waits for it and gets its own reply.
  const Error waiting = client.call("echo", "early", {.timeout = milliseconds(20)}).error();
  EXPECT_EQ(waiting.code, ErrorCode::kDeadlineExceeded);
  pool.unblock();
  EXPECT_EQ(client.call("echo", "mine").value().text(), "mine");
}

TEST(Calls, ARequestThatNoWorkerStartedIsTakenBackAtItsDeadline) {
  SupervisedPool pool(kModule, "slots_per_worker = 2\n");
  Client client = pool.attach();
  std::thread blocked([&] { EXPECT_EQ(client.call("block", "").value().text(), "done"); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  const Error error = client.call("echo", "x", {.timeout = milliseconds(30)}).error();
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_TRUE(error.retryable);
  pool.unblock();
  blocked.join();
}

TEST(Calls, WhoFindsTheWaitingLineFullIsToldAtOnce) {
  SupervisedPool pool(kModule, "slots_per_worker = 1\nmax_waiting = 1\n");
  Client client = pool.attach();
  std::thread running([&] { EXPECT_TRUE(client.call("block", "").ok()); });
  ASSERT_TRUE(eventually([&] { return pool.is_blocking(); }));
  // Two more contend for the one place in the line: one waits, the other is refused.
  std::atomic<int> saturated{0};
  std::atomic<int> answered{0};
  const auto contend = [&] {
    const Result<Reply> reply = client.call("echo", "x");
    if (reply.ok()) {
      answered.fetch_add(1);
    } else if (reply.error().code == ErrorCode::kPoolSaturated) {
      saturated.fetch_add(1);
    }
  };
  std::thread first(contend);
  std::thread second(contend);
  EXPECT_TRUE(eventually([&] { return saturated.load() == 1; }));
  pool.unblock();
  for (std::thread* thread : {&running, &first, &second}) thread->join();
  EXPECT_EQ(saturated.load(), 1);
  EXPECT_EQ(answered.load(), 1);
}

TEST(Calls, SeveralClientProcessesShareSeveralWorkers) {
  SupervisedPool pool(kModule, "workers = 2\n");
  constexpr int kProcesses = 4;
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    if (child == 0) {
      Client client = pool.attach();
      int wrong = 0;
      for (int i = 0; i < 500; ++i) {
        const std::string text = std::to_string(process) + ":" + std::to_string(i);
        const Result<Reply> reply = client.call("echo", text);
        if (!reply || reply->text() != text) ++wrong;
      }
      ::_exit(wrong == 0 ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

TEST(Calls, AForkedChildIsToldToAttachForItselfAndDisturbsNothing) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Lease lease = client.claim().value();
  const pid_t child = ::fork();
  if (child == 0) {
    const Result<Reply> inherited = client.call("echo", "x");
    lease.release();
    Client own = pool.attach();
    const bool right = !inherited.ok() && inherited.error().code == ErrorCode::kForked &&
                       own.call("echo", "own").value().text() == "own";
    ::_exit(right ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  ASSERT_TRUE(lease.request(1).ok());
  ASSERT_TRUE(lease.submit("echo", PayloadKind::kBytes, 1));
  EXPECT_TRUE(lease.wait().ok());
}

}  // namespace
}  // namespace slotring::testing
