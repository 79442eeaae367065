// A log file that cannot be written for a while.

#include "supervisor/log_file.h"

#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/pattern_formatter.h>

#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"

namespace slotring::supervisor {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<LogFile> opened(const std::string& path) {
  auto file = LogFile::open(path).value();
  file->set_formatter(std::make_unique<spdlog::pattern_formatter>("%n: %v"));
  return file;
}

void log(LogFile& file, std::string_view line) {
  file.log({"test", spdlog::level::info, {line.data(), line.size()}});
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

void allow_bytes(rlim_t bytes) {
  rlimit limit;
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(LogFile, AppendsToWhatIsThereAndMakesFolders) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("a/b/log");
  log(*opened(path), "one");
  log(*opened(path), "two");
  EXPECT_EQ(text_of(path), "test: one\ntest: two\n");
}

TEST(LogFile, SaysWhyItCannotBeOpened) {
  EXPECT_EQ(LogFile::open("/proc/no/such").error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(LogFile::open("/proc/no/such").error().message, HasSubstr("/proc/no/such"));
}

// A child's, since the limit is a process's own.
TEST(LogFile, GoesOnWithAWholeLineAndSaysHowManyAreMissing) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.file("log");
  testing::ChildProcess child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const auto file = opened(path);
    log(*file, "one");
    allow_bytes(15);
    for (int i = 0; i < 7; ++i) log(*file, "lost");  // the first leaves a part
    allow_bytes(RLIM_INFINITY);
    log(*file, "two");
    log(*file, "three");
    EXPECT_EQ(text_of(path),
              "test: one\ntest:\nlog: 7 lines were lost here: the log could not be written\n"
              "test: two\ntest: three\n");
    return true;
  });
  EXPECT_TRUE(child.succeeded());
}

TEST(LogFile, AFullDeviceCostsLinesOnly) {
  ::testing::internal::CaptureStderr();
  const auto file = opened("/dev/full");
  for (int i = 0; i < 3; ++i) log(*file, "lost");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "slotring-supervisor: cannot write to the log /dev/full: No space left on device; "
            "lines are lost\n");
}

}  // namespace
}  // namespace slotring::supervisor
