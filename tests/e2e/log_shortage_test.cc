// When the log cannot be written: the pool does not notice, stderr says so once, and the log goes
// on, saying what is missing, as soon as it can.

#include <signal.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/shortage.h"

namespace slotring::testing {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view kModule = R"(
@slotring.handler
def say(request):
    print(bytes(request).decode())
    return request
)";
constexpr std::string_view kLogKeys = "[log]\nfile = \"pool.log\"\n";
constexpr std::string_view kToldOnStderr = "cannot write to the log";

void say(Client& client, const std::string& what) {
  EXPECT_EQ(client.call("say", what).value().text(), what);
}

class LogShortage : public ::testing::Test {
 protected:
  std::string log() const { return read_file(pool_.path("pool.log")); }
  bool told_on_stderr() const { return count_of(pool_.log(), kToldOnStderr) > 0; }

  SupervisedPool pool_{kModule, kLogKeys};
  Client client_ = pool_.attach();
};

TEST_F(LogShortage, AFileThatMayNotGrowLosesLinesAndGoesOnWhenItMay) {
  say(client_, "before");
  ASSERT_TRUE(eventually([&] { return count_of(log(), "before") > 0; }));
  {
    const SoftLimit full(pool_.supervisor(), RLIMIT_FSIZE,
                         std::filesystem::file_size(pool_.path("pool.log")) + 20);
    say(client_, "cannot be written");
    ASSERT_TRUE(eventually([&] { return told_on_stderr(); }));
    for (int i = 0; i < 50; ++i) say(client_, "neither can this");
  }
  ASSERT_TRUE(eventually([&] {
    say(client_, "after");
    return count_of(log(), "after") > 0;
  }));
  EXPECT_EQ(count_of(pool_.log(), kToldOnStderr), 1u);
  EXPECT_THAT(pool_.log(), HasSubstr("File too large; lines are lost"));
  EXPECT_THAT(log(), HasSubstr("lost here: the log could not be written"));
  EXPECT_EQ(count_of(log(), "written"), 1u) << "in the line about the loss";
}

TEST_F(LogShortage, AFullDiskLosesLinesUntilTheLogIsOpenedAgainElsewhere) {
  const std::string file = pool_.path("pool.log");
  std::filesystem::rename(file, file + ".1");
  std::filesystem::create_symlink("/dev/full", file);
  ::kill(pool_.supervisor(), SIGHUP);
  ASSERT_TRUE(eventually([&] {
    say(client_, "into nothing");
    return told_on_stderr();
  }));
  for (int i = 0; i < 50; ++i) say(client_, "into nothing");
  EXPECT_THAT(pool_.log(), HasSubstr("No space left on device; lines are lost"));
  EXPECT_EQ(count_of(pool_.log(), kToldOnStderr), 1u);

  std::filesystem::remove(file);
  ::kill(pool_.supervisor(), SIGHUP);
  ASSERT_TRUE(eventually([&] {
    say(client_, "on disk");
    return count_of(log(), "on disk") > 0;
  }));
  EXPECT_EQ(pool_.stop_supervisor(SIGTERM), 0);
}

TEST(LogShortageAtStart, AFullDiskKeepsNobodyFromServing) {
  SupervisedPool pool(kModule, "[log]\nfile = \"/dev/full\"\n");
  Client client = pool.attach();
  for (int i = 0; i < 20; ++i) say(client, "unheard");
  ASSERT_TRUE(eventually([&] { return count_of(pool.log(), kToldOnStderr) > 0; }));
  EXPECT_EQ(pool.stop_supervisor(SIGTERM), 0);
  EXPECT_EQ(count_of(pool.log(), kToldOnStderr), 1u);
}

}  // namespace
}  // namespace slotring::testing
