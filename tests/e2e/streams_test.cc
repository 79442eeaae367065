// Streams and tools through a real pool: supervisor, client and Python worker.

#include <unistd.h>

#include <csignal>
#include <cstring>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/supervised_pool.h"

namespace slotring::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
ends = []

@slotring.handler
def count(request):
    for i in range(int(bytes(request))):
        yield str(i).encode()
    return b"counted"

@slotring.handler
def endless(request):
    try:
        while True:
            yield bytes(1000)
    except GeneratorExit:
        ends.append(b"GeneratorExit")
        raise

@slotring.handler
def how_it_ended(request):
    return b" ".join(ends)

@slotring.handler
def fails(request):
    yield b"first"
    raise ValueError("in the middle")

@slotring.handler
def total(request, ctx):
    return str(sum(int(bytes(item)) for item in ctx.incoming)).encode()

@slotring.handler
def shout(request, ctx):
    for item in ctx.incoming:
        yield bytes(item).upper()

@slotring.handler
def pour(request):
    item = bytearray(1 << 16)
    for i in range(int(bytes(request))):
        item[:8] = i.to_bytes(8, "little")
        yield item

@slotring.handler
def swallow(request, ctx):
    taken = 0
    for item in ctx.incoming:
        assert int.from_bytes(item[:8], "little") * len(item) == taken
        taken += len(item)
    return str(taken).encode()

@slotring.handler
def ask(request, ctx):
    return bytes(ctx.tools.search(request))
)";

std::string text_of(const ReplyView& item) {
  return {reinterpret_cast<const char*>(item.bytes.data()), item.bytes.size()};
}

// Of the items that are left.
std::vector<std::string> texts_of(Stream& stream) {
  std::vector<std::string> texts;
  for (const ReplyView& item : stream) texts.push_back(text_of(item));
  return texts;
}

TEST(Streams, AGeneratorIsARangeInOrderWithWhatItReturnsBehindIt) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Stream stream = client.stream("count", "1000").value();
  std::vector<std::string> expected;
  for (int i = 0; i < 1000; ++i) expected.push_back(std::to_string(i));
  EXPECT_EQ(texts_of(stream), expected);
  EXPECT_TRUE(stream.status().ok());
  EXPECT_EQ(stream.finish().value().text(), "counted");
}

TEST(Streams, AGeneratorSeesThatItsCallerWantsNoMore) {
  SupervisedPool pool(kModule, "slots_per_worker = 1\n");
  Client client = pool.attach();
  {
    Stream stream = client.stream("endless", "").value();
    ASSERT_TRUE(stream.next().value().has_value());
  }
  EXPECT_EQ(client.call("how_it_ended", "").value().text(), "GeneratorExit");
}

constexpr std::uint64_t kLargeItem = 1 << 16;

// Of `items` numbered ones, of 64 KiB each.
void read_large_stream(Client& client, std::uint64_t items) {
  std::uint64_t read = 0;
  Stream stream = client.stream("pour", std::to_string(items)).value();
  for (const ReplyView& item : stream) {
    std::uint64_t number = 0;
    ASSERT_EQ(item.bytes.size(), kLargeItem);
    std::memcpy(&number, item.bytes.data(), sizeof(number));
    ASSERT_EQ(number, read++);
  }
  EXPECT_TRUE(stream.status().ok());
  EXPECT_EQ(read, items);
}

void write_large_stream(Client& client, std::uint64_t items) {
  Stream stream = client.stream("swallow", "").value();
  std::vector<std::uint64_t> item(kLargeItem / sizeof(std::uint64_t));
  for (std::uint64_t i = 0; i < items; ++i) {
    item[0] = i;
    stream.write(std::as_bytes(std::span(item))).value();
  }
  stream.finish_writing().value();
  EXPECT_EQ(stream.finish().value().text(), std::to_string(items * kLargeItem));
}

// The most memory that a process ever had, shared memory with it, in bytes.
std::uint64_t peak_memory(pid_t process) {
  std::istringstream status(read_file("/proc/" + std::to_string(process) + "/status"));
  std::string key;
  std::uint64_t kib = 0;
  while (status >> key && key != "VmHWM:") continue;
  status >> kib;
  return kib << 10;
}

TEST(Streams, AGibibyteEachWayThroughAWindowOfAMebibyteTakesNoMoreMemory) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  const auto both_ways = [&](int items) {
    read_large_stream(client, static_cast<std::uint64_t>(items));
    write_large_stream(client, static_cast<std::uint64_t>(items));
  };
  both_ways(64);  // four windows
  const std::uint64_t before = peak_memory(::getpid()), workers_before = peak_memory(worker);
  ASSERT_GT(workers_before, 0u);
  both_ways(effort(16'384));
  if (kInstrumented) return;  // AddressSanitizer keeps what was freed
  EXPECT_LT(peak_memory(::getpid()), before + (std::uint64_t{2} << 20));
  EXPECT_LT(peak_memory(worker), workers_before + (std::uint64_t{2} << 20));
}

TEST(Streams, AnErrorComesAfterTheItemsBeforeIt) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Stream stream = client.stream("fails", "").value();
  EXPECT_THAT(texts_of(stream), ElementsAre("first"));
  ASSERT_FALSE(stream.status().ok());
  EXPECT_EQ(stream.status().error().code, ErrorCode::kHandlerRaised);
  EXPECT_EQ(stream.status().error().python_type, "ValueError");
  EXPECT_THAT(stream.status().error().traceback, HasSubstr("in the middle"));
}

TEST(Streams, AHandlerReadsWhatItsCallerSends) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Stream stream = client.stream("total", "").value();
  for (int i = 0; i < 1000; ++i) stream.write(std::to_string(i)).value();
  stream.finish_writing().value();
  EXPECT_EQ(stream.finish().value().text(), "499500");
}

TEST(Streams, AGeneratorReadsAndYieldsAtOnce) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  Stream stream = client.stream("shout", "").value();
  for (const std::string word : {"one", "two", "three"}) {
    stream.write(word).value();
    std::string shouted = word;
    for (char& letter : shouted) letter = static_cast<char>(letter - 'a' + 'A');
    EXPECT_EQ(text_of(stream.next().value().value()), shouted);
  }
  stream.finish_writing().value();
  EXPECT_FALSE(stream.next().value().has_value());
}

TEST(Streams, APlainCallOfAGeneratorIsToldToStream) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const Error error = client.call("count", "3").error();
  EXPECT_EQ(error.code, ErrorCode::kStreamRequired);
  EXPECT_THAT(error.message, HasSubstr("Client::stream()"));
}

TEST(Streams, AWorkerKilledInTheMiddleIsAnErrorAfterTheItemsThatCame) {
  SupervisedPool pool(kModule);
  Client client = pool.attach();
  const pid_t worker = SupervisedPool::worker_of(client);
  Stream stream = client.stream("endless", "").value();
  ASSERT_TRUE(stream.next().value().has_value());
  ASSERT_EQ(::kill(worker, SIGKILL), 0);
  for (const ReplyView& item : stream) EXPECT_EQ(item.bytes.size(), 1000u);
  ASSERT_FALSE(stream.status().ok());
  EXPECT_EQ(stream.status().error().code, ErrorCode::kWorkerLost);
}

TEST(Tools, CallsThatToolsMakeAreServedThoughEverySlotIsBusy) {
  SupervisedPool pool(kModule, "workers = 1\nslots_per_worker = 2\n");
  Client client = pool.attach();
  client
      .add_tool("search",
                [&](const ToolCall& call) -> Result<ToolReply> {
                  Result<Reply> inside = client.call("echo", call.text());
                  if (!inside) return inside.error();
                  return ToolReply(inside->text());
                })
      .value();
  std::vector<std::jthread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&client, i] {
      for (int round = 0; round < 20; ++round) {
        const std::string question = std::to_string(i) + "/" + std::to_string(round);
        EXPECT_EQ(client.call("ask", question).value().text(), question);
      }
    });
  }
}

}  // namespace
}  // namespace slotring::testing
